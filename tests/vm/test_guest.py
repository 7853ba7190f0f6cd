"""A guest is what the other virtual machine tests take it for: a real kernel with DAMON, and this project on its
disk."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.vm import kernels
from tests.vm.guest import CHECKOUT, Guest, GuestResult, GuestTimeout, compile_for_guest
from tests.vm.run_in_guest import project_python

pytestmark = pytest.mark.vm

WORKLOADS = CHECKOUT / "tests/vm/workloads"

# One boot answers every question below. Each answer is a file, so that one failing line does not hide the others.
QUESTIONS = r"""
cd "$DAMOD_GUEST_OUT"
uname -r >release
ls /sys/kernel/mm/damon/admin >admin 2>&1
ls /sys/kernel/tracing/events/damon >events 2>&1
cat /sys/fs/cgroup/cgroup.controllers >controllers
ls -d /sys/devices/system/node/node[0-9]* >nodes
touch "$HOME/written" && echo "$HOME" >home
cd "$CHECKOUT" && "$PYTHON" -c 'import damod, pydantic; print(damod.__version__, damod.__file__)' \
    >"$DAMOD_GUEST_OUT/damod" 2>&1

# The one thing an emulated machine hides: which memory is hot. vaddr, 5 ms sampling, 100 ms aggregation.
cd "$DAMOD_GUEST_OUT"
[ -e /sys/module/damon_stat/parameters/enabled ] && echo N >/sys/module/damon_stat/parameters/enabled
"$PYTHON" -S "$WORKLOADS/pinned.py" 1 "$PYTHON" -S "$WORKLOADS/hot.py" --total-mib 100 --hot-mib 20 >hot.json &
until [ -s hot.json ]; do sleep 0.2; done
A=/sys/kernel/mm/damon/admin/kdamonds
echo 1 >$A/nr_kdamonds
echo 1 >$A/0/contexts/nr_contexts
C=$A/0/contexts/0
echo vaddr >$C/operations
echo 1 >$C/targets/nr_targets
sed 's/.*"pid": \([0-9]*\).*/\1/' hot.json >$C/targets/0/pid_target
echo 1 >$C/schemes/nr_schemes
echo stat >$C/schemes/0/action
P=$C/schemes/0/access_pattern
echo 18446744073709551615 | tee $P/sz/max $P/age/max >/dev/null
echo 1 >$P/nr_accesses/min
echo 4294967295 >$P/nr_accesses/max
echo on >$A/0/state
for second in 1 2 3 4 5 6 7 8; do
    sleep 1
    echo update_schemes_tried_regions >$A/0/state
    # One grep for all, because starting a program takes 40 ms here and there may be a hundred regions.
    (cd $C/schemes/0/tried_regions && grep -r . . | sed "s|^|$second|")
done >regions
echo off >$A/0/state
"""


@pytest.fixture(scope="module")
def booted(kernel: str, tmp_path_factory: pytest.TempPathFactory) -> GuestResult:
    """The answers of one kernel, as files in `outdir`."""
    python = project_python()
    compile_for_guest(python, CHECKOUT / "damod", CHECKOUT / "damoctl")
    env = {"PYTHON": str(python), "CHECKOUT": str(CHECKOUT), "WORKLOADS": str(WORKLOADS)}
    outdir = tmp_path_factory.mktemp(f"guest-{kernel}")
    guest = Guest(kernel=kernel, numa=("1G,cpus=0-1", "1G"), env=env)
    return guest.run(["bash", "-c", QUESTIONS], timeout_s=300, outdir=outdir).check()


def answer(booted: GuestResult, name: str) -> str:
    """One answer of the guest."""
    return (booted.outdir / name).read_text().strip()


def test_the_guest_runs_the_kernel_that_was_asked_for(booted: GuestResult, kernel: str) -> None:
    """`uname -r` in the guest is the release of the package, not this machine's."""
    assert answer(booted, "release") == kernels.get(kernel).release


def test_damon_is_there(booted: GuestResult) -> None:
    """The kernel has DAMON's sysfs tree and its trace event, and tracefs is mounted."""
    assert answer(booted, "admin") == "kdamonds"
    assert "damon_aggregated" in answer(booted, "events").split()


def test_the_guest_is_a_small_server(booted: GuestResult) -> None:
    """It has the memory controller of cgroup v2, both NUMA nodes that were asked for, and a home to write to."""
    assert "memory" in answer(booted, "controllers").split()
    assert len(answer(booted, "nodes").split()) == 2
    assert answer(booted, "home")


def test_the_project_is_importable(booted: GuestResult) -> None:
    """The Python of the project's environment works in the guest and imports this checkout, not another."""
    version, path = answer(booted, "damod").split()
    assert re.fullmatch(r"\d+\.\d+.*", version)
    assert Path(path) == CHECKOUT / "damod/__init__.py"


def test_hot_memory_is_seen_through_emulation(booted: GuestResult) -> None:
    """Pinned beside a competitor, the hot 20 MiB of 100 MiB show as hot, and the cold 80 MiB do not."""
    hot = json.loads(answer(booted, "hot.json"))
    by_second = [
        (
            sum(overlap(region, hot["hot_start"], hot["hot_end"]) for region in regions) >> 20,
            sum(overlap(region, hot["hot_end"], hot["end"]) for region in regions) >> 20,
        )
        for regions in snapshots(answer(booted, "regions"))
    ]
    assert any(inside >= 15 and outside <= 15 for inside, outside in by_second), f"hot and cold MiB: {by_second}"


def snapshots(text: str) -> list[list[dict[str, int]]]:
    """Lines like `3./12/nr_accesses:20` (second, region, file, value) as regions by second, the hot ones only."""
    seconds: dict[str, dict[str, dict[str, int]]] = {}
    for line in text.splitlines():
        if match := re.fullmatch(r"(\d+)\./(\d+)/(start|end|nr_accesses):(\d+)", line):
            second, region, name, value = match.groups()
            seconds.setdefault(second, {}).setdefault(region, {})[name] = int(value)
    # 4 of the 20 samples in an aggregation: a page the cold start touched once does not count.
    return [[region for region in regions.values() if region["nr_accesses"] >= 4] for regions in seconds.values()]


def overlap(region: dict[str, int], start: int, end: int) -> int:
    """How many bytes of [start, end) lie in the region."""
    return max(0, min(region["end"], end) - max(region["start"], start))


def test_the_kernel_had_nothing_to_complain_about(booted: GuestResult) -> None:
    """No warning, oops or lockup in the kernel's log."""
    assert booted.complaints == []


def test_a_timeout_still_shows_what_happened(tmp_path: Path) -> None:
    """A command that never ends is cut off, and the error holds what it had said until then."""
    with pytest.raises(GuestTimeout) as caught:
        Guest(memory="1G").run(["bash", "-c", "echo before; exec sleep 1000"], timeout_s=2, outdir=tmp_path / "out")
    assert "before" in str(caught.value)
    assert (tmp_path / "out/stdout").read_text() == "before\n"
