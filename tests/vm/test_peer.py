"""What the peer makes of the files that we write in its format: the same as we do. It runs inside the guest only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from damoctl.local import LocalDaemon
from damod.records import open_record
from damod.records.convert import write
from tests.peer import grid
from tests.peer import ours as our
from tests.peer import records as odd
from tests.shared import shared
from tests.vm.conftest import kernel_names
from tests.vm.guest import CHECKOUT, Guest, GuestError, compile_for_guest
from tests.vm.peer import ask, ensure_damo
from tests.vm.run_in_guest import project_python

pytestmark = pytest.mark.vm

BOTH = """
for record in "$RECORDS"/*.data; do
    out=$DAMOD_GUEST_OUT/$(basename "$record" .data)
    "$DAMO" report access --raw_form --input "$record" >"$out.damo" || exit
    "$PYTHON" -m damoctl report access --raw_form --input "$record" >"$out.ours" || exit
done
"""


def ours(*words: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "damoctl", *words], check=True, cwd=CHECKOUT, capture_output=True)


def test_the_peer_reads_our_records(tmp_path: Path) -> None:
    """`report access --raw_form` of a record of ours in json_compressed is the same from damo and from damoctl.

    One is a recording of the simulated kernel, one is the peer's own record, converted.
    """
    try:
        damo = ensure_damo()
    except GuestError as exc:
        pytest.skip(f"there is no damo to compare with: {exc}")
    records = tmp_path / "records"
    for directory in (records, tmp_path / "damod"):
        directory.mkdir()
    with LocalDaemon("--kernel", "sim:moving", directory=tmp_path / "damod") as daemon:
        words = ("record", "paddr", "--take_over", "--timeout", "3", "--output_type", "json_compressed")
        ours("--socket", daemon.socket, *words, "--out", records / "recorded.data")
    with open_record(shared("damo", "records", "damon.data")) as record:
        write(record, records / "converted.data", "json_compressed")
    for path in records.iterdir():
        path.chmod(0o644)
    python = project_python()
    compile_for_guest(python, *(CHECKOUT / name for name in ("damod", "damoctl")))
    env = {"PYTHON": str(python), "DAMO": str(damo), "RECORDS": str(records)}
    ran = Guest(kernel=kernel_names()[-1], env=env).run(
        ["bash", "-c", BOTH], timeout_s=600, outdir=tmp_path / "out", cwd=CHECKOUT
    )
    ran.check()
    for name in ("recorded", "converted"):
        # The peer's pager takes the final newline away.
        found, theirs = ((ran.outdir / f"{name}.{whose}").read_text().rstrip("\n") for whose in ("ours", "damo"))
        assert len(found.splitlines()) > 100
        assert found == theirs


# Of the lines of the grid, each how many-th one is asked in CI, where there is not the time for all.
_EACH = 1 if os.environ.get("DAMOD_VM_SLOW") else 23


def test_the_same_reports(tmp_path: Path) -> None:
    """damo in a guest prints what `--compat damo-3.4` prints here, on records of every odd kind and its own.

    All that it ever printed for the grid is kept in tests/golden; this shows that it still does. DAMOD_VM_SLOW=1 asks
    for each line (twenty minutes).
    """
    try:
        ensure_damo()
    except GuestError as exc:
        pytest.skip(f"there is no damo to compare with: {exc}")
    made = tmp_path / "records"
    made.mkdir()
    odd.write(made)
    for name, there in (("active", ".snapshot.active"), ("nofilter", ".snapshot.nofilter"), ("long", "")):
        (made / f"{name}.data").write_bytes(shared("damo", "records", f"damon.data{there}").read_bytes())
    for directory in (tmp_path, made):
        directory.chmod(0o755)
    lines = [*grid.lines(), *grid.shared_lines()][::_EACH]
    answers = ask(lines, made, tmp_path / "out", kernel=kernel_names()[-1], timeout_s=1320 / _EACH + 300)
    assert set(answers) == set(lines)
    other = [
        f"{line}\n--- damo\n{answer['out'][:600]}\n--- damoctl\n{found.out[:600]}{found.err[:300]}"
        for line, answer in answers.items()
        if line not in grid.OTHERWISE and not our.same(found := our.answer(line, str(made)), answer)
    ]
    assert not other, "\n".join(other)
    assert sum(answer["status"] == 0 for answer in answers.values()) > 0.8 * len(answers)
