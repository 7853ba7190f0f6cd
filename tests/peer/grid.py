"""Command lines of damo on the records of `tests.peer.records`, for comparing answers.

A record is named as the file it is in; what runs them puts the directory before it.
"""

from __future__ import annotations

import shlex
import zlib
from collections.abc import Iterator, Sequence

STYLES = (
    "detailed", "simple-boxes", "temperature-sz-hist", "recency-sz-hist", "cold-memory-tail", "recency-percentiles",
    "idle-time-percentiles", "temperature-percentiles", "cold", "hot",
)  # fmt: skip
RECORD_KEYWORDS = (
    "<kdamond index>", "<context index>", "<scheme index>", "<target id>", "<abs start time>", "<duration>",
    "<intervals>", "<intervals goal>", "<data source>", "<format strings>", "<total bytes>", "<nothing>",
)  # fmt: skip
SNAPSHOT_KEYWORDS = (
    "<total bytes>", "<duration>", "<start time>", "<end time>", "<abs start time>", "<abs end time>",
    "<number of regions>", "<region box colors>", "<temperature-sz histogram>", "<recency-sz histogram>",
    "<temperature-df-passed-sz histogram>", "<recency-df-passed-sz histogram>", "<recency percentiles>",
    "<temperature percentiles>", "<df-passed recency percentiles>", "<df-passed temperature percentiles>", "<heatmap>",
    "<filters passed heatmap>", "<filters passed type>", "<filters passed bytes>", "<positive access samples ratio>",
    "<estimated memory bandwidth>", "<filters passed estimated memory bandwidth>", "<intervals tuning status>",
    "<damos stats>", "<snapshot intervals>", "<index>", "<nothing>",
)  # fmt: skip
REGION_KEYWORDS = (
    "<index>", "<start address>", "<end address>", "<size>", "<access rate>", "<access hz>", "<age>", "<temperature>",
    "<probe hits>", "<filters passed bytes>", "<number of regions>", "<nothing>",
)  # fmt: skip

