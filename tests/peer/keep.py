"""Ask damo in a guest, and keep its answers for `tests/golden/test_peer.py`: python -m tests.peer.keep [KERNEL]."""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.peer import grid, ours, records

KEPT = Path(__file__).parents[1] / "golden/peer/answers.json"
_SHORT = 700


def kept(answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer as the file has it."""
    if answer["status"] != 0:
        # its errors are on standard output, where it noticed them, and else tracebacks
        said = (answer["err"] or answer["out"]).strip().splitlines()
        return {"fails": said[-1][:80] if said else ""}
    text = ours.bare(answer["out"]).removesuffix("\n")
    if len(text) <= _SHORT:
        return {"out": text}
    return {"sha256": hashlib.sha256(text.encode()).hexdigest(), "lines": text.count("\n") + 1}


def keep(answers: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the file."""
    KEPT.parent.mkdir(exist_ok=True)
    made = {line: kept(answers[line]) for line in grid.lines() if line in answers}
    KEPT.write_text(json.dumps(made, indent=0, ensure_ascii=False) + "\n")


def main(kernel: str = "newest") -> None:
    from tests.vm.peer import ask

    with tempfile.TemporaryDirectory(prefix="damod-peer-") as directory:
        made = Path(directory, "records")
        made.mkdir(mode=0o755)
        Path(directory).chmod(0o755)
        records.write(made)
        keep(ask(grid.lines(), made, Path(directory, "out"), kernel=kernel, timeout_s=3000))


if __name__ == "__main__":
    main(*sys.argv[1:2])
