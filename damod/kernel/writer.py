"""Spec -> ordered writes: what goes into which file is a value, testable and printable, before anything is touched.

`writes` is absolute for one slot: it says every attribute that this kernel has. `differences` keeps what is not in the
tree yet. A count (`nr_schemes`) comes before the directories it makes; writing it, even the same number, throws its
children away, so an unchanged count is never rewritten.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from damod.errors import NotFound
from damod.kernel import paths
from damod.kernel.features import Features
from damod.kernel.interface import Proc, Tree
from damod.spec.base import Age, Rate
from damod.spec.filter import LAYER, AddressRange
from damod.spec.kdamond import Context, Kdamond, Target


@dataclass(frozen=True)
class Write:
    """One write(2) of `value` into the file `path`; `makes` is the directory whose children it makes anew."""

    path: str
    value: str
    makes: str = ""


class WriteRefused(OSError):
    """The kernel answered a write with an errno; `done` writes before it were taken."""

    def __init__(self, write: Write, code: int, done: int) -> None:
        super().__init__(code, os.strerror(code), write.path)
        self.write = write
        self.done = done


def _get(model: Any, field: str) -> Any:
    """The value at a dotted field; an absent one (a filter has only its own type's fields) is None."""
    for part in field.split("."):
        model = model[int(part)] if part.isdigit() and model is not None else getattr(model, part, None)
    return model


def spell(value: Any, kind: paths.Kind, context: Context | None) -> str:
    """A field's value as its file takes it. Rates and ages become counts on the intervals of their context."""
    if isinstance(value, Rate) and context:
        return str(value.samples(context.intervals.max_samples, upper=kind == "rate_max"))
    if isinstance(value, Age) and context:
        return str(value.aggrs(context.intervals.aggr_us, upper=kind == "age_max"))
    if kind == "flag":
        return "Y" if value else "N"
    if kind == "nid":
        return str(-1 if value is None else value)
    if kind == "text":
        return str(value)
    return str(value or 0)


def _items(entry: paths.Children, model: Any, features: Features) -> Sequence[Any]:
    items: Sequence[Any] = _get(model, entry.field)
    if entry.field != "filters" or entry.layout is not paths.FILTER:
        return items
    if entry.layer:
        return [item for item in items if LAYER.get(item.filter_type) == entry.layer]
    return [] if features.has("core_ops_filters") else items


def _walk(layout: paths.Layout, model: Any, at: str, features: Features, context: Context | None) -> Iterator[Write]:
    if isinstance(model, Context):
        context = model
    for entry in layout:
        if entry.feature and not features.has(entry.feature):
            continue  # spec.needs has made sure that the spec does not ask for it
        if isinstance(entry, paths.Children):
            items = _items(entry, model, features)
            yield Write(f"{at}/{entry.count}", str(len(items)), makes=f"{at}/{entry.path}/")
            for index, item in enumerate(items):
                yield from _walk(entry.layout, item, f"{at}/{entry.path}/{index}", features, context)
            continue
        value = _get(model, entry.field)
        if value is None and (entry.kind == "text" or layout is paths.FILTER):
            continue  # another type's field; and a path, once written, cannot be emptied: write(2) of nothing is none
        yield Write(f"{at}/{entry.path}", spell(value, entry.kind, context))


def writes(kdamond: Kdamond, slot: int, features: Features) -> list[Write]:
    """Everything a kdamond's slot shall hold, in an order in which it can be written."""
    return list(_walk(paths.KDAMOND, kdamond, paths.kdamond(slot), features, None))


def differences(wanted: Iterable[Write], read: Callable[[str], str]) -> list[Write]:
    """The writes that are needed to get a tree there, given how its files are read.

    A file that is not there is to be written, so that the kernel's refusal tells which. Raises as `read` does.
    """

    def stands(write: Write) -> bool:
        try:
            return read(write.path) == write.value
        except FileNotFoundError:
            return False

    needed: list[Write] = []
    anew = ""  # children follow their count at once, so the last one that changed is enough to know
    for write in wanted:
        if anew and write.path.startswith(anew):
            needed.append(write)
        elif not stands(write):
            needed.append(write)
            anew = write.makes
    return needed


def apply(tree: Tree, todo: Iterable[Write]) -> int:
    """Perform the writes in order and return how many there were.

    Stops at the first refusal: the kernel keeps what was staged before it, and nothing takes effect until the caller
    commits. Raises WriteRefused.
    """
    done = 0
    for done, write in enumerate(todo, start=1):
        try:
            tree.write(write.path, write.value)
        except OSError as exc:
            raise WriteRefused(write, exc.errno or 0, done - 1) from exc
    return done


def _default_region(context: Context, proc: Proc) -> AddressRange:
    ranges = proc.system_ram()
    if not ranges:
        raise NotFound(
            "looked for System RAM to monitor, but this machine shows none",
            hint="/proc/iomem shows addresses to root only; or give the regions yourself (`--regions START-END`)",
        )
    start, end = max(ranges, key=lambda span: span[1] - span[0])
    return AddressRange(start=start // context.addr_unit, end=end // context.addr_unit)


def resolve(kdamond: Kdamond, proc: Proc) -> Kdamond:
    """The spec with what only this machine knows: a paddr target without regions watches the largest System RAM range.

    Addresses are in units of `addr_unit`, as the kernel counts them.
    """

    def target(item: Target, context: Context) -> Target:
        if context.ops != "paddr" or item.regions:
            return item
        return item.model_copy(update={"regions": (_default_region(context, proc),)})

    contexts = tuple(
        context.model_copy(update={"targets": tuple(target(item, context) for item in context.targets)})
        for context in kdamond.contexts
    )
    return kdamond.model_copy(update={"contexts": contexts})


def notes(kdamond: Kdamond, features: Features) -> list[str]:
    """What will be done otherwise than the words of the spec suggest, as sentences; nothing here is an error."""
    found: list[str] = []
    for context_index, context in enumerate(kdamond.contexts):
        for index, scheme in enumerate(context.schemes):
            at = f"contexts[{context_index}].schemes[{index}]"
            layers = [LAYER.get(item.filter_type, "ops") for item in scheme.filters]
            if layers != sorted(layers):
                found.append(
                    f"{at}.filters: the kernel evaluates filters by address, target and probe hits before those by"
                    " page; the order within each group is kept"
                )
            pattern = scheme.access_pattern
            rates, ages = pattern.nr_accesses, pattern.age
            if rates.min.samples(context.intervals.max_samples, upper=False) > rates.max.samples(
                context.intervals.max_samples, upper=True
            ):
                found.append(
                    f"{at}.access_pattern.nr_accesses: no whole number of samples lies between {rates.min} and"
                    f" {rates.max} of {context.intervals.max_samples}, so nothing can match"
                )
            if ages.min.aggrs(context.intervals.aggr_us, upper=False) > ages.max.aggrs(
                context.intervals.aggr_us, upper=True
            ):
                found.append(
                    f"{at}.access_pattern.age: no whole aggregation interval lies between {ages.min} and {ages.max},"
                    " so nothing can match"
                )
            effect = features.effect(context.ops, scheme.action)
            if effect:
                found.append(f"{at}.action: {effect}")
    return found
