"""report damon: kdamonds from the daemon and from files, whole or in parts."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from damoctl.commands import report_damon
from damoctl.context import Context
from damoctl.reports import damon
from damod.errors import UsageError
from damod.spec.kdamond import Kdamond, parse_kdamonds
from damod.spec.plain import plain
from tests.random_specs import kdamonds

SPEC = {
    "state": "on",
    "pid": 777,
    "refresh_ms": 1000,
    "contexts": [
        {
            "targets": [{"regions": [{"start": 0, "end": 1 << 30}]}],
            "schemes": [
                {"action": "stat", "stats": {"nr_tried": 1234, "sz_tried": 5 << 20, "nr_snapshots": 7}},
                {"action": "pageout", "access_pattern": {"age": {"min": "3 aggr_intervals"}}, "stats": {}},
            ],
        }
    ],
}
COLUMNS = {"start": [0, 8192], "end": [4096, 1 << 20], "nr_accesses": [1, 20], "age": [3, 0]}


def _shown() -> list[dict[str, Any]]:
    """What kdamonds.show answers."""
    spec = parse_kdamonds([SPEC])[0].model_dump(mode="json")
    return [
        {
            "index": 3,
            "name": "tiering",
            "owner": "damod",
            "spec": spec,
            "tried_regions": {"1": COLUMNS},
            "cpu_percent": 0.5,
        }
    ]


class _Client:
    def __init__(self, answers: list[Any] | None = None, modules: dict[str, bool] | None = None) -> None:
        self.calls: list[dict[str, Any]] = []
        self.answers = answers or [_shown()]
        self.modules = modules or {}

    def __enter__(self) -> _Client:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def call(self, method: str, **params: Any) -> Any:
        self.calls.append({"method": method, **params})
        return {"kdamonds": self.answers[min(len(self.calls), len(self.answers)) - 1], "modules": self.modules}


def _run(*argv: str, **told: Any) -> tuple[str, list[dict[str, Any]]]:
    out, client = io.StringIO(), _Client(**told)
    ctx = Context(stdout=out, stderr=io.StringIO())
    ctx.client = lambda: client  # type: ignore[assignment,return-value,method-assign]
    assert report_damon.run(list(argv), ctx) == 0
    return out.getvalue(), client.calls


def test_live_kdamonds() -> None:
    """Index, name, state, statistics and tried regions of the daemon's answer."""
    text, calls = _run()
    assert calls == [{"method": "kdamonds.show", "stats": True, "tried_regions": True}]
    assert text.startswith("kdamond 3 (tiering)\n    state: on, pid: 777, stats refresh per: 1 s\n    context 0\n")
    assert "                tried 1,234 times (5.000 MiB)\n" in text
    assert "                tried 7 snapshots (max 0)\n" in text
    assert "                age: [3 aggr_intervals, max]\n" in text
    assert (
        "            tried regions (1020.000 KiB)\n"
        "                [0, 4,096) (4.000 KiB) access 5 % age 300 ms\n"
        "                [8,192, 1,048,576) (1016.000 KiB) access 100 % age 0 ns\n"
    ) in text


@pytest.mark.parametrize(
    ("argv", "there", "gone"),
    [
        (["--damon_params"], "action: pageout", "state: on"),
        (["--damon_params"], "action: pageout", "statistics"),
        (["--damon_params_omit_defaults"], "age: [3 aggr_intervals, max]", "watermarks"),
        (["--omit_damos_tried_regions"], "statistics", "tried regions"),
        (["--raw"], "tried 1234 times (5242880)", "MiB"),
        (["--compat", "damo"], "kdamond 3\n", "tiering"),
    ],
)
def test_choices(argv: list[str], there: str, gone: str) -> None:
    """Each option shows or hides its part."""
    text, _ = _run(*argv)
    assert there in text
    assert gone not in text


def test_nothing_runs() -> None:
    """An empty answer is no silence."""
    out, err = io.StringIO(), io.StringIO()
    ctx, client = Context(stdout=out, stderr=err), _Client()
    client.answers = [[]]
    ctx.client = lambda: client  # type: ignore[assignment,return-value,method-assign]
    assert report_damon.run([], ctx) == 0
    assert (out.getvalue(), err.getvalue()) == ("", "note: no kdamond runs; `damoctl start` starts one\n")


