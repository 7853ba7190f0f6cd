"""Why a scheme, or a whole kdamond, rests as it is meant to: paused, or asleep at watermarks."""

from __future__ import annotations

from damoctl.diagnose.facts import Facts, Seen
from damod.spec.scheme import Scheme

_AS_MEANT = "as they are meant to; change the watermarks if it should work now"


def paused(seen: Seen) -> tuple[str, str] | None:
    """Why, and what to do, if its context is paused."""
    if not seen.context.pause:
        return None
    return "its context is paused", "`damoctl tune` without --pause_ctx lets it go on"


def asleep(facts: Facts, scheme: Scheme) -> tuple[str, str] | None:
    """Why, and what to do, if its watermarks keep the scheme asleep with the memory that is free now.

    Between mid and high it stays as it was, which is taken for asleep.
    """
    marks, free = scheme.watermarks, facts.free_permil
    if marks.metric == "none" or free is None:
        return None
    now = f"its watermarks keep it asleep: {free / 10:g} % of memory is free"
    if free > marks.high_permil:
        return f"{now}, above high ({marks.high_permil / 10:g} %)", _AS_MEANT
    if free < marks.low_permil:
        return f"{now}, below low ({marks.low_permil / 10:g} %)", _AS_MEANT
    if free >= marks.mid_permil:
        return f"{now}, and it wakes below mid ({marks.mid_permil / 10:g} %)", _AS_MEANT
    return None


def sleeping(facts: Facts, seen: Seen) -> tuple[str, str] | None:
    """Why, and what to do, if the kdamond monitors nothing: it is paused, or each of its schemes is asleep."""
    reasons = [asleep(facts, scheme) for scheme in seen.schemes]
    return paused(seen) or (reasons[0] if reasons and all(reasons) else None)
