"""docs/record-format.md tells what the code does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from damod.access.snapshot import Regions, Snapshot
from damod.records.schema import COLUMNS, RecordMeta
from damod.records.writer import RecordWriter

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "record-format.md").read_text()


def test_the_columns_are_those_of_the_code() -> None:
    """The table of columns is the schema, word for word."""
    table = [f"| `{column.name}` | {column.type} | {column.about} |" for column in COLUMNS]
    assert re.findall(r"^\| `\w+` \| .*\|$", TEXT, re.MULTILINE) == table


def test_the_examples_run(tmp_path: Path) -> None:
    """The pyarrow example and ours read a record that was just written, and see the working set."""
    made = RecordWriter(tmp_path, "damon.data", RecordMeta(kernel="7.3"))
    for index in range(3):
        regions = Regions([0, 4096], [4096, 4096 * (3 + index)], [0, 5], [0, 0])
        made.append(Snapshot(0, 0, 0, index * 100, index * 100 + 100, 0, 5_000, 100_000, regions))
    made.seal()
    examples = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    runnable = [code for code in examples if "pyarrow" in code or "open_record" in code]
    said = [
        subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"],
            cwd=tmp_path, capture_output=True, text=True, check=True,
        ).stdout
        for code in runnable
    ]  # fmt: skip
    assert said[0] == "{'end_ns': [100, 200, 300], 'size_sum': [8192, 12288, 16384]}\n"
    assert said[1].startswith("parquet 7.3 (0, 300)\n")
    assert sum(map(int, said[1].splitlines()[1:])) == 8192 + 12288 + 16384
