"""`report access --exec`: scripts get the records; the document's example runs as it stands."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from damoctl.commands import report
from damoctl.context import Context
from damod.errors import BadRecord, DamodError, NotFound, UsageError
from tests.shared import shared

DOC = Path(__file__).parents[4] / "docs" / "exec.md"


def run(command: str, *words: str) -> None:
    source = str(shared("damo", "records", "damon.data.snapshot.active"))
    report.run(["access", "--input", source, "--exec", command, *words], Context(stdout=io.StringIO()))


def test_the_documented_example_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The script in docs/exec.md prints the hottest regions."""
    script = tmp_path / "hot.py"
    found = re.search(r"```python\n(.*?)```", DOC.read_text(), re.S)
    assert found
    script.write_text(found[1])
    run(f"{script} 2")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(re.fullmatch(r"0x[0-9a-f]+-0x[0-9a-f]+ \d+ \d+", line) for line in lines)


def test_usage_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The script of the usage document sees all regions, and its own words."""
    script = tmp_path / "foo.py"
    script.write_text(
        "def main(records, cmd_fields):\n"
        "    print(cmd_fields)\n"
        "    for r in records:\n"
        "        for s in r.snapshots:\n"
        "            for r in s.regions:\n"
        "                print(r.start, r.end)\n"
    )
    run(f"{script} a 'b c'")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str([str(script), "a", "b c"])
    assert lines[1] == "4294967296 4456865792"
    assert len(lines) == 1 + 34


def test_everything_documented_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All attributes of the tables in docs/exec.md exist, and agree with each other."""
    script = tmp_path / "all.py"
    script.write_text(
        "def main(records, words):\n"
        "    (r,) = records\n"
        "    (s,) = r.snapshots\n"
        "    x = s.regions[0]\n"
        "    assert (r.kdamond_idx, r.context_idx, r.scheme_idx, r.target_id) == (0, 0, 0, None)\n"
        "    assert (r.intervals.sample_us, r.intervals.aggr_us) == (s.sample_us, s.aggr_us) == (150000, 3000000)\n"
        "    assert r.scheme_filters[0]['filter_type'] == 'active'\n"
        "    assert s.end_time - s.start_time == 3 * 10**9\n"
        "    assert s.total_bytes == sum(y.size for y in s.regions)\n"
        "    assert s.damos_stats['nr_tried'] == 0\n"
        "    assert list(s.columns['start']) == [y.start for y in s.regions] == r.table()['start'].to_pylist()\n"
        "    assert x.nr_accesses == x.nr_accesses.samples and x.nr_accesses.percent == x.nr_accesses * 5\n"
        "    assert x.age.usec == x.age.aggr_intervals * 3000000 == x.age * 3000000\n"
        "    assert x.nr_accesses.hz == x.nr_accesses / 3\n"
        "    assert x.sz_filter_passed > 0 and x.probe_hits is None\n"
        "    print('good')\n"
    )
    run(str(script))
    assert capsys.readouterr().out == "good\n"


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        (None, NotFound, "there is no script"),
        ("def mian(): pass", UsageError, "no function main"),
        ("def main(:", BadRecord, "script.py:1"),
        ("def main(records, words):\n    return 1 / 0", BadRecord, "line 2, in main"),
    ],
)
def test_wrong_scripts(tmp_path: Path, text: str | None, error: type[DamodError], said: str) -> None:
    """A script that is missing or wrong is a sentence about the script, with the line in it."""
    script = tmp_path / "script.py"
    if text is not None:
        script.write_text(text)
    with pytest.raises(error) as raised:
        run(str(script))
    assert said in raised.value.message
    assert "damoctl/reports" not in raised.value.message
