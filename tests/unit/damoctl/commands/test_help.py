"""damoctl help: every topic and subtopic, and what is near to a wrong one."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from damoctl.commands import help as help_command
from damoctl.flags.access import FILTERS, FORMATS
from damoctl.verbs import COMMANDS
from damod.errors import UsageError

ROOT = Path(__file__).parents[4]


def _run(*argv: str) -> str:
    out = io.StringIO()
    ctx = SimpleNamespace(print=lambda text: out.write(text + "\n"), term=SimpleNamespace(width=80))
    assert help_command.run(list(argv), ctx) == 0  # type: ignore[arg-type]
    return out.getvalue()


def test_topics() -> None:
    """Without a word the topics are listed."""
    assert all(topic in _run() for topic in help_command.TOPICS)


def test_param_options_by_category() -> None:
    """All of them, or those of monitoring, or those of schemes."""
    monitoring, damos = _run("damon_param_options", "monitoring"), _run("damon_param_options", "damos")
    assert "--damos_age <min> <max>" in damos and "--damos_age" not in monitoring
    assert "--monitoring_intervals <sample> <aggr> <update>" in monitoring and "--monitoring_intervals <" not in damos
    everything = _run("damon_param_options")
    assert all(line in everything for line in (monitoring + damos).splitlines())
    assert max(map(len, everything.splitlines())) <= 130


def test_access_options() -> None:
    """Each option of groups F and X, hidden ones included."""
    assert all(option.name in _run("access_filter_options") for option in FILTERS)
    assert all(option.name in _run("access_format_options") for option in FORMATS)


@pytest.mark.parametrize(
    ("level", "keyword"), [("record", "<intervals>"), ("snapshot", "<heatmap>"), ("region", "<access hz>")]
)
def test_keywords(level: str, keyword: str) -> None:
    """Keyword, what it shows, blank line."""
    blocks = _run("access_format_options", f"{level}_format_keywords").strip().split("\n\n")
    assert keyword in [block.splitlines()[0] for block in blocks]
    assert all(len(block.splitlines()) == 2 for block in blocks)


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    """`help COMMAND` is `COMMAND --help`, also of a report's type and of damo's old names; `help help` is `help`."""
    for name in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-m", "damoctl", "help", name], capture_output=True, text=True, cwd=ROOT, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), name
        assert done.stdout.startswith("usage: damoctl "), name
    assert _run("help") == _run()
    assert all(f"  {name} " in _run() for name, command in COMMANDS.items() if command.help)


def test_subtopics() -> None:
    """Each may be asked for, and completion offers them."""
    for topic in help_command.TOPICS:
        assert all(_run(topic, one) for one in help_command.subtopics(topic))
    assert "heatmap" in help_command.subtopics("report") and "damon" in help_command.subtopics("args")


def test_wrong_words() -> None:
    """With what is near, and what there is."""
    with pytest.raises(UsageError, match="did you mean 'damon_param_options'"):
        _run("damon_params_options")
    with pytest.raises(UsageError, match="knows all, monitoring, damos, not 'damoss'; did you mean 'damos'"):
        _run("damon_param_options", "damoss")
