"""damoctl args: what it prints, what it writes, and that it touches nothing else."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from damoctl.commands import args
from damoctl.context import Context
from damod.errors import UsageError


def _run(*argv: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    status = args.run(list(argv), Context(stdout=out, stderr=err, socket="/nonexistent/damod.sock"))
    return status, out.getvalue(), err.getvalue()


def _damon(line: str) -> Any:
    status, out, _ = _run("damon", *shlex.split(line))
    assert status == 0
    return json.loads(out)["kdamonds"]


def test_add_replace_remove(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sequence of the usage document, file by file."""
    monkeypatch.chdir(tmp_path)

    def actions() -> list[str]:
        kdamonds = json.loads(Path("kdamonds.json").read_text())["kdamonds"]
        return [kdamond["contexts"][0]["schemes"][0]["action"] for kdamond in kdamonds]

    assert _run("damon", "--regions", "1-2", "--damos_action", "migrate_hot", "0", "--out", "kdamonds.json")[1] == ""
    assert actions() == ["migrate_hot"]
    _run(
        *[
            "damon",
            "--regions",
            "1-2",
            "--damos_action",
            "migrate_cold",
            "1",
            "--add",
            "kdamonds.json",
            "--out",
            "kdamonds.json",
        ]
    )
    assert actions() == ["migrate_hot", "migrate_cold"]
    _run(
        *[
            "damon",
            "--regions",
            "1-2",
            "--damos_action",
            "pageout",
            "--replace",
            "kdamonds.json",
            "1",
            "--out",
            "kdamonds.json",
        ]
    )
    assert actions() == ["migrate_hot", "pageout"]
    _run("damon", "--remove", "kdamonds.json", "1", "--out", "kdamonds.json")
    assert actions() == ["migrate_hot"]
    assert [path.name for path in tmp_path.iterdir()] == ["kdamonds.json"]


def test_out_is_whole_or_untouched(tmp_path: Path) -> None:
    """An error leaves the old file; success keeps its mode."""
    path = tmp_path / "a.json"
    path.write_text("old")
    path.chmod(0o640)
    with pytest.raises(UsageError):
        _run("damon", "--damos_action", "nonsense", "--out", str(path))
    assert path.read_text() == "old"
    _run("damon", "--regions", "1-2", "--out", str(path))
    assert json.loads(path.read_text())
    assert path.stat().st_mode & 0o777 == 0o640


def test_raw_is_in_the_fields_own_unit_and_reads_back() -> None:
    """damo prints some in nanoseconds and cannot read its own output."""
    line = (
        "--regions 1-2 --damos_action pageout --damos_age 1s 2s --damos_quotas 10ms 4097 1s 0 50% 500 "
        "--damos_wmarks free_mem_rate 5s 50% 40% 20%"
    )
    raw = _damon(line + " --raw")
    scheme = raw[0]["contexts"][0]["schemes"][0]
    assert scheme["access_pattern"]["age"] == {"min": 1_000_000, "max": 2_000_000}
    assert scheme["quotas"]["time_ms"] == 10
    assert scheme["watermarks"]["interval_us"] == 5_000_000
    assert _damon(shlex.quote(json.dumps(raw))) == _damon(line)


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_omitted_defaults_read_back(form: str) -> None:
    """A short file means the same."""
    line = "--regions 1-2 --damos_action pageout --damos_age 1s max"
    _, short, _ = _run("damon", *line.split(), "--omit_defaults", "--format", form)
    assert "watermarks" not in short
    assert _damon(shlex.quote(short)) == _damon(line)


def test_flags_make_the_same_again() -> None:
    """A spec as the words that make it."""
    line = "--regions '1-2 3-4' --damos_action migrate_hot 0 3 1 7 --damos_filter allow memcg '/a b' --damos_age 1s max"
    _, words, _ = _run("damon", *shlex.split(line), "--format", "flags")
    assert words.startswith("--kdamond --damon_ctx --ops paddr --damon_target --regions '1-2 3-4' --damos_scheme")
    assert _damon(words) == _damon(line)


def test_status_is_left_out() -> None:
    """A file of running kdamonds gives their parameters."""
    status = [{"state": "on", "pid": 7, "contexts": [{"schemes": [{"stats": {"nr_tried": 5}}]}]}]
    (made,) = _damon(shlex.quote(json.dumps(status)))
    assert "state" not in made and "stats" not in made["contexts"][0]["schemes"][0]


def test_a_command_is_not_started(tmp_path: Path) -> None:
    """Its pid stays open, a note says so, and the output is read back."""
    status, out, err = _run("damon", f"touch {tmp_path}/started")
    assert status == 0
    assert list(tmp_path.iterdir()) == []
    assert "is not started here" in err
    assert json.loads(out)["kdamonds"][0]["contexts"][0]["targets"] == [{"pid": None, "obsolete": False, "regions": []}]
    assert _run("damon", out)[1] == out


