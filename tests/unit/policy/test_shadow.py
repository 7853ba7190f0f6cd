"""What a shadow asks of the kernel, and what is made of its numbers."""

from __future__ import annotations

import pytest

from damod.kernel.features import Features
from damod.policy.shadow import Tally, estimate, shadow_of
from damod.spec.kdamond import Context, Kdamond, parse_kdamonds
from damod.spec.scheme import SchemeStats

MIB = 1 << 20
NEW, OLD = Features.known("7.3"), Features.known("6.12")


def context(ops: str, action: str = "pageout", **scheme: object) -> Context:
    pattern = {"nr_accesses": {"max": "0%"}, "age": {"min": "10s"}}
    more = {"target_nid": 1} if action == "migrate_cold" else {}
    item = {"action": action, "access_pattern": pattern, **more, **scheme}
    targets = [{"pid": 100}] if ops == "vaddr" else [{}]
    return parse_kdamonds([{"contexts": [{"ops": ops, "targets": targets, "schemes": [item]}]}])[0].contexts[0]


def filters(ops: str, action: str, features: Features = NEW, **scheme: object) -> list[tuple[str, bool, bool]]:
    """(type, matching, allow) of the page filters of a shadow."""
    (kdamond,) = shadow_of([Kdamond(contexts=(context(ops, action, **scheme),))], features)
    (scheme_,) = kdamond.contexts[0].schemes
    assert scheme_.action == "stat" and not scheme_.quotas.sz_bytes
    return [(item.filter_type, item.matching, item.allow) for item in scheme_.filters]


def test_pages_are_counted_where_the_kernel_can() -> None:
    """Two filters let every page pass; what is paged out of physical memory is looked at once more."""
    every = [("anon", True, True), ("anon", False, True)]
    assert filters("paddr", "pageout") == [("young", True, False), *every]
    assert filters("paddr", "migrate_cold") == every
    assert filters("vaddr", "pageout") == every
    assert filters("paddr", "pageout", OLD) == filters("vaddr", "pageout", OLD) == []
    assert filters("vaddr", "pageout", Features.known("6.17")) == []
    own = [{"filter_type": "young", "matching": True, "allow": True}]
    assert filters("paddr", "pageout", filters=own) == [("young", True, True)]


def stats(tried: int, passed: int, looks: int) -> SchemeStats:
    """What the kernel has summed up, in MiB."""
    return SchemeStats(nr_tried=looks, sz_tried=tried * MIB, sz_ops_filter_passed=passed * MIB, nr_snapshots=looks)


def told(found: Context, *seen: tuple[float, SchemeStats], features: Features = NEW) -> float:
    """MiB that the shadow names, after it was looked at so many seconds after its start."""
    scheme, tally = found.schemes[0], Tally()
    for at_s, counted in seen:
        tally = tally.after(counted, scheme, found, at_s)
    return estimate(scheme, found, tally, features) / MIB


@pytest.mark.parametrize("ops", ["paddr", "vaddr"])
def test_holes_and_free_memory_do_not_count(ops: str) -> None:
    """What passed is told, where pages are counted; whole regions elsewhere."""
    assert told(context(ops), (15, stats(900, 130, 1))) == 130
    assert told(context(ops), (15, stats(900, 0, 1))) == 0
    assert told(context(ops), (15, stats(900, 0, 1)), features=OLD) == 900


def test_what_is_found_again_is_not_counted_again() -> None:
    """The most of any look counts for what goes away by being touched; the sum for what can be touched again."""
    seen = (
        (12, stats(0, 0, 1)),
        (16, stats(900, 130, 2)),
        (21, stats(1800, 264, 3)),
        (31, stats(3300, 464, 5)),
    )
    assert told(context("vaddr"), *seen) == 134
    assert told(context("paddr", "lru_deprio"), *seen) == 464


def test_kernels_that_do_not_count_their_looks() -> None:
    """How many there were follows from the time, and is one at least."""
    sums = [SchemeStats(nr_tried=n, sz_tried=n * 100 * MIB) for n in (1, 2, 6)]
    assert told(context("vaddr"), *zip((6, 11, 31), sums, strict=True), features=OLD) == 100
    assert told(context("vaddr"), (1, sums[0]), features=OLD) == 100


def test_a_kdamond_that_began_anew_is_no_trouble() -> None:
    """Its sums are smaller than before, and all its own."""
    assert told(context("vaddr"), (20, stats(900, 130, 3)), (40, stats(500, 60, 1))) == 60


def test_a_quota_is_spent_on_what_is_no_page_too() -> None:
    """Half of what matched has room in the quota, so half of its pages have."""
    found = context("paddr", quotas={"sz_bytes": "50M", "reset_interval_ms": "1s"})
    assert told(found, (30, stats(2100, 300, 1))) == 150
    assert told(found, (300, stats(2100, 300, 1))) == 300
    assert told(found, (30, stats(2100, 0, 1)), features=OLD) == 1050
