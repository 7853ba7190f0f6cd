"""Names that damo once had, or has moved: what does the same here."""

from __future__ import annotations

TWINS = {
    "show": "`damoctl report access`",
    "translate_damos": "`damoctl args damon` (make the scheme from options; one-line scheme files are not read)",
    "pa_layout": "`damoctl report pa_layout`",
    "record_info": "`damoctl report record_info`",
    "fmt_json": "`damoctl args damon --format json`",
    "report raw": "`damoctl report access --raw_form`, or --json",
    "report heats": "`damoctl report heatmap --output raw`",
}
"""The old name -> the twin."""


def gone(name: str) -> str:
    """What to use instead of a name that is gone; "" if it never was one."""
    twin = TWINS.get(name)
    return f"damo had it once; here it is {twin}" if twin else ""
