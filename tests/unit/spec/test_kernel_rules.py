"""What the kernel would refuse, or die of, is refused before it: each rule with the sentence that names it."""

import pytest

from damod.errors import SpecInvalid
from damod.spec.kdamond import parse_kdamonds

GOAL = {"access_bp": "4%", "aggrs": 3, "min_sample_us": "10ms", "max_sample_us": "10s"}
ELIGIBLE = {"reset_interval_ms": 1000, "goals": [{"metric": "node_eligible_mem_bp", "nid": 0, "target_value": 1}]}


@pytest.mark.parametrize(
    ("context", "sentence"),
    [
        ({"intervals": {"sample_us": "1s"}}, r"contexts\[0\]\.intervals: aggr_us \(100,000\) is below sample_us"),
        ({"intervals": {"sample_us": "5ms", "intervals_goal": GOAL}}, r"sample_us \(5,000\), where the tuning starts"),
        ({"nr_regions": {"min": 20, "max": 10}}, r"min \(20\) is above max \(10\)"),
        ({"nr_regions": {"min": 2, "max": 10}}, r"min \(2\) is below 3"),
        ({"addr_unit": 3}, "power of two"),
        ({"probes": [{}] * 5}, "at most 4"),
        ({"ops": "vaddr", "targets": [{"pid": 1}], "schemes": [{"quotas": ELIGIBLE}]}, "for paddr only"),
        ({"ops": "vaddr"}, "needs a pid in target 0"),
        ({"schemes": [{"action": "migrate_hot", "target_nid": -1}]}, "needs a node to go to"),
        (
            {"schemes": [{"action": "migrate_hot", "dests": [{"id": 0, "weight": 2**32}]}]},
            "more than the kernel can hold",
        ),
    ],
)
def test_rule(context, sentence):
    """The sentence says which field has which value and what is allowed."""
    with pytest.raises(SpecInvalid, match=sentence):
        parse_kdamonds([{"contexts": [context]}])


def test_several_problems_are_told_at_once():
    """Every problem has its path; nobody has to fix them one by one."""
    with pytest.raises(SpecInvalid) as info:
        parse_kdamonds([{"contexts": [{"nr_regions": {"min": 20, "max": 10}, "intervals": {"sample_us": 0}}]}])
    assert [problem["path"] for problem in info.value.facts["problems"]] == [
        "kdamonds[0].contexts[0].intervals",
        "kdamonds[0].contexts[0].nr_regions",
    ]
