"""Shell completion from the commands' own tables, and bash asking it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from damoctl.complete import SCRIPTS, complete, main
from damoctl.main import COMMANDS


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("st", ["status", "start", "stop"]),
        ("--js", ["--json"]),
        ("--color al", ["always"]),
        ("start pa", ["paddr"]),
        ("start --damos_quota_goal_", ["--damos_quota_goal_tuner"]),
        ("start --include", ["--include_child_tasks"]),
        ("start --ops v", ["vaddr"]),
        ("start --damos_age 5", []),
        ("--socket /x tune --quota", ["--quota_goals_only"]),
        ("report da", ["damon"]),
        ("report access --style det", ["detailed"]),
        ("report access --tried", []),
        ("report damon --damos_stat_fields nr_t", ["nr_tried"]),
        ("args accesses_f", ["accesses_filter", "accesses_format"]),
        ("args damon --format js", ["json"]),
        ("help access_fo", ["access_format_options"]),
        ("help access_format_options reg", ["region_format_keywords"]),
        ("features uns", ["unsupported"]),
        ("features --k", ["--kernel"]),
        ("stop --k", ["--kdamond"]),
        ("completion z", ["zsh"]),
        ("nonsense --", []),
    ],
)
def test_candidates(typed: str, found: list[str]) -> None:
    """Commands, their first words, their options and the keywords of these; nothing where anything may stand."""
    assert complete(typed.split(" ")) == found


def test_every_command_has_options() -> None:
    """After each command there is something to choose, at least its help."""
    for name in COMMANDS:
        assert complete([name, "--"]) or complete([name, ""]), name


def test_words_behind_the_cursor_do_not_matter(capsys: pytest.CaptureFixture[str]) -> None:
    """The index says where the word stands that is being typed; what is no index is told by the status only."""
    assert main(["1", "damoctl", "sto", "--json"]) == 0
    assert capsys.readouterr().out == "stop\n"
    assert main(["x"]) == 2


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash(tmp_path: Path) -> None:
    """The script, read by bash, completes a half-typed option and falls back to file names where nothing is known."""
    program = tmp_path / "damoctl"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m damoctl "$@"\n')
    program.chmod(0o755)
    code = SCRIPTS["bash"] + (
        "COMP_WORDS=(damoctl start --damos_quota_goal_t); COMP_CWORD=2; _damoctl; echo ${COMPREPLY[@]}\n"
        "COMP_WORDS=(damoctl start --ops ''); COMP_CWORD=3; _damoctl; echo ${COMPREPLY[@]}\n"
        "COMP_WORDS=(damoctl start /etc/h); COMP_CWORD=2; _damoctl; echo ${#COMPREPLY[@]}\n"
        "complete -p damoctl\n"
    )
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(["bash", "--norc", "-c", code], capture_output=True, text=True, env=environ, timeout=60)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "--damos_quota_goal_tuner",
        "vaddr paddr fvaddr",
        "0",
        "complete -o default -F _damoctl damoctl",
    ]
