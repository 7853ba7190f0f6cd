"""Which schemes work against each other, and what is left of a policy on an old kernel."""

from __future__ import annotations

from typing import Any

import pytest

from damod.kernel.features import Features
from damod.policy.compose import Wanted, compose
from damod.policy.fit import lacking, reduce
from damod.policy.load import Document
from damod.spec.kdamond import parse_kdamonds

HOT, COLD = {"nr_accesses": {"min": "50%"}}, {"nr_accesses": {"max": "0%"}}
LOW, HIGH = [{"regions": [{"start": 0, "end": 100}]}], [{"regions": [{"start": 100, "end": 200}]}]
NODE_GOAL = {"metric": "node_mem_used_bp", "nid": 0}


def one(action: str, pattern: Any = None, targets: Any = None, ops: str = "paddr", **more: Any) -> dict[str, Any]:
    context: dict[str, Any] = {"ops": ops, "schemes": [{"action": action, "access_pattern": pattern or {}, **more}]}
    return {"contexts": [{**context, "targets": targets} if targets else context]}


def goal(value: int) -> dict[str, Any]:
    return {"reset_interval_ms": 1000, "goals": [{**NODE_GOAL, "target_value": value}]}


CASES = [
    (one("lru_prio"), one("lru_deprio"), "undo each other"),
    (one("hugepage"), one("nohugepage"), "undo each other"),
    (one("lru_prio", HOT), one("lru_deprio", COLD), ""),
    (one("lru_prio", targets=LOW), one("lru_deprio", targets=HIGH), ""),
    (one("migrate_hot", HOT, target_nid=0), one("migrate_cold", COLD, target_nid=1), ""),
    (one("migrate_hot", target_nid=0), one("migrate_hot", target_nid=1), "different nodes (0 and 1)"),
    (one("migrate_hot", target_nid=0), one("pageout"), "undo each other"),
    (
        one("pageout", quotas=goal(9000)),
        one("pageout", quotas=goal(9500)),
        "aim node_mem_used_bp at 9,000 and at 9,500",
    ),
    (one("pageout", quotas={"sz_bytes": 1}), one("pageout", quotas={"sz_bytes": 2}), "different quotas"),
    (one("pageout", quotas={"sz_bytes": 1}), one("pageout", quotas={"sz_bytes": 1}), ""),
    (one("stat", quotas={"sz_bytes": 1}), one("stat", quotas={"sz_bytes": 2}), ""),
    (one("willneed", targets=[{"pid": 5}], ops="vaddr"), one("pageout", targets=[{"pid": 6}], ops="vaddr"), ""),
    (one("willneed", targets=[{"pid": 5}], ops="vaddr"), one("pageout", targets=[{"pid": 5}], ops="vaddr"), "undo"),
    (one("willneed", targets=[{"pid": 5}], ops="vaddr"), one("pageout"), "undo"),
]


@pytest.mark.parametrize(("left", "right", "why"), CASES, ids=range(len(CASES)))
def test_conflicts(left: dict[str, Any], right: dict[str, Any], why: str) -> None:
    """Opposite work or contradicting quotas on memory in common is refused, in whatever order; anything else is not."""
    for first, second in ((left, right), (right, left)):
        kept, refused = compose(
            [
                Wanted(Document("a", "a.yaml"), parse_kdamonds([first])),
                Wanted(Document("b", "b.yaml"), parse_kdamonds([second])),
            ]
        )
        if why:
            assert [item.name for item in kept] == ["a"]
            assert refused["b"].startswith("b.yaml:1 (policy b) is in conflict with a.yaml:1 (policy a): ")
            assert why in refused["b"] or "nodes (1 and 0)" in refused["b"] or "9,500 and at 9,000" in refused["b"]
        else:
            assert refused == {}


def test_what_is_left_on_an_old_kernel() -> None:
    """Optional values go back to their defaults, a goal goes if something else limits its scheme, a scheme goes with a
    filter that the kernel lacks; the rest stays."""
    old = Features.known("6.12")
    schemes = [
        {"action": "pageout", "max_nr_snapshots": 3},
        {"action": "pageout", "quotas": {**goal(9000), "sz_bytes": "1M"}},
        {"action": "pageout", "quotas": goal(9000)},
        {"action": "pageout", "filters": [{"filter_type": "active"}, {"filter_type": "anon"}]},
        {"action": "cold", "filters": [{"filter_type": "anon", "allow": True}]},
        {"action": "stat"},
    ]
    found, told = reduce(parse_kdamonds([{"refresh_ms": 100, "contexts": [{"pause": True, "schemes": schemes}]}]), old)
    assert lacking(found, old) == []
    context = found[0].contexts[0]
    assert found[0].refresh_ms == 0 and not context.pause
    assert [(item.action, item.max_nr_snapshots, len(item.quotas.goals)) for item in context.schemes] == [
        ("pageout", 0, 0),
        ("pageout", 0, 0),
        ("stat", 0, 0),
    ]
    assert context.schemes[1].quotas.sz_bytes == 1 << 20
    assert len(told) == 7 and told[0].startswith("kdamonds[0].refresh_ms goes back")
