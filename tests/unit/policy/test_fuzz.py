"""Mutated policy files: an answer for each, never an exception, and nothing reaches a kernel."""

from __future__ import annotations

import os
import random
from pathlib import Path

from damod.policy.document import Policy
from damod.policy.load import of_texts

SEEDS = [path.read_text() for path in sorted(Path("etc/damo.d").glob("*.yaml"))]
COUNT = int(os.environ.get("DAMOD_FUZZ", "400"))
"""`DAMOD_FUZZ=100000 pytest tests/unit/policy/test_fuzz.py` is the long run (some minutes)."""
PIECES = [
    ": ", "- ", "\n", "  ", "{", "}", "[", "]", "&a", "*a", "!!", "!!binary ", "<<", "? ", "|", ">", "'", '"', "#", "%",
    "\t", "\0", "\ufeff", "é", "\ud7ff",
    "on", "no", "~", "null", "012", "1:30", "0x", ".inf", "-1", "1e999", "max", "min",
    "99999999999999999999999999", "-0", "--- \n", "...\n", "kdamonds:", "contexts:", "schemes:", "filters:", "targets:",
    "filter_type: addr", "goals:", "dests:", "true", "1_0", "0.0000001", "%YAML 9\n",
]  # fmt: skip


def mutated(rng: random.Random) -> str:
    text = rng.choice(SEEDS)
    for _ in range(rng.randint(1, 8)):
        at, end = sorted(rng.randrange(len(text) + 1) for _ in range(2))
        kind = rng.randrange(6)
        if kind == 0:
            text = text[:at] + rng.choice(PIECES) + text[at:]
        elif kind == 1:
            text = text[:at] + text[min(end, at + 40) :]
        elif kind == 2:
            text = text[:at] + text[at : at + 60] * rng.randint(2, 4) + text[at + 60 :]
        elif kind == 3:
            text = text[:at]
        elif kind == 4:
            lines = text.splitlines(keepends=True)
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
            text = "".join(lines)
        else:
            text = text[:at] + chr(rng.choice([rng.randrange(32, 127), rng.randrange(0xD7FF)])) + text[at + 1 :]
        if not text:
            return text
    return text


def test_mutated_files_have_an_answer() -> None:
    """Each is either a policy or problems with their places."""
    rng = random.Random(COUNT)
    for number in range(COUNT):
        text = mutated(rng)
        document = of_texts("p", [("p.yaml", text)])
        assert isinstance(document.policy, Policy) != bool(document.problems), (number, text)
        assert all(problem.place.line >= 1 and problem.message for problem in document.problems), (number, text)


def test_two_mutated_files_merge() -> None:
    """A mutated drop-in over a mutated file has an answer, too."""
    rng = random.Random(7)
    for number in range(COUNT // 4):
        texts = [("p.yaml", mutated(rng)), ("d.yaml", mutated(rng))]
        document = of_texts("p", texts)
        assert isinstance(document.policy, Policy) != bool(document.problems), (number, texts)