# By the records that they are for: words of `report access`.
ACCESS: tuple[tuple[str, str], ...] = (
    ("spread one two warm short pair passed rejected tuned intervals hits high", "--style {style}"),
    ("spread passed", "--style {style} --raw_number"),
    ("spread two short pair tuned intervals bare passed hits high nothing empty ageless many", "--raw_form"),
    ("spread two passed hits", "--raw_form --raw_number"),
    ("spread passed two pair tuned intervals bare hits nothing high ageless rejected", "--json"),
    ("spread passed tuned intervals bare pair hits", "--json --raw_number"),
    ("bare nothing empty ageless holes", ""),
    ("spread passed", "--sort_regions_by age"),
    ("spread", "--sort_regions_by size temperature"),
    ("spread", "--sort_regions_by size access_rate"),
    ("spread", "--sort_regions_by access_rate --sort_regions_dsc access_rate"),
    ("spread", "--sort_regions_by access_rate age --sort_regions_dsc all"),
    ("spread", "--sort_regions_dsc address"),
    ("spread", "--sort_regions_by size age --sort_regions_dsc age"),
    ("spread", "--style hot --sort_regions_by age"),
    ("spread", "--style hot --sort_regions_dsc all"),
    ("spread", "--style cold --sort_regions_dsc temperature"),
    ("spread warm", "--sort_regions_by temperature --temperature_weights 0 1 0"),
    ("spread", "--sort_regions_by temperature --temperature_weights 1 0 0"),
    ("spread passed", "--temperature_weights 1 10 3"),
    ("spread", "--style temperature-sz-hist --temperature_weights 1 10 3"),
    ("spread", "--style temperature-percentiles --temperature_weights 5 0 1"),
    ("spread", "--style temperature-percentiles --temperature_weights 0 -1 -1"),
    ("spread passed", "--style temperature-sz-hist --hist_logscale"),
    ("spread passed short", "--style recency-sz-hist --hist_logscale"),
    ("spread", "--style recency-sz-hist --hist_cumulate"),
    ("spread", "--style temperature-sz-hist --hist_cumulate"),
    ("spread short", "--style recency-sz-hist --hist_cumulate --hist_logscale"),
    ("spread", "--style recency-sz-hist --hist_ranges 0 1s 1s 1h 1h max"),
    ("spread", "--style recency-sz-hist --hist_ranges 0 1000000 5000000 70000000"),
    ("spread", "--style recency-sz-hist --hist_ranges min 1m 1m max --hist_cumulate"),
    ("spread", "--style recency-sz-hist --hist_ranges 0 1s 1s"),
    ("spread", "--style temperature-sz-hist --hist_ranges 0 1000 1000 1000000000"),
    ("spread", "--style temperature-sz-hist --hist_ranges min 1,000 1,000 max"),
    ("spread", "--style temperature-sz-hist --hist_ranges -1000000000000 0 0 10000"),
    ("spread", "--style recency-sz-hist --hist_logscale --raw_number"),
    ("spread passed", "--style recency-percentiles --percentiles_range 0 101 50"),
    ("spread", "--style recency-percentiles --percentiles_range 5"),
    ("spread", "--style recency-percentiles --percentiles_range 95 101"),
    ("spread", "--style recency-percentiles --percentiles_range 100 5 3 50"),
    ("spread", "--style temperature-percentiles --percentiles_range 100 -1 -25"),
    ("spread", "--style temperature-percentiles --percentiles_range 0 1 25 50 75 90 99 100 110"),
    ("spread", "--style recency-percentiles --percentiles_range 3 1"),
    ("spread two passed", "--total_sz_only"),
    ("spread short", "--total_sz_only --raw_number"),
    ("spread two", "--total_sz_only --sz_region 8K max"),
    ("spread", "--total_sz_only --address 5G 7G"),
    ("spread", "--total_sz_only --format append region '<index>'"),
    ("spread two", "--total_sz_only --style hot"),
    ("units", "--format set snapshot_head '<duration>|<start time>|<abs end time>' --format set snapshot_tail"
     " '<total bytes>|<estimated memory bandwidth>'"),
    ("units", "--raw_form"),
    ("units", "--style recency-percentiles"),
    # region boxes
    ("spread two passed one high", "--region_box"),
    ("spread", "--region_box --style hot"),
    ("spread", "--region_box --style simple-boxes"),
    ("spread", "--region_box --style recency-percentiles"),
    ("spread", "--region_box --total_sz_only"),
    ("spread", "--region_box --raw_number"),
    ("spread", "--region_box --region_box_values size age access_rate"),
    ("spread", "--region_box --region_box_values access_rate size age"),
    ("spread", "--region_box --region_box_values age none none"),
    ("spread", "--region_box --region_box_values none access_rate size"),
    ("spread", "--region_box --region_box_min_max_length 5 10"),
    ("spread", "--region_box --region_box_min_max_length 10 5"),
    ("spread", "--region_box --region_box_min_max_length 0 0"),
    ("spread", "--region_box --region_box_min_max_height 1 1"),
    ("spread", "--region_box --region_box_min_max_height 0 3"),
    ("spread", "--region_box --region_box_min_max_height 3 3 --region_box_align right"),
    ("spread", "--region_box --region_box_colorset flame"),
    ("spread", "--region_box --region_box_colorset emotion"),
    ("spread", "--region_box --region_box_scales linear linear linear"),
    ("spread", "--region_box --region_box_scales linear log linear"),
    ("spread", "--region_box --region_box_align right"),
    ("spread", "--style simple-boxes --region_box_align left --region_box_min_max_length 1 60"),
    ("spread", "--style simple-boxes --region_box_min_max_height 2 4"),
    ("spread", "--style hot --region_box_values size access_rate age --region_box_scales linear linear linear"),
    ("spread two short", "--format set region <box>"),
    ("spread two short high", "--format set snapshot_tail '<region box description>'"),
    ("spread", "--format set snapshot_tail '<region box description>' --raw_number"),
    ("spread", "--format set snapshot_tail '<region box description>' --region_box_values size age access_rate"),
    ("spread", "--format set snapshot_tail '<region box description>' --region_box_scales linear log linear"),
    ("pair", "--format set region '<box>|<size>' --snapshot_idx 0 0"),
    # formats
    ("spread passed short tuned intervals pair", "--format set record_head {record}"),
    ("spread passed tuned", "--format set record_tail {record} --raw_number"),
    ("spread passed tuned intervals two high rejected", "--format set snapshot_head {snapshot}"),
    ("spread passed tuned intervals", "--format set snapshot_tail {snapshot} --raw_number"),
    ("spread passed hits warm high", "--format set region {region}"),
    ("spread passed hits", "--format set region {region} --raw_number"),
    ("spread", "--format set region '<box>|<size>' --region_box_min_max_height 1 1"),
    ("spread", "--format set region '<box>|<size>' --region_box_min_max_height 1 1 --region_box"),
    ("hits tuned", "--region_box"),
    ("spread", "--format set region ''"),
    ("spread", "--format set record_tail ''"),
    ("spread two", "--format set snapshot_head '' --format set snapshot_tail ''"),
    ("spread", "--format append record_head 'a <duration> b' --format append record_head 'c'"),
    ("spread", "--format append region 'a<index>b\\nc'"),
    ("spread", "--format append snapshot_head '<start time>' --format append snapshot_tail '<end time>\\n'"),
    ("spread two", "--format set region 'x\\n'"),
    ("spread", "--format append record_tail '<intervals goal>' --format set record_head '<format strings>'"),
    ("spread", "--format set region '<size> <size>|<index>' --min_chars_for '<size>' 20"),
    ("spread", "--format set region '<temperature>|<probe hits>|' --min_chars_for '<temperature>' 20"),
    ("spread", "--format set region '<access rate>|' --min_chars_for '<access rate>' 1"),
    ("spread", "--min_chars_for '<total bytes>' 30 --format set snapshot_tail '<total bytes>|'"),
    ("spread", "--format_region '<size>'"),
    ("spread", "--format_record_head a --format_record_tail b --format_snapshot_head c --format_snapshot_tail d"),
    ("spread", "--format_snapshot_head 'a\\nb' --format append snapshot_head c"),
    ("spread", "--format bogus region x"),
    ("spread", "--format set bogus x"),
    ("spread", "--ls_record_format_keywords"),
    ("spread", "--ls_snapshot_format_keywords"),
    ("spread", "--ls_region_format_keywords"),
    # the heatmap of a snapshot
    ("spread short high pair", "--snapshot_heatmap_width 40"),
    ("spread two", "--snapshot_heatmap_width 1"),
    ("spread passed", "--snapshot_heatmap_width 7"),
    ("spread", "--snapshot_heatmap_width 300"),
    ("spread one two short passed", "--snapshot_heatmap_static"),
    ("spread", "--snapshot_heatmap_static --snapshot_heatmap_width 33"),
    ("spread", "--snapshot_heatmap_colorset flame"),
    ("spread", "--snapshot_heatmap_colorset emotion"),
    # filters
    ("spread passed short two", "--sz_region 8K max"),
    ("spread", "--sz_region 8K 8K"),
    ("spread", "--sz_region 1 4095"),
    ("spread", "--sz_region max min"),
    ("spread warm short two", "--access_rate 1% max"),
    ("spread warm", "--access_rate 0% 0%"),
    ("spread", "--access_rate 5 15"),
    ("spread", "--access_rate 5% 5%"),
    ("spread short", "--age 1s max"),
    ("spread", "--age 0 1000000"),
    ("spread", "--age 5 10"),
    ("spread", "--age 1200000 1200000"),
    ("spread passed two", "--address 5G 7G"),
    ("spread passed", "--address 4.5G 5.5G --address 20G 30G"),
    ("spread", "--address 20G 30G --address 4.5G 5.5G"),
    ("spread", "--address 7G 8G"),
    ("spread", "--address 5G 6G --address 5.5G 7G"),
    ("spread two", "--sz_snapshot 2G max"),
    ("two short", "--sz_snapshot 0 1G"),
    ("two", "--sz_snapshot 60G 70G --sz_snapshot 0 3G"),
    ("spread", "--sz_snapshot 0 1"),
    ("two", "--snapshot_time 0 max"),
    ("two", "--snapshot_time 1748191609649802240 1748191609749802240"),
    ("two", "--snapshot_time 1748191609649802241 max"),
    ("short", "--snapshot_time '1 h 1 m 1.5 s' '1 h 1 m 1.7 s'"),
    ("two", "--snapshot_idx 0 0"),
    ("two short", "--snapshot_idx 1 3"),
    ("two", "--snapshot_idx 5 9"),
    ("short", "--snapshot_idx 0 0 --snapshot_idx 2 2"),
    ("pair", "--snapshot_idx 1 1"),
    ("spread", "--temperature 0 1000000000000"),
    ("spread", "--temperature -1000000000000 0"),
    ("spread", "--temperature 1000 1000 --temperature -1000000000 0"),
    ("spread", "--temperature 0 100000 --temperature_weights 1 0 0"),
    ("spread two short", "--sz_region 4K 10G --access_rate 0% 50% --age 0 10s --temperature -100000 100000000"),
    ("spread", "--sz_region 4K 1G --style temperature-sz-hist"),
    ("spread", "--access_rate 1% 100% --style recency-percentiles"),
    ("passed", "--address 5G 7G --style recency-sz-hist"),
    ("bare", "--raw_form --access_rate 1% max"),
    ("bare", "--raw_form --sz_region 1M max"),
    ("bare", "--raw_form --age 1s max --snapshot_idx 0 2"),
    ("bare", "--json --sz_region 100M max"),
    ("spread", "--json --address 4.5G 5.5G --raw_number"),
    ("short", "--raw_form --address 85.3T 86T --snapshot_idx 0 2"),
    ("spread", "--dont_merge_regions"),
)  # fmt: skip

