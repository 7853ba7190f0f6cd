"""Looking at 1,000 regions of a real kernel: the ring against tried_regions, damoctl against the peer's damo.

Boots one guest (the last of DAMOD_VM_KERNELS, default the newest) and runs two programs of tests/vm/programs in it.
damo is installed into an environment of its own below the guests' cache directory and runs in the guest only.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from tests.vm.guest import CHECKOUT, Guest, compile_for_guest
from tests.vm.peer import ensure_damo
from tests.vm.run_in_guest import project_python

PROGRAMS = CHECKOUT / "tests/vm/programs"
BOTH = """
"$PYTHON" "$PROGRAMS/snapshot_cost.py" >"$DAMOD_GUEST_OUT/cost.json" || exit
"$PYTHON" "$PROGRAMS/beside_damo.py" "$DAMO" >"$DAMOD_GUEST_OUT/beside.json" || exit
uname -r >"$DAMOD_GUEST_OUT/release"
"""


def measure(kernel: str) -> dict[str, Any]:
    """Both programs' numbers, and the release they are from."""
    python = project_python()
    compile_for_guest(python, *(CHECKOUT / name for name in ("damod", "damoctl", "tests")))
    env = {"PYTHON": str(python), "PROGRAMS": str(PROGRAMS), "DAMO": str(ensure_damo())}
    ran = Guest(kernel=kernel, env=env).run(["bash", "-c", BOTH], timeout_s=900).check()
    found = {name: json.loads((ran.outdir / f"{name}.json").read_text()) for name in ("cost", "beside")}
    return {**found, "release": (ran.outdir / "release").read_text().strip()}


def rows(found: dict[str, Any], load: float) -> list[str]:
    """Lines of the tables in docs/performance.md."""
    cost = found["cost"]
    where = f"| {time.strftime('%Y-%m-%d')} | {found['release']} | {load:.1f}"
    ring, tried = cost["ring_ms"], cost["tried_regions_ms"]
    lines = [f"{where} | {cost['regions']:,} | {ring} | {tried} | {tried / ring:.0f} |"]
    for one in found["beside"]:
        ours, theirs, limit = one["damoctl_s"], one["damo_s"], one["limit_s"]
        told = f"{theirs:.1f} | {theirs / ours:.1f}" if theirs else f"none in {limit} | > {limit / ours:.0f}"
        lines.append(f"{where} | {one['regions']:,} | {ours:.2f} | {told} |")
    return lines


def main() -> None:
    kernel = os.environ.get("DAMOD_VM_KERNELS", "newest").split(",")[-1].strip()
    found = measure(kernel)
    print(json.dumps(found, indent=1))
    for row in rows(found, os.getloadavg()[1]):
        print(row)
