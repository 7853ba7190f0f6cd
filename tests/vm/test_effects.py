"""What the shipped policies, the guard and the shadow do in a systemd guest with a slow second node: docs/effects.md.

tests/vm/programs/effects.py does it and notes numbers, the tests here judge. `DAMOD_EFFECTS_OUT=DIR` judges a session
that has been run before.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.vm.guest import GuestResult
from tests.vm.systemd_guest import SystemdGuest

pytestmark = pytest.mark.vm
MIB = 1 << 20
HOT = 48 * MIB
NODES = ("2G,cpus=0-1", "1G")
SLOW = os.environ.get("DAMOD_VM_SLOW", "")


class Session:
    """What one guest left behind."""

    def __init__(self, result: GuestResult) -> None:
        self.result = result
        lines = (result.outdir / "effects.jsonl").read_text().splitlines()
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def all(self, what: str) -> list[dict[str, Any]]:
        """The notes of one kind, in the order in which they were made."""
        return [row for row in self.rows if row["what"] == what]

    def last(self, what: str) -> dict[str, Any]:
        assert self.all(what), [row for row in self.rows if row["what"] in ("gave-up", "section.failed")]
        return self.all(what)[-1]

    def text(self, name: str) -> str:
        return (self.result.outdir / name).read_text()


def run(out: Path, numa: tuple[str, ...], *sections: str, timeout_s: float) -> Session:
    if earlier := os.environ.get("DAMOD_EFFECTS_OUT"):
        return Session(GuestResult(0, Path(earlier), 0, 0))
    result = SystemdGuest(kernel="newest", numa=numa).run(
        f"cd /checkout && python3 -B -m tests.vm.programs.effects {' '.join(sections)}",
        timeout_s=timeout_s,
        outdir=out,
    )
    print(f"booted in {result.boot_s:.0f} s, {result.total_s:.0f} s in all; files in {out}")
    return Session(result.check())


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    out = tmp_path_factory.mktemp("effects") / "out"
    return run(out, NODES, "guard", "shadow-vaddr", "interleave", "tiering", timeout_s=700)


def test_a_hot_set_on_the_slow_node_goes_up(session: Session) -> None:
    """Within a minute nine tenths of it are on node 0, with `policy enable` and `systemctl reload` alone."""
    assert session.last("tiering.start")["on"].get("1", 0) >= 0.99 * HOT
    row = session.last("tiering.up")
    assert row["share"] >= 0.9 and row["after_s"] <= 60, row


def test_idle_memory_goes_down_and_hot_memory_stays(session: Session) -> None:
    """Node 0 being full, idle memory makes room for what is hot on node 1; what is hot on node 0 stays."""
    end = session.last("tiering.end")
    assert end["idle"]["1"] >= 16 * MIB and end["schemes"][1]["sz_applied"] >= end["idle"]["1"], end
    assert end["first"]["0"] >= 0.9 * HOT and end["second"]["0"] >= 0.9 * HOT, end


def test_the_bytes_of_each_scheme_are_told(session: Session) -> None:
    """`damoctl policy show` names what each scheme moved, which is as much as numa_maps says at least."""
    up, _ = session.last("tiering.moved")["schemes"]
    assert up["sz_applied"] >= 0.9 * HOT
    told = session.text("tiering.show")
    assert re.search(r"scheme 0 \(migrate_hot\): tried [0-9.]+ [GM]iB, applied [0-9.]+ MiB", told), told
    assert re.search(r"scheme 0 \(migrate_cold\): tried [0-9.]+ \w*B, applied [0-9.]+ \w*B", told), told


def test_hot_memory_is_spread_over_the_nodes(session: Session) -> None:
    """The interleave policy's weights, three to one, are what the hot pages of a process end up with."""
    assert session.last("interleave.start")["on"].get("0", 0) >= 0.99 * HOT
    assert 0.2 <= session.last("interleave")["on"]["1"] / HOT <= 0.3


def test_a_policy_that_hurts_is_rolled_back(session: Session) -> None:
    """Three times out of three: it pages out a hot set, which comes back from swap; it is ended, and told why."""
    rows = session.all("guard")
    assert len(rows) == 3
    for row, after in zip(rows, session.all("guard.after"), strict=True):
        assert row["status"] == 1 and row["took_s"] < 60, row
        told = rf"hurt{row['run']}: rolled-back, guard\.(swap_in|refaults|memory_pressure): "
        assert re.match(told, row["told"]), row
        assert row["kdamonds"] == [] and row["counted"]["pswpin"] > 0
        assert after["hot"] == [32 * MIB, 0]


def test_a_shadow_foresees_what_goes_to_swap(session: Session) -> None:
    """The bytes that the shadow of a policy names are within 20 % of those that the live one then pages out."""
    before, foreseen, done = session.all("shadow.vaddr")[0], session.last("shadow.vaddr"), session.last("live.vaddr")
    assert before["idle"] == [128 * MIB, 0] and foreseen["idle"] == [128 * MIB, 0]
    assert done["process"] > 64 * MIB
    assert abs(foreseen["would"] - done["process"]) <= 0.2 * done["process"], (foreseen, done)


def test_the_kernel_had_nothing_to_complain_about(session: Session) -> None:
    """No warning, oops or lockup in its log."""
    assert session.result.complaints == []


SLOWLY = pytest.mark.skipif(
    not SLOW, reason="takes minutes on an emulated processor (docs/effects.md): DAMOD_VM_SLOW=1"
)


@SLOWLY
def test_idle_memory_is_paged_out(tmp_path: Path) -> None:
    """Proactive reclaim on a machine that is nearly full: idle memory goes to swap, a hot set stays. The LRU lists, a
    record and all memory's shadow, as numbers."""
    sections = ("reclaim", "lru-sort", "monitor", "shadow-paddr")
    session = run(tmp_path / "out", ("768M,cpus=0-1",), *sections, timeout_s=1400)
    row = session.last("reclaim")
    assert row["idle"][1] >= 16 * MIB and row["hot"] == [32 * MIB, 0], row
    assert session.last("lru.burst")["policy"] and session.last("lru.sorting")["stats"][1]["sz_applied"] > 0
    assert session.last("monitor")["kdamond"] < 0.5
    assert session.result.complaints == []