# Words of other reports, by the records they are for.
OTHERS: tuple[tuple[str, str], ...] = (
    ("spread one two warm walk many targets bare ageless tuned intervals passed high holes empty nothing",
     "heatmap --guide"),
    ("spread walk targets bare high tuned holes", "heatmap --guide_human"),
    ("spread walk targets bare nothing empty", "record_info"),
    ("spread walk targets bare", "record_info --raw_numbers"),
    ("spread one two warm walk many targets bare ageless tuned intervals passed high holes empty nothing",
     "heatmap --resol 5 20"),
    ("spread walk many bare", "heatmap"),
    ("spread walk targets bare ageless tuned passed holes high intervals warm", "heatmap --resol 4 5 --output raw"),
    ("walk", "heatmap --resol 4 5 --output raw --abs_time"),
    ("walk", "heatmap --resol 4 5 --output raw --abs_addr"),
    ("walk targets", "heatmap --resol 4 5 --output raw --abs_addr --abs_time --draw_range all"),
    ("spread walk targets bare", "heatmap --resol 3 30 --draw_range all"),
    ("walk", "heatmap --resol 3 30 --draw_range hottest"),
    ("walk", "heatmap --resol 1 30"),
    ("walk", "heatmap --resol 30 1"),
    ("walk", "heatmap --resol 100 200"),
    ("walk", "heatmap --resol 3 30 --stdout_colorset flame"),
    ("walk", "heatmap --resol 3 30 --stdout_colorset emotion"),
    ("walk", "heatmap --resol 3 30 --stdout_skip_colorset_example"),
    ("passed walk spread rejected", "heatmap --resol 3 30 --df_passed"),
    ("passed", "heatmap --resol 3 10 --df_passed --output raw"),
    ("walk spread", "heatmap --resol 3 30 --sort_temperature"),
    ("walk", "heatmap --resol 3 10 --sort_temperature --output raw"),
    ("walk", "heatmap --resol 3 10 --sort_temperature --temperature_weights 1 0 --output raw"),
    ("walk", "heatmap --resol 3 10 --sort_temperature --temperature_weights 0 1 --output raw"),
    ("walk", "heatmap --resol 3 10 --time_range 0 3s guided --output raw"),
    ("walk", "heatmap --resol 3 10 --time_range 1s 1500ms guided"),
    ("walk", "heatmap --resol 3 10 --time_range '-1500 ms' '0 s' guided_end"),
    ("walk", "heatmap --resol 3 10 --time_range '-1500 ms' '0 s' guided_end --output raw"),
    ("walk", "heatmap --resol 3 10 --time_range 3662s 3663s"),
    ("walk", "heatmap --resol 3 10 --time_range 3662s 3663s --output raw --abs_time"),
    ("walk", "heatmap --resol 3 10 --time_range 0 1s 3662s"),
    ("walk", "heatmap --resol 3 10 --time_range 3662000000000 3663000000000 --output raw"),
    ("walk", "heatmap --resol 3 10 --time_range 1s 2s"),
    ("walk", "heatmap --resol 3 10 --address_range 0 10M guided"),
    ("walk", "heatmap --resol 3 10 --address_range 0 10M guided --output raw"),
    ("walk", "heatmap --resol 3 10 --address_range 93824992231424 93824999999999 --output raw"),
    ("walk", "heatmap --resol 3 10 --address_range 93824992231424 93824999999999 --abs_addr --output raw"),
    ("walk", "heatmap --resol 3 10 --address_range 0 10M 93824992231424 --output raw"),
    ("walk", "heatmap --resol 3 10 --address_range 0 10M guided --address_range 0 5M guided --output raw"),
    ("walk", "heatmap --resol 3 10 --address_range 0 1M"),
    ("walk targets", "heatmap --resol 3 10 --tid 1234"),
    ("targets", "heatmap --resol 3 10 --tid 101"),
    ("targets", "heatmap --resol 3 10 --tid 100 --kdamond_idx 1 --output raw"),
    ("targets", "heatmap --resol 3 10 --kdamond_idx 1"),
    ("targets", "heatmap --resol 3 10 --context_idx 0 --scheme_idx 0"),
    ("targets", "heatmap --resol 3 10 --kdamond_idx 0 --context_idx 0 --scheme_idx 0 --tid 101 --time_range 0 2s guided"
     " --address_range 0 10M guided"),
    ("walk many targets bare holes spread one two warm tuned nothing ageless", "wss"),
    ("walk many targets", "wss --raw_number"),
    ("walk many", "wss --range 0 101 10"),
    ("walk", "wss -r 1 101 33 --raw_number"),
    ("walk", "wss --range 50 51 1"),
    ("walk", "wss --range 100 -1 -50"),
    ("walk", "wss --sortby time"),
    ("walk", "wss -s size"),
    ("walk many", "wss --sortby time --range 0 101 20 --raw_number"),
    ("walk", "wss --exclude_samples 0"),
    ("walk", "wss --exclude_samples 29"),
    ("walk spread two", "wss --exclude_samples 0 --all_wss"),
    ("walk", "wss --exclude_samples 25 --all_wss --sortby time"),
    ("walk", "wss --exclude_samples 25 --all_wss --raw_number"),
    ("walk bare", "wss --acc_thres 5"),
    ("walk", "wss -t 0"),
    ("walk", "wss -t 100"),
    ("walk", "wss --sz_thres 10000000"),
    ("walk many holes", "wss --work_time 300000"),
    ("walk", "wss --work_time 300000 --raw_number --range 0 101 5"),
    ("walk", "wss --work_time 1000000 --acc_thres 30 --exclude_samples 0 --raw_number"),
    ("many", "wss --work_time 2500000 --raw_number --exclude_samples 3"),
    ("walk", "wss --work_time 100000000"),
    ("walk", "wss --nr_cols_bar 0"),
    ("walk", "wss --nr_cols_bar 10"),
    ("walk", "wss --nr_cols_bar 100"),
    ("targets", "wss --per_target"),
    ("targets", "wss --collapse_targets"),
    ("targets", "wss --per_target --collapse_targets"),
    ("targets", "wss --per_target --all_wss --exclude_samples 20"),
    ("targets", "wss --work_time 250000 --raw_number"),
    ("walk many targets bare holes spread nothing tuned", "nr_regions"),
    ("walk", "nr_regions --range 0 101 10"),
    ("many", "nr_regions -r 1 101 7"),
    ("walk", "nr_regions --sortby time"),
    ("many targets", "nr_regions -s time -r 0 101 20"),
    ("walk", "nr_regions -s size -r 50 40 -3"),
)  # fmt: skip

