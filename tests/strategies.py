"""Random valid specs for property tests.

Everything that `features` has is drawn from, so that a spec for a release is accepted by that kernel.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from damod.kernel.features import BY_NAME, Features
from damod.spec.kdamond import Kdamond
from damod.units import U32_MAX, U64_MAX

ALL = Features("all", frozenset(name for name, item in BY_NAME.items() if item.since), frozenset())

_U64 = st.one_of(st.integers(0, 2**20), st.integers(0, U64_MAX), st.just(U64_MAX))
_U32 = st.one_of(st.integers(0, 1000), st.integers(0, U32_MAX))
_PATHS = st.from_regex(r"/[a-z]{1,8}(/[a-z.-]{1,8})?", fullmatch=True)


def _pair(values: st.SearchStrategy[int]) -> st.SearchStrategy[list[int]]:
    return st.lists(values, min_size=2, max_size=2).map(sorted)


def _range(values: st.SearchStrategy[int]) -> st.SearchStrategy[dict[str, Any]]:
    return _pair(values).map(lambda pair: {"min": pair[0], "max": pair[1]})


@st.composite
def _regions(draw: st.DrawFn, least: int) -> list[dict[str, int]]:
    """Disjoint page-aligned ranges in rising order."""
    cuts = sorted(draw(st.sets(st.integers(1, 2**30), min_size=2 * least, max_size=6)))
    return [{"start": a * 4096, "end": b * 4096} for a, b in zip(cuts[::2], cuts[1::2], strict=False)]


def _rates(draw: st.DrawFn) -> dict[str, Any]:
    if draw(st.booleans()):
        return draw(_range(st.integers(0, 100)))
    low, high = draw(_pair(st.integers(0, 1000)))
    return {"min": f"{low} samples", "max": draw(st.sampled_from(["max", f"{high} samples"]))}


def _ages(draw: st.DrawFn) -> dict[str, Any]:
    if draw(st.booleans()):
        return draw(_range(_U64))
    low, high = draw(_pair(st.integers(0, 1000)))
    return {"min": f"{low} aggr_intervals", "max": draw(st.sampled_from(["max", f"{high} aggr_intervals"]))}


def _having(features: Features, prefix: str) -> st.SearchStrategy[str]:
    words = [
        item.word for name, item in BY_NAME.items() if name.startswith(prefix) and item.word and features.has(name)
    ]
    return st.sampled_from(words)


def _filter(draw: st.DrawFn, features: Features) -> dict[str, Any]:
    kind = draw(_having(features, "filter."))
    own: dict[str, Any] = {
        "memcg": lambda: {"memcg_path": draw(_PATHS)},
        "addr": lambda: {"address_range": draw(_regions(1))[0]},
        "target": lambda: {"damon_target_idx": draw(st.integers(0, 3))},
        "hugepage_size": lambda: {"hugepage_size": draw(_pair(st.integers(0, 2**40)))},
    }.get(kind, dict)()
    allow = features.has("filter_allow") and draw(st.booleans())
    return {"filter_type": kind, "matching": draw(st.booleans()), "allow": allow, **own}


def _goal(draw: st.DrawFn, features: Features) -> dict[str, Any]:
    metric = draw(_having(features, "quota_goal."))
    goal: dict[str, Any] = {"metric": metric, "target_value": draw(st.integers(1, 10_000))}
    if metric.startswith("node"):
        goal["nid"] = 0
    if "memcg" in metric:
        goal["memcg_path"] = draw(_PATHS)
    if metric == "user_input":
        goal["current_value"] = draw(st.integers(0, 10_000))
    return goal


def _scheme(draw: st.DrawFn, features: Features, ops: str) -> dict[str, Any]:
    if ops != "paddr":
        features = Features(features.release, features.names - {"quota_goal.node_eligible_mem_bp"})

    def some(make: Any, most: int) -> list[Any]:
        return [make(draw, features) for _ in range(draw(st.integers(0, most)))]

    action = draw(_having(features, "action."))
    scheme: dict[str, Any] = {
        "action": action,
        "access_pattern": {"sz_bytes": draw(_range(_U64)), "nr_accesses": _rates(draw), "age": _ages(draw)},
        "apply_interval_us": draw(st.sampled_from([0, 1_000_000])),
        "filters": some(_filter, 4),
        "quotas": {
            "time_ms": draw(st.integers(0, 1000)),
            "sz_bytes": draw(st.integers(0, 2**40)),
            "reset_interval_ms": draw(st.integers(1, 100_000)),
            "goals": some(_goal, 2),
            "weights": {name: draw(st.integers(0, 1000)) for name in ("sz_permil", "nr_accesses_permil", "age_permil")},
        },
    }
    if action.startswith("migrate"):
        scheme["target_nid"] = 0
        if features.has("dests") and draw(st.booleans()):
            scheme["dests"] = [{"id": 0, "weight": draw(_U32)}]
    if features.has("fail_charge") and draw(st.booleans()):
        scheme["quotas"] |= {"fail_charge_num": draw(_U32), "fail_charge_denom": draw(st.integers(1, U32_MAX))}
    if features.has("goal_tuner"):
        scheme["quotas"]["goal_tuner"] = draw(_having(features, "goal_tuner."))
    if features.has("max_nr_snapshots"):
        scheme["max_nr_snapshots"] = draw(_U64)
    if draw(st.booleans()):
        low, mid, high = sorted(draw(st.integers(0, 1000)) for _ in range(3))
        marks = {"high_permil": high, "mid_permil": mid, "low_permil": low}
        scheme["watermarks"] = {"metric": "free_mem_rate", "interval_us": draw(st.integers(0, 10**7)), **marks}
    return scheme


def _probe(draw: st.DrawFn, features: Features) -> dict[str, Any]:
    kind = draw(_having(features, "probe_filter."))
    own = {"path": draw(_PATHS)} if kind == "memcg" else {}
    weight = draw(_U32) if features.has("probe_weight") else 0
    one = {"filter_type": kind, "matching": draw(st.booleans()), "allow": draw(st.booleans()), **own}
    return {"filters": [one], "weight": weight}


@st.composite
def kdamonds(draw: st.DrawFn, features: Features = ALL, pid: int = 1) -> Kdamond:
    """One kdamond of which everything can be set on a kernel with these features; `pid` is its only process."""
    ops = draw(_having(features, "ops."))
    sample = draw(st.integers(1, 10**6))
    context: dict[str, Any] = {
        "ops": ops,
        "intervals": {
            "sample_us": sample,
            "aggr_us": sample * draw(st.integers(1, 100)),
            "ops_update_us": draw(st.integers(0, 10**9)),
        },
        "nr_regions": {"min": draw(st.integers(3, 100)), "max": draw(st.integers(100, 100_000))},
        "targets": [{"pid": None if ops == "paddr" else pid, "regions": draw(_regions(0 if ops == "vaddr" else 1))}],
        "schemes": [_scheme(draw, features, ops) for _ in range(draw(st.integers(0, 2)))],
    }
    if features.has("addr_unit") and ops == "paddr":
        context["addr_unit"] = draw(st.sampled_from([1, 64, 4096]))
    if features.has("intervals_goal") and draw(st.booleans()):
        bounds = {"min_sample_us": sample // 2, "max_sample_us": sample * 2}
        context["intervals"]["intervals_goal"] = {"access_bp": 400, "aggrs": draw(st.integers(1, 10)), **bounds}
    if features.has("pause"):
        context["pause"] = draw(st.booleans())
    if features.has("probes"):
        context["probes"] = [_probe(draw, features) for _ in range(draw(st.integers(0, 2)))]
    refresh = draw(st.sampled_from([0, 1000])) if features.has("refresh_ms") else 0
    return Kdamond.model_validate({"refresh_ms": refresh, "contexts": [context]})
