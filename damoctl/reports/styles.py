"""The templates of `report access`: what each style prints at each position, given what the records have to tell.

A template is text with ``<keyword>``s (see `columns`); an empty one prints nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from damoctl.reports.box import Box
from damod.access.record import Record
from damod.errors import UsageError

# Filters that the kernel evaluates page by page, so that only a part of a region may pass.
PAGE_FILTERS = ("anon", "active", "memcg", "young", "hugepage_size", "unmapped")

_MOST_CHARACTERS = 2000


class Facts(NamedTuple):
    """What of the records decides about optional parts, once for all of them."""

    records: int = 1
    several_snapshots: bool = False
    filtered: bool = False
    probed: bool = False
    tuned: bool = False
    sourced: bool = False
    lost: bool = False


def facts(records: Sequence[Record], *, compat: bool = False) -> Facts:
    """The facts of these records; damo (`compat`) looks for probe hits in the first one only."""
    probed = records[:1] if compat else records
    return Facts(
        records=len(records),
        several_snapshots=any(len(record.snapshots) > 1 for record in records),
        filtered=any(item.get("filter_type") in PAGE_FILTERS for record in records for item in record.filters),
        probed=any(snapshot.regions.probe_hits for record in probed for snapshot in record.snapshots),
        tuned=any(record.intervals is not None and record.intervals.goal.active for record in records),
        sourced=any(record.data_source == "damon_stat" for record in records),
        lost=any(snapshot.lost for record in records for snapshot in record.snapshots),
    )


class Templates(NamedTuple):
    """One template per position."""

    record_head: str = ""
    snapshot_head: str = ""
    region: str = ""
    snapshot_tail: str = ""
    record_tail: str = ""

    def edited(self, action: str, position: str, template: str, *, between: str = "\n") -> Templates:
        """With one position set, or a line appended to it. ``\\n`` in a template is a newline."""
        template = template.replace("\\n", "\n")
        before = getattr(self, position)
        return self._replace(
            **{position: f"{before}{between}{template}" if action == "append" and before else template}
        )


class Style(NamedTuple):
    """A preset. `sort` are its sort keys with whether each is descending; None leaves address order."""

    name: str
    box: Box | None = None
    sort: Sequence[tuple[str, bool]] | None = None


_FLAT = Box(ranges=((1, 40), (0, 9), (1, 1)), colorset="emotion", align="right")
_NAMED = (
    Style("detailed"),
    Style("simple-boxes", _FLAT),
    Style("cold", _FLAT, (("temperature", False),)),
    Style("hot", _FLAT, (("temperature", True),)),
    Style("temperature-sz-hist"),
    Style("recency-sz-hist"),
    Style("recency-percentiles"),
    Style("temperature-percentiles"),
)
STYLES: dict[str, Style] = {style.name: style for style in _NAMED}
STYLES["cold-memory-tail"] = STYLES["recency-sz-hist"]
STYLES["idle-time-percentiles"] = STYLES["recency-percentiles"]

TIME = "snapshot time: [<start time>, <end time>] (<duration>)"
DF_TYPE = "# damos filters (df): <filters passed type>"


HITS_LEGEND = "#   addr         size                age           probe_hits\n#                             access_hz"


def lines(*parts: str | bool) -> str:
    """The texts among the parts, one below the other."""
    return "\n".join(part for part in parts if isinstance(part, str))


def _detailed_head(known: Facts) -> str:
    return lines(
        known.several_snapshots and TIME,
        "heatmap: <heatmap>",
        "intervals: <snapshot intervals>",
        known.filtered and DF_TYPE,
        known.filtered and "df-pass: <filters passed heatmap>",
    )


def _detailed_region(known: Facts) -> str:
    if known.probed:
        return "<index> <start address> <size>  <access hz> <age> <probe hits> "
    passed = " df-passed <filters passed bytes>" if known.filtered else ""
    return "<index> addr <start address> size <size> access <access hz> age <age>" + passed


def _histogram_head(known: Facts, legend: str, metric: str) -> str:
    return lines(
        *((DF_TYPE, f"{legend} <df-passed size>", f"<{metric}-df-passed-sz histogram>", "") if known.filtered else ()),
        f"{legend} <total size>",
        f"<{metric}-sz histogram>",
    )


def _percentiles_head(known: Facts, metric: str) -> str:
    return lines(
        known.several_snapshots and TIME,
        *(
            (DF_TYPE, f"# df-passed {metric} percentiles", f"<df-passed {metric} percentiles>", "")
            if known.filtered
            else ()
        ),
        f"# total {metric} percentiles",
        f"<{metric} percentiles>",
    )


def _body(style: str, known: Facts) -> tuple[str, str]:
    """Snapshot head and region template of a style."""
    if style == "simple-boxes":
        return TIME, "<box> size <size> access <access hz> age <age>"
    if style in ("cold", "hot"):
        return _detailed_head(known), "<box> <size> access <access hz> <age>"
    if style == "temperature-sz-hist":
        return _histogram_head(known, "<temperature>", "temperature"), ""
    if style == "recency-sz-hist":
        return _histogram_head(known, "<idle time (us)>", "recency"), ""
    if style in ("recency-percentiles", "temperature-percentiles"):
        return _percentiles_head(known, style.removesuffix("-percentiles")), ""
    return lines(_detailed_head(known), known.probed and HITS_LEGEND), _detailed_region(known)


def templates(
    style: str,
    known: Facts,
    *,
    region_box: bool = False,
    total_sz_only: bool = False,
    compat: bool = False,
    stats: bool = False,
) -> Templates:
    """The templates of a style. damo (`compat`) shows a record's line in place of the snapshot tail with boxes.

    With `stats`, as damo does since 3.4, those of the scheme are below snapshots that page filters were applied to.
    """
    head, region = _body(style, known)
    tail = lines(
        "memory bw estimate: <estimated memory bandwidth>"
        + ("  df-passed: <filters passed estimated memory bandwidth>" if known.filtered else ""),
        "total size: <total bytes>" + ("  df-passed <filters passed bytes>" if known.filtered else ""),
        *(("scheme stats", "<damos stats>") if known.filtered and stats else ()),
        known.lost and "# lost: <lost events> trace events before this snapshot",
    )
    record_tail = lines(
        "record DAMON intervals: <intervals>",
        known.tuned and "# <intervals goal>",
        known.sourced and "# data source: <data source>",
    )
    if total_sz_only:
        head, region, tail = "", "", "<total bytes>"
    if region_box and compat:
        region = "<box>" + _detailed_region(known._replace(filtered=False))
    elif region_box:
        region = "<box>" + region
    if region_box:
        tail = lines(record_tail if compat else tail, "<region box description>")
    return Templates(
        record_head=(
            "kdamond <kdamond index> / context <context index> / scheme <scheme index> / target id <target id>"
            " / recorded for <duration> from <abs start time>"
            if known.records > 1
            else ""
        ),
        snapshot_head=head,
        region=region,
        snapshot_tail=tail,
        record_tail=record_tail,
    )


def apply_edits(
    found: Templates, edits: Iterable[tuple[str, str, str]], *, compat: bool = False, legend: str = HITS_LEGEND
) -> Templates:
    """The templates after all ``--format set|append`` in order. damo (`compat`) begins no line for what it appends.

    `legend` ends the snapshot head and names the columns of regions.

    UsageError for a template that no screen has room for.
    """
    for action, position, template in edits:
        if action == "set" and position == "region":
            # The legend explains the columns of the style's own regions.
            found = found._replace(snapshot_head=found.snapshot_head.removesuffix(f"\n{legend}"))
        found = found.edited(action, position, template, between="" if compat else "\n")
        if len(getattr(found, position)) > _MOST_CHARACTERS:
            raise UsageError(f"--format {action} {position}: a template of more than {_MOST_CHARACTERS:,} characters")
    return found