# Reports whose record is given in another way.
NAMED = (
    "footprints --input {walk.data.mem_footprint}",
    "footprints vsz --input {walk.data.mem_footprint}",
    "footprints rss --input {walk.data.mem_footprint} --raw_number",
    "footprints sys_used --input {walk.data.mem_footprint} --range 0 101 10",
    "footprints all --input {walk.data.mem_footprint} --sortby time",
    "footprints rss --input {walk.data.mem_footprint} --sortby time --range 0 101 5 --raw_number",
    "footprints rss --input {walk.data.mem_footprint} --nr_cols_bar 0",
    "footprints rss --input {walk.data.mem_footprint} --nr_cols_bar 21",
    "footprints rss --input {walk.data.mem_footprint} --all_footprint",
    "footprints rss --input {walk.data.mem_footprint} --all_footprint --sortby time --raw_number",
    "times --inputs {walk.data} {walk.data}",
    "times --inputs {holes.data} {walk.data}",
    "times --inputs {targets.data} {walk.data}",
    "times --inputs {bare.data} {walk.data}",
    "times --inputs {spread.data} {walk.data}",
    "times --inputs {walk.data} {walk.data} --access_rate 90% max",
    "times --inputs {walk.data} {walk.data} --access_rate 50% 60% --sz_region 3M 4M",
    "times --inputs {walk.data} {walk.data} --age 5s max",
    "times --inputs {walk.data} {walk.data} --snapshot_idx 3 5 --snapshot_idx 10 12",
    "times --inputs {walk.data} {walk.data} --snapshot_time 3662s 3663s",
    "times --inputs {walk.data} {walk.data} --address 85.333T 85.334T --access_rate 80% max",
    "times --inputs {walk.data} {walk.data} --temperature 200000000 900000000",
    "times --inputs {walk.data} {walk.data} --sz_snapshot 0 1G",
    "times --inputs {targets.data} {walk.data} --access_rate 90% max",
    "times --inputs {holes.data} {walk.data} --access_rate 90% max",
    "times --inputs {bare.data} {walk.data} --access_rate 90% max",
    "times --inputs {bare.data} {walk.data} --sz_region 130M max",
    "times --inputs {walk.data} {walk.data} --access_rate 100% 100% --age 100s 200s",
    "access --raw_form --input {walk.txt}",
    "heatmap --resol 3 20 --input {walk.txt}",
    "heatmap --guide --input {walk.txt}",
    "wss --input {walk.txt}",
    "nr_regions --input {walk.txt}",
    "times --inputs {walk.txt} {walk.data}",
    "record_info --input {walk.txt}",
    "access --input {spread.data} --input {passed.data}",
    "access --input {spread.data} --input {tuned.data} --style recency-percentiles",
    "access --input {spread.data} --input {passed.data} --style temperature-sz-hist",
    "access --input {two.data} --input {spread.data} --style hot",
    "access --input {spread.data} --input {hits.data}",
    "access --input {spread.data} --input {intervals.data} --total_sz_only",
    "access --input {spread.data} --input {two.data} --json --raw_number",
    "access --input {spread.data} --input {two.data} --raw_form",
    "access --input_file {spread.data}",
    "heatmap --resol 3 20 --input {walk.data} {targets.data}",
    "heatmap --guide --input {walk.data} {targets.data}",
    "heatmap --resol 3 20 --output raw --input {targets.data} {walk.data}",
)  # fmt: skip


