"""NUMA nodes and memory cgroups that a spec names, looked up on a machine."""

from __future__ import annotations

import pytest

from damod.errors import NotFound
from damod.kernel import places
from damod.kernel.sim.clock import SimClock
from damod.kernel.sim.kernel import SimKernel
from damod.spec.kdamond import parse_kdamonds

GOAL = {"metric": "node_memcg_used_bp", "nid": 9, "memcg_path": "/a", "target_value": 5}
SPEC = {
    "contexts": [
        {
            "probes": [{"filters": [{"filter_type": "memcg", "path": "/b"}, {"filter_type": "anon"}]}],
            "schemes": [
                {"action": "migrate_hot", "target_nid": 1},
                {
                    "action": "migrate_cold",
                    "dests": [{"id": 0}, {"id": 7}],
                    "quotas": {"reset_interval_ms": 1000, "goals": [GOAL]},
                    "filters": [{"filter_type": "memcg", "memcg_path": "/workload"}],
                },
                {"filters": [{"filter_type": "anon"}, {"filter_type": "memcg", "memcg_path": "workload/"}]},
            ],
        }
    ]
}


def test_all_that_is_missing_is_told() -> None:
    """Nodes and cgroups at every place where a spec names them, each with its path; those that exist are not told."""
    kernel = SimKernel("7.3", clock=SimClock(), nodes=2)
    with pytest.raises(NotFound) as info:
        places.check(parse_kdamonds([{}, SPEC]), kernel.proc)
    at = "kdamonds[1].contexts[0]"
    assert [(problem["path"], problem["message"]) for problem in info.value.facts["problems"]] == [
        (f"{at}.schemes[1].dests[1].id", "this machine has no NUMA node 7"),
        (f"{at}.schemes[1].quotas.goals[0].nid", "this machine has no NUMA node 9"),
        (f"{at}.probes[0].filters[0].path", "there is no memory cgroup /b"),
        (f"{at}.schemes[1].quotas.goals[0].memcg_path", "there is no memory cgroup /a"),
        (
            f"{at}.schemes[2].filters[1].memcg_path",
            "there is no memory cgroup workload/; the kernel calls it /workload, from the mount point of the cgroups"
            " on",
        ),
    ]


@pytest.mark.parametrize(
    ("given", "kernel"),
    [
        ("/sys/fs/cgroup/a/b", "/a/b"),
        ("/sys/fs/cgroup/memory/a/", "/a"),
        ("a//b/", "/a/b"),
        ("/", "/"),
        ("/sys/fs/cgroups/a", "/sys/fs/cgroups/a"),
    ],
)
def test_the_kernels_spelling(given: str, kernel: str) -> None:
    """Below the mount point, one slash before and none after."""
    assert places.spelled(given) == kernel
