"""Random kdamonds specs for property tests: valid ones, over every field that a spec has."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from damod.spec.kdamond import Kdamond, parse_kdamonds

U32, U64 = 2**32 - 1, 2**64 - 1
paths = st.text("abcdefgXYZ0189._-", min_size=1, max_size=8).map(lambda text: f"/{text}")
counts = st.one_of(st.integers(0, 20), st.integers(0, U64), st.just(U64))
sizes = st.one_of(st.integers(0, 1 << 22), st.integers(0, U64), st.sampled_from([4096, 1 << 20, (1 << 20) + 1, U64]))
times = st.one_of(st.integers(0, 10_000_000), st.integers(0, U64), st.just(U64))


def pair(values: st.SearchStrategy[int]) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(values, values).map(lambda both: (min(both), max(both)))


def _bounds(values: st.SearchStrategy[int]) -> st.SearchStrategy[dict[str, int]]:
    return pair(values).map(lambda both: {"min": both[0], "max": both[1]})


def _rates() -> st.SearchStrategy[dict[str, Any]]:
    percents = st.one_of(st.integers(0, 100), st.decimals(0, 100, places=9), st.just(U64))
    return st.one_of(
        st.tuples(percents, percents).map(lambda both: {"min": f"{min(both):f} %", "max": f"{max(both):f} %"}),
        pair(st.integers(0, 10**6)).map(lambda both: {"min": f"{both[0]} samples", "max": f"{both[1]:,} samples"}),
    )


def _ages() -> st.SearchStrategy[dict[str, Any]]:
    intervals = pair(st.integers(0, 10**6))
    return st.one_of(
        _bounds(times), intervals.map(lambda b: {"min": f"{b[0]} aggr_intervals", "max": f"{b[1]} aggr_intervals"})
    )


@st.composite
def _regions(draw: st.DrawFn) -> list[dict[str, int]]:
    edges = sorted(draw(st.sets(st.integers(0, 2**48), max_size=6)))
    return [{"start": start, "end": end} for start, end in zip(edges[::2], edges[1::2], strict=False)]


def _filters() -> st.SearchStrategy[dict[str, Any]]:
    ranges = pair(st.integers(0, 2**48)).filter(lambda both: both[0] < both[1])
    own = st.one_of(
        st.sampled_from(["anon", "active", "young", "unmapped"]).map(lambda kind: {"filter_type": kind}),
        paths.map(lambda path: {"filter_type": "memcg", "memcg_path": path}),
        pair(sizes).map(lambda both: {"filter_type": "hugepage_size", "hugepage_size": list(both)}),
        ranges.map(lambda b: {"filter_type": "addr", "address_range": {"start": b[0], "end": b[1]}}),
        st.integers(0, 9).map(lambda index: {"filter_type": "target", "damon_target_idx": index}),
        pair(counts).map(lambda both: {"filter_type": "probe_hits_wsum", "probe_hits_wsum_range": list(both)}),
    )
    return st.builds(
        lambda kind, yes, allow: {**kind, "matching": yes, "allow": allow}, own, st.booleans(), st.booleans()
    )


def _goals(ops: str) -> st.SearchStrategy[dict[str, Any]]:
    from damod.spec.scheme import GOAL_NEEDS

    def goal(metric: str, target: int, current: int, complement: bool, nid: int, path: str) -> dict[str, Any]:
        needs = {"nid": nid, "memcg_path": path}
        extra = {name: needs[name] for name in GOAL_NEEDS[metric]}
        current = current if metric == "user_input" else 0
        return {"metric": metric, "target_value": target, "current_value": current, "complement": complement, **extra}

    # The kernel measures this one for paddr only.
    metrics = sorted(set(GOAL_NEEDS) - (set() if ops == "paddr" else {"node_eligible_mem_bp"}))
    values = st.integers(1, 10_000)
    return st.builds(
        goal, st.sampled_from(metrics), values, st.integers(0, 99), st.booleans(), st.integers(0, 3), paths
    )


@st.composite
def _quotas(draw: st.DrawFn, ops: str) -> dict[str, Any]:
    permil = st.one_of(st.integers(0, 1000), st.integers(0, U32))
    goals = draw(st.lists(_goals(ops), max_size=2))
    interval = draw(st.integers(1, U32)) if goals else draw(times)
    return {
        "time_ms": draw(times),
        "sz_bytes": draw(sizes),
        "reset_interval_ms": interval,
        "fail_charge_num": draw(st.integers(0, 9)),
        "fail_charge_denom": draw(st.integers(1, U32)),
        "goals": goals,
        "goal_tuner": draw(st.sampled_from(["consist", "temporal"])),
        "weights": {name: draw(permil) for name in ("sz_permil", "nr_accesses_permil", "age_permil")},
    }


@st.composite
def schemes(draw: st.DrawFn, ops: str) -> dict[str, Any]:
    action = draw(st.sampled_from(["stat", "pageout", "collapse", "lru_prio", "migrate_hot", "migrate_cold"]))
    marks = sorted(draw(st.lists(st.integers(0, 1000), min_size=3, max_size=3)))
    made: dict[str, Any] = {
        "action": action,
        "access_pattern": {"sz_bytes": draw(_bounds(sizes)), "nr_accesses": draw(_rates()), "age": draw(_ages())},
        "apply_interval_us": draw(times),
        "quotas": draw(_quotas(ops)),
        "watermarks": {
            "metric": draw(st.sampled_from(["none", "free_mem_rate"])),
            "interval_us": draw(times),
            "low_permil": marks[0],
            "mid_permil": marks[1],
            "high_permil": marks[2],
        },
        "filters": draw(st.lists(_filters(), max_size=3)),
        "max_nr_snapshots": draw(counts),
    }
    if action.startswith("migrate"):
        nodes = st.lists(
            st.builds(lambda nid, weight: {"id": nid, "weight": weight}, st.integers(0, 3), st.integers(0, 9))
        )
        made |= draw(
            st.one_of(
                nodes.filter(bool).map(lambda d: {"dests": d}), st.integers(0, 3).map(lambda n: {"target_nid": n})
            )
        )
    return made


def _probes() -> st.SearchStrategy[dict[str, Any]]:
    own = st.one_of(
        st.sampled_from(["anon", "pgidle_set", "pgidle_unset"]).map(lambda kind: {"filter_type": kind}),
        paths.map(lambda path: {"filter_type": "memcg", "path": path}),
        pair(sizes).map(lambda both: {"filter_type": "hugepage_size", "range_min": both[0], "range_max": both[1]}),
    )
    filters = st.builds(
        lambda kind, yes, allow: {**kind, "matching": yes, "allow": allow}, own, st.booleans(), st.booleans()
    )
    preps = st.lists(st.just({"prep_action": "set_pgidle"}), max_size=2)
    return st.builds(
        lambda prep, some, weight: {"preps": prep, "filters": some, "weight": weight},
        preps, st.lists(filters, max_size=3), st.integers(0, U32),
    )  # fmt: skip


@st.composite
def _contexts(draw: st.DrawFn) -> dict[str, Any]:
    ops = draw(st.sampled_from(["paddr", "vaddr"]))
    pid = st.integers(1, 2**22) if ops == "vaddr" else st.none()
    target = st.builds(
        lambda pid, regions, old: {"pid": pid, "regions": regions, "obsolete": old}, pid, _regions(), st.booleans()
    )
    sample = draw(st.integers(1, 10**6))
    least = draw(st.integers(3, 100))
    kinds = {"write": {}, "cpumask": {"cpumask": "0-3,5"}, "threads": {"tid_arr": "1,2"}}
    sample_filters = draw(st.lists(st.sampled_from(sorted(kinds)), unique=True))
    fault = draw(st.booleans())
    return {
        "ops": ops,
        "addr_unit": draw(st.sampled_from([1, 2, 4096])) if ops == "paddr" else 1,
        "targets": draw(st.lists(target, min_size=1, max_size=3)),
        "intervals": {
            "sample_us": sample,
            "aggr_us": sample * draw(st.integers(1, 100)),
            "ops_update_us": draw(times),
            "intervals_goal": draw(
                st.sampled_from(
                    [{}, {"access_bp": 400, "aggrs": 3, "min_sample_us": 1, "max_sample_us": 10**7}]
                )
            ),
        },
        "nr_regions": {"min": least, "max": least + draw(st.integers(0, 10**6))},
        "probes": draw(st.lists(_probes(), max_size=2)),
        "sample_control": {
            "primitives_enabled": {"page_table": not fault, "page_fault": fault},
            "sample_filters": [
                {"filter_type": kind, "matching": True, "allow": True, **kinds[kind]} for kind in sample_filters
            ],
        },
        "pause": draw(st.booleans()),
        "schemes": draw(st.lists(schemes(ops), max_size=3)),
    }  # fmt: skip


@st.composite
def kdamonds(draw: st.DrawFn) -> tuple[Kdamond, ...]:
    """One to three kdamonds of one context each."""
    one = st.builds(lambda refresh, ctx: {"refresh_ms": refresh, "contexts": [ctx]}, st.integers(0, U32), _contexts())
    return parse_kdamonds(draw(st.lists(one, min_size=1, max_size=3)))
