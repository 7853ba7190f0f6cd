"""Examples for the helps of commands that have none of their own: `damoctl COMMAND --help` shows them first.

Where a command keeps its examples beside its options, they are there; here are those of small commands and of the
kinds of reports, each made of words that the command takes (a test parses them).
"""

from __future__ import annotations

EXAMPLES: dict[str, str] = {
    "status": """\
  damoctl status                      what runs, whose it is, what is wrong
  damoctl status --json
""",
    "version": """\
  damoctl version                     of damoctl, the daemon and the kernel
""",
    "help": """\
  damoctl help start                  the same as `damoctl start --help`
  damoctl help damon_param_options damos
  damoctl help access_format_options region_format_keywords
""",
    "report": """\
  damoctl report access               what is hot and cold now
  damoctl report heatmap --input damon.data
  damoctl report damon                kdamonds, what they do and did
""",
    "report access": """\
  damoctl report access                                what is hot and what is cold, now
  damoctl report access --input damon.data             a record's snapshots
  damoctl report access --access_rate 50% max --style temperature-sz-hist
  damoctl report access --region_box --sort_regions_by temperature
""",
    "report damon": """\
  damoctl report damon                                 kdamonds as they run
  damoctl report damon --damos_stats                   what their schemes did
  damoctl report damon --damon_params_omit_defaults --format yaml
  damoctl report damon --input_file kdamonds.json      a file, without a daemon
""",
    "report heatmap": """\
  damoctl report heatmap                               of ./damon.data, on the terminal
  damoctl report heatmap --input day.data --output day.png
  damoctl report heatmap --resol 20 100 --draw_range all
""",
    "report wss": """\
  damoctl report wss                                   working set sizes of ./damon.data
  damoctl report wss --range 0 101 5 --sortby time
""",
    "report footprints": """\
  damoctl report footprints                            RSS, VSZ, system memory beside ./damon.data
  damoctl report footprints --range 0 101 25
""",
    "report times": """\
  damoctl report times --access_rate 0% 0% --address 4G 5G
""",
    "report profile": """\
  damoctl report profile --access_rate 50% max         hot functions while memory was hot
""",
    "report holistic": """\
  damoctl report holistic                              all of ./damon.data in one page
  damoctl report holistic --input day.data
""",
    "report record_info": """\
  damoctl report record_info                           what ./damon.data is about
  damoctl report record_info --input day.data
""",
    "report nr_regions": """\
  damoctl report nr_regions                            how many regions DAMON used in ./damon.data
  damoctl report nr_regions --range 0 101 25
""",
    "args": """\
  damoctl args damon --damos_action pageout --out kdamonds.json
  damoctl args accesses_filter --access_rate 50% max
""",
    "args accesses_filter": """\
  damoctl args accesses_filter --access_rate 50% max --age 5s max --format yaml
""",
    "args accesses_format": """\
  damoctl args accesses_format --style simple-boxes --output_format yaml
""",
    "policy list": "  damoctl policy list\n",
    "policy show": "  damoctl policy show tiering\n",
    "policy cat": "  damoctl policy cat tiering           what counts after all drop-ins\n",
    "policy check": """\
  damoctl policy check                 all of them
  damoctl policy check tiering.yaml --kernel 6.12
""",
    "policy diff": "  damoctl policy diff\n",
    "policy reload": "  damoctl policy reload\n",
    "policy enable": "  damoctl policy enable tiering\n",
    "policy disable": "  damoctl policy disable tiering\n",
    "policy apply": """\
  damoctl policy apply tiering --probation 60s
  damoctl policy apply tiering --shadow
""",
    "policy verify": "  damoctl policy verify\n",
    "policy schema": "  damoctl policy schema                for editors that complete YAML\n",
    "record list": "  damoctl record list\n",
    "record show": "  damoctl record show day\n",
    "record stop": "  damoctl record stop day\n",
    "record rm": "  damoctl record rm day\n",
    "record recover": "  damoctl record recover damon.data\n",
}


def of(command: str, own: str = "") -> str:
    """The block ``examples:`` of a command, with its own examples or those above; "" without any."""
    text = own or EXAMPLES.get(command, "")
    return f"examples:\n{text.rstrip()}" if text else ""
