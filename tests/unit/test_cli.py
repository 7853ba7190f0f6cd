"""damod's command line: what it prints, and what it ends with."""

from __future__ import annotations

from pathlib import Path

import pytest

from damod import __version__, cli
from damod.settings import SETTINGS


def test_check_prints_each_setting_with_its_origin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 0, and one line for each setting."""
    config = tmp_path / "damod.yaml"
    config.write_text("viewers: all\n")
    assert cli.main(["--check", "--config", str(config), "--log-level", "debug", "--policy-dir", "/a"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(SETTINGS)
    words = {line.split()[0]: line.split()[1:] for line in lines}
    assert words["viewers"] == ["all", f"{config}:1"]
    assert words["log_level"] == ["debug", "--log-level"]
    assert words["policy_dir"] == ["/a", "--policy-dir"]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--check", "--config", "/nonexistent.yaml"], "/nonexistent.yaml cannot be read"),
        (["--check", "--log-level", "loud"], "--log-level: log_level: 'loud' is none of"),
        (["--check", "--kernel", "windows"], "'windows' is neither linux nor sim"),
        (["--chek"], "unrecognized arguments: --chek"),
        (["--socket"], "argument --socket: expected one argument"),
    ],
)
def test_a_mistake_is_two_lines_and_status_2(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence and the hint, on stderr; no traceback, no usage of all options."""
    assert cli.main(argv) == 2
    found = capsys.readouterr()
    message, hint = found.err.splitlines()
    assert message.startswith("damod: ") and says in message
    assert hint.startswith("  hint: ")
    assert found.out == ""


def test_version_and_help_end_well(capsys: pytest.CaptureFixture[str]) -> None:
    """They print and exit 0; help names every flag and the precedence."""
    for argv in (["--version"], ["--help"]):
        with pytest.raises(SystemExit) as caught:
            cli.main(argv)
        assert caught.value.code == 0
    out = capsys.readouterr().out
    assert f"damod {__version__}\n" in out
    assert all(item.metadata["flag"] in out for item in SETTINGS.values())
    assert "$DAMOD_<NAME>" in out
