"""Heatmaps of virtual address spaces name the mappings that the columns lie in."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from damoctl.commands import report
from damoctl.context import Context
from damod.access.record import Intervals, Record
from damod.access.snapshot import Regions, Snapshot
from damod.errors import BadRecord
from damod.records.damo_plain import to_plain


def record(path: Path) -> Path:
    shot = Snapshot(0, 0, 0, 10**9, 11 * 10**8, 0, 0, 0, Regions((0, 4000), (4000, 8000), (1, 0), (0, 0)))
    path.write_text(json.dumps([to_plain(Record(0, 0, None, 42, None, [shot]), raw=True)]))
    return path


def shown(path: Path, *words: str) -> str:
    out = io.StringIO()
    report.run(["heatmap", "--input", str(path), *words], Context(stdout=out, stderr=io.StringIO()))
    return out.getvalue()


def test_legend(tmp_path: Path) -> None:
    """Adjacent mappings of one file are one, those narrower than a column are left out, others' are not shown."""
    path = record(tmp_path / "damon.data")
    vmas = [
        {"start": 0, "end": 1000, "name": "/bin/work"}, {"start": 1000, "end": 2000, "name": "/bin/work"},
        {"start": 4000, "end": 8000, "name": "[heap]"}, {"start": 2000, "end": 2001, "name": "/tiny"},
        {"start": 90000, "end": 90001, "name": "/far"},
    ]  # fmt: skip
    other = {"pid": 7, "vmas": [{"start": 0, "end": 8000, "name": "/other"}]}
    text = [{"time": 1.0, "procvmas": [{"pid": 42, "vmas": vmas}, other]}]
    (tmp_path / "damon.data.vmas").write_text(json.dumps(text))
    lines = shown(path, "--resol", "1", "8").splitlines()
    assert lines[-2:] == ["# columns 0-1: /bin/work (1.953 KiB)", "# columns 4-7: [heap] (3.906 KiB)"]
    plain = json.loads(shown(path, "--resol", "1", "8", "--json"))
    assert [item["name"] for item in plain["maps"][0]["mappings"]] == ["/bin/work", "[heap]"]
    assert "work" not in shown(path, "--resol", "1", "8", "--compat", "damo")


def test_damaged(tmp_path: Path) -> None:
    """A side file that cannot be read is told."""
    path = record(tmp_path / "damon.data")
    (tmp_path / "damon.data.vmas").write_text('[{"time": 1}]')
    with pytest.raises(BadRecord, match="vmas is damaged"):
        shown(path)


@pytest.mark.parametrize("large", [False, True])
def test_regions_name_their_mapping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool) -> None:
    """`<vma>` is the mapping that most of a region lies in, and how many more there are; - where there is none."""
    path = tmp_path / "damon.data"
    regions = Regions((0, 4096, 8192, 16384), (4096, 8192, 16384, 20480), (1, 0, 2, 0), (0, 0, 0, 0))
    shots = [Snapshot(0, 0, 0, 0, 10**8, 0, 5000, 100_000, regions)]
    path.write_text(json.dumps([to_plain(Record(0, 0, None, 42, Intervals(5000, 100_000), shots), raw=True)]))
    vmas = [
        {"start": 0, "end": 8192, "name": "/bin/work"}, {"start": 8192, "end": 9000, "name": "0"},
        {"start": 9000, "end": 16384, "name": "[heap]"},
    ]  # fmt: skip
    (tmp_path / "damon.data.vmas").write_text(json.dumps([{"time": 1, "procvmas": [{"pid": 42, "vmas": vmas}]}]))
    if large:
        monkeypatch.setattr("damoctl.commands.report_access._SMALL", 0)
    out = io.StringIO()
    words = ["--format", "set", "region", "<index> <vma>", "--format", "set", "snapshot_head", ""]
    assert report.run(["access", "--input", str(path), *words], Context(stdout=out, stderr=io.StringIO())) == 0
    assert out.getvalue().splitlines()[:4] == ["0   /bin/work", "1   /bin/work", "2   [heap] +1", "3   -"]