# Commands that are no reports. `{out}` is a file that is looked into afterwards.
TOOLS = (
    "validate --input {walk.data}",
    "validate --input {holes.data}",
    "validate --input {spread.data} --nr_accesses 0 10",
    "validate --input {spread.data} --nr_regions 10 20",
    "validate --input {spread.data} --aggr 200000 300000",
    "validate --input {holes.data} --aggr 50000 150000",
    "validate --input {spread.data} --regions_boundary 4294967296-75161927680",
    "validate --input {spread.data} --regions_boundary 4294967296-5368709120 5368709120-75161927680",
    "validate --input {spread.data} --regions_boundary 0-4096",
    "validate --input {nothing.data}",
    "args accesses_filter",
    "args accesses_filter --raw",
    "args accesses_filter --sz_region 4K 1G --access_rate 5% 50% --age 1s 1m",
    "args accesses_filter --sz_region 4K 1G --access_rate 5% 50% --age 1s 1m --raw",
    "args accesses_filter --address 1G 2G --address 3G 4.5G --temperature -5 1000 --snapshot_idx 1 2",
    "args accesses_filter --sz_snapshot 1M 2M --snapshot_time 1s 2s --snapshot_time 3s max --raw",
    "args accesses_filter --sz_snapshot 1M 2M --snapshot_time 1s 2s --snapshot_time 3s max",
    "convert_record_format --record_file {walk.data} --format json --output_file {out}",
    "convert_record_format --record_file {walk.data} --format perf_script --output_file {out}",
    "convert_record_format --record_file {spread.data} --format perf_script --output_file {out}",
    "convert_record_format --record_file {targets.data} --format perf_script --output_file {out}",
    "convert_record_format --record_file {walk.txt} --format json --output_file {out}",
    "convert_record_format --record_file {passed.data} --format json --output_file {out}",
    "convert_record_format --record_file {intervals.data} --format json --output_file {out}",
    "convert_record_format --record_file {bare.data} --format json --output_file {out}",
    "convert_record_format --record_file {hits.data} --format json --output_file {out}",
    "adjust --input {walk.data} --output_type json --output {out}",
    "adjust --input {walk.data} --output_type json --output {out} --aggregate_interval 300000",
    "adjust --input {walk.data} --output_type perf_script --output {out} --aggregate_interval 300000 --skip 3",
    "adjust --input {walk.data} --output_type perf_script --output {out} --skip 3",
    "adjust --input {walk.data} --output_type perf_script --output {out} --access_rate 50% max",
    "adjust --input {walk.data} --output_type perf_script --output {out} --snapshot_idx 3 5 --sz_region 3M max",
    "adjust --input {spread.data} --output_type json --output {out} --address 4.5G 5.5G",
    "adjust --input {passed.data} --output_type json --output {out} --temperature 0 100000000000",
    "adjust --input {targets.data} --output_type perf_script --output {out} --aggregate_interval 250000",
)  # fmt: skip


