"""Options on accesses: which to show (group F) and how (group X), each once.

`report access`, `record`, `adjust`, `args accesses_filter` and help read these tables. On the start-up path of
`damoctl report access`, so plain tuples only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from damoctl.flags.option import Option, Use, Word, read_use
from damoctl.flags.words import problems_error
from damod.errors import UsageError

STYLES = (
    "detailed", "simple-boxes", "temperature-sz-hist", "recency-sz-hist", "cold-memory-tail", "recency-percentiles",
    "idle-time-percentiles", "temperature-percentiles", "cold", "hot",
)  # fmt: skip
SORT_KEYS = ("address", "access_rate", "age", "size", "temperature")
POSITIONS = ("record_head", "snapshot_head", "region", "snapshot_tail", "record_tail")
# Whose arithmetic and layout --compat takes: damo's, as its own tests have it (3.3), or what 3.4 made of it.
NEWEST = "damo-3.4"
COMPAT = ("damo", NEWEST)
COLORSETS = ("gray", "flame", "emotion")
_BOX_VALUES = ("size", "access_rate", "age", "none")
_SCALES = ("linear", "log")

FILTERS: tuple[Option, ...] = (
    Option(
        ("--sz_region",), "filter", "Keep regions of this size, both ends included.",
        (Word("min", "bytes"), Word("max", "bytes")),
    ),
    Option(
        ("--access_rate",), "filter", "Keep regions with this access rate in percent, both ends included.",
        (Word("min", "share"), Word("max", "share")),
    ),
    Option(
        ("--age",), "filter", "Keep regions of this age, both ends included. A bare number is in microseconds.",
        (Word("min", "us"), Word("max", "us")),
    ),
    Option(
        ("--address",), "filter", "Keep what of the regions lies in [start, end). May be repeated.",
        (Word("start", "bytes"), Word("end", "bytes")), repeat=True,
    ),
    Option(
        ("--sz_snapshot",), "filter", "Keep snapshots of this total size. May be repeated.",
        (Word("min", "bytes"), Word("max", "bytes")), repeat=True,
    ),
    Option(
        ("--snapshot_time",), "filter",
        "Keep snapshots that start and end in this absolute time. A bare number is in nanoseconds. May be repeated.",
        (Word("start", "ns"), Word("end", "ns")), repeat=True,
    ),
    Option(
        ("--snapshot_idx",), "filter",
        "Keep the snapshots of each record from index start to end, counted from 0, both included. May be repeated.",
        (Word("start", "count"), Word("end", "count")), repeat=True,
    ),
    Option(
        ("--temperature",), "filter", "Keep regions of this temperature, both ends included. May be repeated.",
        (Word("min", "int"), Word("max", "int")), repeat=True,
    ),
)  # fmt: skip

FORMATS: tuple[Option, ...] = (
    Option(
        ("--style",), "format", "A preset of the formats below.", (Word("style", choices=STYLES),), default="detailed"
    ),
    Option(
        ("--percentiles_range",), "format",
        "Up to three numbers are start, stop and step of a range; more are the percentiles themselves.",
        (Word("number", "int"),), more=True, default="0 1 25 50 75 99 100",
    ),
    Option(
        ("--sort_regions_by",), "format", "Sort regions by these keys; the last one dominates.",
        (Word("key", choices=SORT_KEYS),), more=True, default="address",
    ),
    Option(
        ("--sort_regions_dsc",), "format", "Of the sort keys, those that sort from large to small.",
        (Word("key", choices=(*SORT_KEYS, "all")),), more=True,
    ),
    Option(
        ("--temperature_weights",), "format",
        "Weights of size (bytes), access rate (percent) and age (us) in the temperature.",
        (Word("size", "int"), Word("access rate", "int"), Word("age", "int")), default="0 100 100",
    ),
    Option(("--hist_logscale",), "format", "Bins of a histogram double in width instead of being equal."),
    Option(
        ("--hist_ranges",), "format", "The bins of the histogram themselves: start end start end ...",
        (Word("start"), Word("end")), more=True,
    ),
    Option(("--hist_cumulate",), "format", "Every bin of a histogram starts at the minimum."),
    Option(
        ("--format",), "format",
        "Set the template of a position, or append a line to it. `damoctl help access_format_options` lists keywords.",
        (Word("action", choices=("set", "append")), Word("position", choices=POSITIONS), Word("template")), repeat=True,
    ),
    *(
        Option((f"--format_{position}",), "format", f"Old form of --format set {position}.", (Word("template"),),
               hidden=True)
        for position in POSITIONS
    ),
    Option(
        ("--snapshot_heatmap_width",), "format", "Columns of <heatmap>.", (Word("number", "count", most=10_000),),
        default="80",
    ),
    Option(
        ("--snapshot_heatmap_colorset",), "format", "Colours of <heatmap>.", (Word("set", choices=COLORSETS),),
        default="gray",
    ),
    Option(("--snapshot_heatmap_static",), "format", "Show gaps between regions in <heatmap> in proportion."),
    Option(("--region_box",), "format", "Put a <box> before each region and describe it below."),
    Option(
        ("--region_box_values",), "format", "What length, colour and height of a box stand for.",
        (Word("length", choices=_BOX_VALUES), Word("color", choices=_BOX_VALUES), Word("height", choices=_BOX_VALUES)),
        default="age access_rate size",
    ),
    Option(
        ("--region_box_min_max_length",), "format", "Least and greatest length of a box.",
        (Word("min", "count", most=1000), Word("max", "count", most=1000)), default="1 30",
    ),
    Option(
        ("--region_box_min_max_height",), "format", "Least and greatest height of a box.",
        (Word("min", "count", most=100), Word("max", "count", most=100)), default="1 5",
    ),
    Option(
        ("--region_box_colorset",), "format", "Colours of boxes.", (Word("set", choices=COLORSETS),), default="gray"
    ),
    Option(
        ("--region_box_scales",), "format", "Scales of length, colour and height of a box.",
        (Word("length", choices=_SCALES), Word("color", choices=_SCALES), Word("height", choices=_SCALES)),
        default="log linear log",
    ),
    Option(
        ("--region_box_align",), "format", "Side on which boxes line up.", (Word("side", choices=("left", "right")),),
        default="left",
    ),
    Option(
        ("--min_chars_for",), "format", "Pad what a keyword shows to this many characters. May be repeated.",
        (Word("keyword"), Word("number", "count", most=1000)), repeat=True,
    ),
    Option(("--total_sz_only",), "format", "Show only the total size of each snapshot."),
    Option(
        ("--dont_merge_regions",), "format", "Do not merge neighbours of equal access pattern (live snapshots only)."
    ),
    Option(("--raw_number",), "format", "Plain numbers: bytes, ns or us, percent and hz with six decimals."),
    Option(("--json",), "format", "Print the records as JSON; of a style that has them, histograms or percentiles."),
    Option(("--raw_form",), "format", "Print the classic raw listing."),
    *(
        Option((f"--ls_{level}_format_keywords",), "format", f"List the keywords of {level} formats.", hidden=True)
        for level in ("record", "snapshot", "region")
    ),
)  # fmt: skip


MOST_PERCENTILES = 10_000


def percentiles(name: str, words: Sequence[int], *, least: int | None = None) -> Sequence[int]:
    """The percentiles from start, stop (not included) and step, as `range` takes them; none below `least`.

    UsageError where there is none, or more than anybody reads.
    """
    said = f"{name} {' '.join(map(str, words))}"
    if len(words) == 3 and words[2] == 0:
        raise UsageError(f"{name}: a step of 0 never ends")
    found = range(*words)
    try:
        count = len(found)
    except OverflowError:
        count = MOST_PERCENTILES + 1
    if not count or (least is not None and min(found[0], found[-1]) < least):
        raise UsageError(f"{said}: no percentile in it", hint=f"as in {name} 0 101 25")
    if count > MOST_PERCENTILES:
        raise UsageError(f"{said}: more than {MOST_PERCENTILES:,} percentiles", hint=f"as in {name} 0 101 25")
    return found


def values(found: Iterable[Use]) -> dict[str, list[list[Any]]]:
    """The values of the options used, by name without dashes: one list of values per use, in order.

    UsageError tells all wrong values at once.
    """
    known: dict[str, list[list[Any]]] = {}
    wrong: list[str] = []
    for use in found:
        read, problems = read_use(use)
        wrong += problems
        known.setdefault(use.option.key, []).append(read)
    if wrong:
        raise problems_error("the options", wrong)
    return known