def test_default_region_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest System RAM range; where addresses are hidden the regions stay open and a note says so."""

    class Machine:
        def system_ram(self) -> list[tuple[int, int]]:
            return [(4096, 8192), (1 << 32, 1 << 34)]

        def numa_node_ram(self, nid: int) -> list[tuple[int, int]]:
            raise LookupError(nid)

    class Hidden(Machine):
        def system_ram(self) -> list[tuple[int, int]]:
            raise PermissionError(13, "hidden")

    monkeypatch.setattr(args, "_machine", Machine)
    assert _damon("paddr")[0]["contexts"][0]["targets"][0]["regions"] == [
        {"start": "4,294,967,296", "end": "17,179,869,184"}
    ]
    with pytest.raises(UsageError, match="no NUMA node 3"):
        _run("damon", "--numa_node", "3")
    monkeypatch.setattr(args, "_machine", Hidden)
    _, out, err = _run("damon", "paddr")
    assert json.loads(out)["kdamonds"][0]["contexts"][0]["targets"][0]["regions"] == []
    assert "shows it to root only" in err


def test_check_kernel() -> None:
    """What a release lacks is told with the path, and is the exit status."""
    line = "damon --regions 1-2 --refresh_stat 1s --damos_action pageout --pause_ctx 0"
    status, out, err = _run(*line.split(), "--check_kernel", "6.12")
    assert (status, json.loads(out)["kdamonds"][0]["refresh_ms"]) == (6, 1000)
    assert err == (
        "this kernel (6.12) lacks what is asked for:\n"
        "  --refresh_stat 1s needs refresh_ms (Linux 6.17)\n"
        "  --pause_ctx 0 needs pause (Linux 7.1)\n"
    )
    assert _run(*line.split(), "--check_kernel", "7.1")[0] == 0
    with pytest.raises(UsageError, match="not a kernel release"):
        _run(*line.split(), "--check_kernel", "new")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--add a.json --remove a.json 0", "exclude each other"),
        ("--remove {file} 3", "has no kdamond 3, only 1 of them"),
        ("--remove {file} 0 --ops paddr", "takes nothing else about DAMON"),
        ("--kdamond --kdamond --replace {file} 0", "needs exactly one kdamond, the options make 2"),
        ("ongoing", "what runs already"),
        ("--format jsn", "--format jsn: 'jsn' is not one of json, yaml, report, flags; did you mean 'json'"),
    ],
)
def test_wrong_edits(line: str, message: str, tmp_path: Path) -> None:
    """Contradicting edits and indices that are not there."""
    file = tmp_path / "one.json"
    _run("damon", "--regions", "1-2", "--out", str(file))
    with pytest.raises(UsageError, match=message):
        _run("damon", *line.format(file=file).split())


def test_accesses_filter() -> None:
    """Group F as damo's JSON; raw numbers in their own units."""
    line = "accesses_filter --age 5s max --access_rate 5% 100% --address 8K 1M --sz_snapshot 40MiB max"
    _, human, _ = _run(*line.split())
    made = json.loads(human)
    assert made["access_pattern"]["age"] == {"min": "5 s", "max": "max"}
    assert made["access_pattern"]["nr_accesses"] == {"min": "5 %", "max": "100 %"}
    assert made["access_pattern"]["sz_bytes"] == {"min": "0 B", "max": "max"}
    assert made["address_ranges"] == [["8,192", "1,048,576"]]
    assert made["snapshot_sz_ranges"] == [["40.000 MiB", "max"]]
    raw = json.loads(_run(*line.split(), "--raw")[1])
    assert raw["access_pattern"]["age"]["min"] == 5_000_000
    assert raw["temperature_weights"] == [0, 100, 100]
    with pytest.raises(UsageError, match="belongs to no option"):
        _run("accesses_filter", "paddr")


def test_accesses_format() -> None:
    """Group X as JSON or YAML; damo crashes here."""
    made = json.loads(_run("accesses_format", "--style", "cold", "--format", "append", "region", "<box>")[1])
    assert (made["style"], made["edits"]) == ("cold", [["append", "region", "<box>"]])
    assert "style: cold\n" in _run("accesses_format", "--style", "cold", "--output_format", "yaml")[1]


@pytest.mark.parametrize("topic", ["damon", "accesses_filter", "accesses_format"])
def test_help(topic: str) -> None:
    """Each has its --help, without doing anything."""
    assert f"usage: damoctl args {topic} [options]" in _run(topic, "--help")[1]


def test_unknown_topic() -> None:
    """With the near one."""
    with pytest.raises(UsageError, match="did you mean 'damon'"):
        _run("damn")