def _lines() -> Iterator[str]:
    for style_of, words in ACCESS:
        for name in style_of.split():
            tail = f" --input {{{name}.data}}"
            if "{style}" in words:
                yield from (f"access {words.format(style=style)}{tail}" for style in STYLES)
            elif "{record}" in words:
                text = "\\n".join(f"{item[1:-1]}: {item}|" for item in RECORD_KEYWORDS)
                yield f"access {words.replace('{record}', shlex.quote(text))}{tail}"
            elif "{region}" in words:
                text = "".join(f"{item}|" for item in REGION_KEYWORDS)
                yield f"access {words.replace('{region}', shlex.quote(text))}{tail}"
            elif "{snapshot}" in words:
                for item in SNAPSHOT_KEYWORDS:
                    yield f"access {words.replace('{snapshot}', shlex.quote(f'[{item}]'))}{tail}"
            else:
                yield f"access {words}{tail}"
    for names, words in OTHERS:
        yield from (f"{words} --input {{{name}.data}}" for name in names.split())
    yield from NAMED


def lines() -> Sequence[str]:
    """All command lines; files stand in braces."""
    return [*(f"report {line}" for line in dict.fromkeys(_lines())), *TOOLS]


def words(line: str, directory: str) -> list[str]:
    """The words of a line, with files in `directory`."""
    return [
        written(line, directory) or ""
        if word == "{out}"
        else f"{directory}/{word[1:-1]}"
        if word.startswith("{") and word.endswith("}")
        else word
        for word in shlex.split(line)
    ]


def written(line: str, directory: str) -> str | None:
    """The file that a line writes, which is another one for each line."""
    return f"{directory}/out-{zlib.crc32(line.encode()):08x}" if "{out}" in line else None
