"""Shell completion from the commands' own tables, and bash asking it."""

from __future__ import annotations

import pytest

from damoctl.complete import complete, main
from damoctl.verbs import COMMANDS


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("sta", ["status", "start"]),
        ("--js", ["--json"]),
        ("--color al", ["always"]),
        ("start pa", ["paddr", ":file"]),
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
        ("help access_format_options region", ["region_format_keywords"]),
        ("features uns", ["unsupported"]),
        ("features --k", ["--kernel"]),
        ("stop --k", ["--kdamond"]),
        ("completion z", ["zsh"]),
        ("start --damos_action=pageo", []),
        ("adjust --output_ty", ["--output_type"]),
        ("adjust --snapshot_t", ["--snapshot_time"]),
        ("report wss --plot ", [":file"]),
        ("start --ops=v", ["--ops=vaddr"]),
        ("start --ops = v", ["vaddr"]),
        ("report heatmap --input ", [":file"]),
        ("report heatmap --input=x", [":file"]),
        ("replay ", [":file"]),
        ("replay --max", ["--max_memory"]),
        ("replay --max_memory 1G ", [":file"]),
        ("convert_record_format --record_file ", [":file"]),
        ("convert_record_format --format jso", ["json_compressed", "json"]),
        ("record re", ["recover", ":file"]),
        ("record recover ", [":file"]),
        ("record --out ", [":file"]),
        ("record --damos_quota_goal_", ["--damos_quota_goal_tuner"]),
        ("policy en", ["enable"]),
        ("policy apply --pro", ["--probation"]),
        ("policy check ", [":file"]),
        ("stop --socket ", [":file"]),
        ("help sto", ["stop"]),
        ("help report wss", ["wss"]),
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