def test_cpu_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two looks are taken and the share between them shown; a kdamond that was replaced meanwhile has none."""
    monkeypatch.setattr(report_damon, "_CPU_SPAN_S", 0)
    first = _shown()[0] | {"cpu_ns": 10**6, "time_ns": 10**9}
    del first["cpu_percent"]
    later = first | {"cpu_ns": 6 * 10**6, "time_ns": 2 * 10**9}
    text, calls = _run("--show_cpu_usage", answers=[[first], [later]])
    assert "stats refresh per: 1 s, cpu usage: 0.500 %\n" in text
    assert len(calls) == 2 and calls[1]["stats"] is False
    assert "cpu usage" not in _run()[0]
    later["spec"] = {**later["spec"], "pid": 778}
    assert "cpu usage" not in _run("--show_cpu_usage", answers=[[first], [later]])[0]


def test_modules_are_told_at_the_end() -> None:
    """Live, each DAMON module of the kernel has a line, on or off; not among parameters alone."""
    modules = {"damon_stat": True, "damon_reclaim": False}
    assert _run(modules=modules)[0].endswith("\ndamon_reclaim: off\ndamon_stat: on\n")
    assert "damon_stat" not in _run("--damon_params", modules=modules)[0]


def test_what_only_the_daemon_knows() -> None:
    """Tuned intervals, foreign changes, and tried bytes where no regions were read."""
    known = {"tuned_intervals": {"sample_us": 7000, "aggr_us": 140_000}, "drift": ["nr_regions.max: 1000 -> 50"]}
    entries = damon.compute([{**_shown()[0], **known, "tried_regions": [{"total_bytes": 4096}, {"total_bytes": 0}]}])
    text = "\n".join(damon.render(entries, damon.Choice()))
    assert "        tuned intervals: sample 7 ms, aggr 140 ms\n" in text
    assert "    changed by somebody else\n        nr_regions.max: 1000 -> 50\n" in text
    assert "            tried regions (4.000 KiB)\n" in text
    plain_text = "\n".join(damon.render(entries, damon.Choice(compat=True)))
    assert "tuned" not in plain_text and "somebody" not in plain_text


def test_tried_regions_are_not_asked_for_in_vain() -> None:
    """They cost the kernel time."""
    assert _run("--omit_damos_tried_regions")[1][0]["tried_regions"] is False


def test_summary_and_statistics() -> None:
    """One line per kdamond; statistics with and without a choice of fields."""
    assert _run("--kdamonds_summary")[0] == "3\tstate: on, pid: 777, stats refresh per: 1 s\n"
    text, _ = _run("--damos_stats", "--damos_stat_fields", "nr_tried", "sz_tried")
    assert text == (
        "kdamond 3 / context 0 / scheme 0\nnr_tried: 1,234\nsz_tried: 5.000 MiB\n\n"
        "kdamond 3 / context 0 / scheme 1\nnr_tried: 0\nsz_tried: 0 B\n\n"
    )
    assert json.loads(_run("--damos_stats", "--damos_stat_fields", "nr_snapshots", "--json")[0])[0] == [
        {"kdamond": 3, "context": 0, "scheme": 0},
        {"nr_snapshots": "7"},
    ]
    with pytest.raises(UsageError, match="did you mean 'nr_tried'"):
        _run("--damos_stat_fields", "nr_tryed")


def test_yaml_is_json_in_another_form(tmp_path: Path) -> None:
    """Either may be given to start and report again."""
    (tmp_path / "a.yaml").write_text(_run("--yaml")[0])
    assert _run("--input_file", str(tmp_path / "a.yaml"), "--json")[0] == _run("--json")[0]


@settings(max_examples=25)
@given(kdamonds())
def test_every_form_of_a_spec_gives_the_same_text(spec: tuple[Kdamond, ...]) -> None:
    """Integers of the daemon, damo's text of a file, raw numbers: one picture."""
    choice = damon.Choice(params_only=True)
    dumped = [kdamond.model_dump(mode="json") for kdamond in spec]
    forms = [dumped, plain(spec)["kdamonds"], plain(spec, raw=True)["kdamonds"]]
    first, *others = [list(damon.render(damon.compute(form), choice)) for form in forms]
    assert all(lines == first for lines in others)


def test_files_without_kdamonds(tmp_path: Path) -> None:
    """A JSON file of something else is told."""
    (tmp_path / "a.json").write_text('{"x": 1}')
    with pytest.raises(UsageError, match="holds no kdamonds"):
        _run("--input_file", str(tmp_path / "a.json"))


def test_the_text_of_a_file_needs_no_pydantic(tmp_path: Path) -> None:
    """report damon answers at once."""
    (tmp_path / "a.json").write_text(json.dumps(plain(parse_kdamonds([SPEC]))))
    code = (
        "import sys; from damoctl.commands import report_damon; from damoctl.context import Context;"
        f"report_damon.run(['--input_file', {str(tmp_path / 'a.json')!r}], Context(stdout=open('/dev/null', 'w')));"
        "print([m for m in ('pydantic', 'yaml', 'argparse', 'msgpack') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
