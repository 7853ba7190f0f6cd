"""Which option belongs to which kdamond, context, target, probe and scheme.

An option belongs to the item that was begun last before it: by a marker (--damos_scheme), or by the option that every
item has once (--damos_action, --ops, --target_pid). Options before the first item are the first item's. damo reads by
number instead (the n-th --damos_age is that of the n-th scheme); that reading is taken only where place says nothing,
that is where otherwise one item would have an option twice, and the numbers fit exactly: all uses stand after all
items' beginnings, or all before, or each directly before its own. Counts (--nr_schemes 1 1) must agree with the places,
and decide where the places say nothing. Everything else is an error that shows how the words were grouped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from damoctl.flags.option import Use
from damoctl.flags.table import COUNTS, MARKERS

PARENT = {"ctx": "kdamond", "target": "ctx", "probe": "ctx", "scheme": "ctx"}
LEVELS = ("kdamond", "ctx", "target", "probe", "scheme")
_BELOW = {
    "kdamond": LEVELS,
    "ctx": LEVELS[1:],
    "target": ("target",),
    "probe": ("probe",),
    "scheme": ("scheme",),
}
_TARGET_WORDS = ("--target_pid", "--regions", "--numa_node")
# Options of which an item may have any number.
LISTS = ("--damos_filter", "--damos_quota_goal", "--probe_prep", "--probe_filter", "--probe_weight")
MOST_ITEMS = 4096
"""So many items of a level an --nr_* option may make; any machine has fewer, and each costs memory before the kernel
is asked."""
SHOWN = {"kdamond": "kdamond", "ctx": "context", "target": "target", "probe": "probe", "scheme": "scheme"}


class Item:
    """One kdamond, context, target, probe or scheme: the options that are its own, and what is in it."""

    __slots__ = ("children", "level", "marked", "uses")

    def __init__(self, level: str, marked: bool = False) -> None:
        self.level = level
        self.marked = marked
        self.uses: list[Use] = []
        self.children: list[Item] = []

    def of(self, level: str) -> list[Item]:
        return [child for child in self.children if child.level == level]

    def named(self, *names: str) -> list[Use]:
        return [use for use in self.uses if use.option.name in names]

    def begun(self, begins: dict[str, str]) -> bool:
        """Whether it is more than options that wait for their item."""
        if self.level == "probe":
            return bool(self.named("--probe_prep", "--probe_filter"))
        if self.level == "target":
            return bool(self.named(*_TARGET_WORDS))
        own = begins.get(self.level)
        return bool(own and self.named(own)) or any(child.begun(begins) for child in self.children)


class Grouped(NamedTuple):
    """The kdamonds of a command line, options that stand for the whole line, and remarks about how it was read."""

    kdamonds: list[Item]
    globals: list[Use]
    notes: list[str]
    problems: list[str]


def _all(kdamonds: Sequence[Item], level: str) -> list[Item]:
    found = list(kdamonds)
    if level != "kdamond":
        found = [ctx for kdamond in found for ctx in kdamond.children]
        if level != "ctx":
            found = [item for ctx in found for item in ctx.of(level)]
    return found


def _merge(first: Item, second: Item, begins: dict[str, str]) -> bool:
    """Give the options that stood before the first marker to the first item; False if it has its own already."""
    if first.begun(begins):
        return False
    single = {use.option.name for use in first.uses} - set(LISTS)
    if single & {use.option.name for use in second.uses}:
        return False
    for child in list(first.children):
        same = second.of(child.level)
        if same and _merge(child, same[0], begins):
            continue
        second.children.insert(0, child)
    second.uses[:0] = first.uses
    return True


def _merge_preambles(siblings: list[Item], begins: dict[str, str]) -> None:
    for item in siblings:
        _merge_preambles(item.children, begins)
    for level in LEVELS:
        same = [item for item in siblings if item.level == level]
        if len(same) > 1 and not same[0].marked and same[1].marked and _merge(same[0], same[1], begins):
            siblings.remove(same[0])


def _walk(uses: Sequence[Use], begins: dict[str, str]) -> list[Item]:
    kdamonds: list[Item] = []
    current: dict[str, Item | None] = dict.fromkeys(LEVELS)

    def begin(level: str, marked: bool) -> Item:
        for below in _BELOW[level]:
            current[below] = None
        item = Item(level, marked)
        (here(PARENT[level]).children if level in PARENT else kdamonds).append(item)
        current[level] = item
        return item

    def here(level: str) -> Item:
        return current[level] or begin(level, False)

    for use in uses:
        name, level = use.option.name, use.option.level
        if name in MARKERS:
            begin(level, True)
            continue
        item = here(level)
        if begins.get(level) == name and item.named(name):
            item = begin(level, False)
        item.uses.append(use)
    _merge_preambles(kdamonds, begins)
    return kdamonds


def _fill(kdamonds: list[Item], level: str, number: int) -> None:
    """Add empty items at the end until there are so many of a level."""
    missing = number - len(_all(kdamonds, level))
    for _ in range(missing):
        item = Item(level)
        if level == "kdamond":
            kdamonds.append(item)
        else:
            _fill(kdamonds, PARENT[level], 1)
            _all(kdamonds, PARENT[level])[-1].children.append(item)


def _places(uses: Sequence[Use]) -> list[int]:
    return [use.at for use in uses]


class _Counts:
    """Applies the --nr_* options to what the places said."""

    def __init__(self, kdamonds: list[Item], uses: Sequence[Use], begins: dict[str, str]) -> None:
        self.kdamonds = kdamonds
        self.uses = uses
        self.begins = begins
        self.marked = {use.option.level for use in uses if use.option.name in MARKERS}
        self.problems: list[str] = []

    def apply(self, name: str, counts: list[int]) -> None:
        child, level = COUNTS[name]
        shown = f"{name} {' '.join(map(str, counts))}"
        if sum(counts) > MOST_ITEMS:
            what = child if child.startswith("--") else f"{SHOWN[child]}s"
            self._contradiction(f"{shown} makes {sum(counts):,} {what}, and at most {MOST_ITEMS:,} are taken")
            return
        parents = _all(self.kdamonds, level)
        if len(counts) > len(parents):
            if level in self.marked:
                self._contradiction(f"{shown} is about {len(counts)} {SHOWN[level]}s, the markers make {len(parents)}")
                return
            _fill(self.kdamonds, level, len(counts))
            parents = _all(self.kdamonds, level)
        counts = counts + [0] * (len(parents) - len(counts))
        leaf = child.startswith("--")
        have = [len(parent.named(child)) if leaf else len(parent.of(child)) for parent in parents]
        what = child if leaf else f"{SHOWN[child]}s"
        if sum(have) > sum(counts) or (leaf and sum(have) != sum(counts)):
            self._contradiction(f"{shown} makes {sum(counts)} {what}, but there are {sum(have)}")
            return
        if not leaf and child in self.marked and have != counts:
            places = " ".join(map(str, have))
            self._contradiction(f"{shown} contradicts the markers, which make {places} {what}")
            return
        if any(a > b for a, b in zip(have, counts, strict=True)):
            if not self._movable(child, level, parents, have):
                places = " ".join(map(str, have))
                self._contradiction(f"{shown} contradicts the order of the options, which says {places}")
                return
            self._move(child, leaf, parents, counts)
        if not leaf:
            for parent, count in zip(parents, counts, strict=True):
                parent.children += [Item(child) for _ in range(count - len(parent.of(child)))]

    def _movable(self, child: str, level: str, parents: list[Item], have: list[int]) -> bool:
        """Whether the places say nothing: all stand together, with no beginning of a parent after or before them."""
        if level in self.marked or child in self.marked:
            return False
        if sum(1 for number in have if number) > 1:
            return False
        holder = parents[next(index for index, number in enumerate(have) if number)]
        own = holder.named(child) if child.startswith("--") else [u for item in holder.of(child) for u in item.uses]
        begin = self.begins.get(level)
        starts = _places([use for use in self.uses if use.option.name == begin])
        places = _places(own)
        return not starts or not places or max(places) < min(starts) or min(places) > max(starts)

    def _move(self, child: str, leaf: bool, parents: list[Item], counts: list[int]) -> None:
        if leaf:
            uses = iter([use for parent in parents for use in parent.named(child)])
            for parent, count in zip(parents, counts, strict=True):
                parent.uses = [use for use in parent.uses if use.option.name != child]
                parent.uses += [next(uses) for _ in range(count)]
            return
        items = [item for parent in parents for item in parent.of(child)]
        items += [Item(child) for _ in range(sum(counts) - len(items))]
        rest = iter(items)
        for parent, count in zip(parents, counts, strict=True):
            parent.children = [item for item in parent.children if item.level != child]
            parent.children += [next(rest) for _ in range(count)]

    def _contradiction(self, text: str) -> None:
        self.problems.append(text)


def _by_number(
    kdamonds: list[Item], uses: Sequence[Use], begins: dict[str, str], marked: set[str], notes: list[str]
) -> list[str]:
    """Where an item has an option twice: read by number if that fits, else say so."""
    problems = []
    for level in LEVELS:
        items = _all(kdamonds, level)
        twice = {
            name
            for item in items
            for name in {use.option.name for use in item.uses} - set(LISTS)
            if len(item.named(name)) > 1
        }
        starts = sorted(_places([use for use in uses if use.option.name == begins.get(level)]))
        above = {level, PARENT.get(level, level), "kdamond"}
        for name in sorted(twice):
            found = [use for item in items for use in item.named(name)]
            if not (marked & above) and len(found) == len(items) and _says_nothing(_places(found), starts):
                for item in items:
                    item.uses = [use for use in item.uses if use.option.name != name]
                for item, use in zip(items, found, strict=True):
                    item.uses.append(use)
                notes.append(f"{name} is read by number: the first is that of {SHOWN[level]} 0, and so on")
                continue
            index = next(index for index, item in enumerate(items) if len(item.named(name)) > 1)
            again = ", ".join(map(str, items[index].named(name)))
            problems.append(
                f"{name} is given {len(items[index].named(name))} times for {SHOWN[level]} {index}: {again}"
            )
    return problems


def _says_nothing(places: list[int], starts: list[int]) -> bool:
    if not starts or min(places) > max(starts) or max(places) < min(starts):
        return True
    bounds = [-1, *starts]
    return len(places) == len(starts) and all(
        low < place < high for place, low, high in zip(places, bounds, starts, strict=False)
    )


def group(uses: Sequence[Use], counts: dict[str, list[int]]) -> Grouped:
    """Group the uses of group P. `counts` are the values of the --nr_* options."""
    whole = [use for use in uses if use.option.level == "global"]
    grouped = [use for use in uses if use.option.level in LEVELS]
    given = {use.option.name for use in grouped}
    target = next((name for name in _TARGET_WORDS if name in given), "--target_pid")
    begins = {"ctx": "--ops", "scheme": "--damos_action", "target": target}
    kdamonds = _walk(grouped, begins)
    _fill(kdamonds, "ctx", 1)
    counter = _Counts(kdamonds, grouped, begins)
    for name in ("--nr_targets", "--nr_schemes", "--nr_probes", "--nr_ctxs", *COUNTS):
        if name in counts:
            counter.apply(name, counts.pop(name))
    notes: list[str] = []
    problems = counter.problems + _by_number(kdamonds, grouped, begins, counter.marked, notes)
    return Grouped(kdamonds, whole, notes, problems)


def show(kdamonds: Sequence[Item]) -> str:
    """The grouping as an indented list, to stand below a message."""
    lines = ["\nthe words were grouped like this:"]

    def add(item: Item, index: int, depth: int) -> None:
        words = " ".join(map(str, item.uses))
        lines.append(f"{'  ' * (depth + 1)}{SHOWN[item.level]} {index}{':' if words else ''} {words}".rstrip())
        seen: dict[str, int] = {}
        for child in item.children:
            add(child, seen.get(child.level, 0), depth + 1)
            seen[child.level] = seen.get(child.level, 0) + 1

    for index, kdamond in enumerate(kdamonds):
        add(kdamond, index, 0)
    return "\n".join(lines)
