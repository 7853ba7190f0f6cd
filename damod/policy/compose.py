"""Many policies -> those that can run together. Conflicts are explained with both lines, never merged.

Who has the higher priority stays, then who comes first by name; it does not matter which of them runs already.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from damod.policy.load import Document
from damod.policy.memory import contradiction, opposite, same_memory, same_pattern
from damod.spec.kdamond import Context, Kdamond
from damod.spec.scheme import Scheme


@dataclass(frozen=True)
class Wanted:
    """A policy as it would run here and now: its kdamonds with targets and without what the kernel lacks."""

    document: Document
    kdamonds: tuple[Kdamond, ...]

    @property
    def name(self) -> str:
        return self.document.name

    @property
    def priority(self) -> int:
        return self.document.policy.priority if self.document.policy else 0


def compose(wanted: Sequence[Wanted]) -> tuple[list[Wanted], dict[str, str]]:
    """(those that may run in order of precedence, name -> why not for the others)."""
    kept: list[Wanted] = []
    refused: dict[str, str] = {}
    for item in sorted(wanted, key=lambda one: (-one.priority, one.name)):
        why = conflict(item, kept)
        if why:
            refused[item.name] = why
        else:
            kept.append(item)
    return kept, refused


def conflict(item: Wanted, others: Sequence[Wanted]) -> str:
    """Why a policy cannot run beside others, with both lines; "" if it can."""
    return next((reason for other in others for reason in _conflicts(item, other)), "")


def _conflicts(item: Wanted, other: Wanted) -> Iterator[str]:
    for path, context, scheme in _schemes(item):
        for its_path, its_context, its_scheme in _schemes(other):
            why = opposite(scheme, its_scheme) or contradiction(scheme, its_scheme)
            if why and same_pattern(scheme, context, its_scheme, its_context) and same_memory(context, its_context):
                yield (
                    f"{item.document.of(path)} (policy {item.name}) is in conflict with"
                    f" {other.document.of(its_path)} (policy {other.name}): {why}"
                )


def _schemes(item: Wanted) -> Iterator[tuple[str, Context, Scheme]]:
    for at, kdamond in enumerate(item.kdamonds):
        for place, context in enumerate(kdamond.contexts):
            for index, scheme in enumerate(context.schemes):
                yield f"kdamonds[{at}].contexts[{place}].schemes[{index}]", context, scheme
