"""Command lines fall into options and words as argparse's users expect."""

from __future__ import annotations

import pytest

from damoctl.flags.option import Option, Word
from damoctl.flags.table import OPTIONS
from damoctl.flags.words import parse
from damod.errors import UsageError


def _shown(*argv: str) -> list[str]:
    line = parse(argv, OPTIONS)
    return [*map(str, line.uses), *line.rest]


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["--damos_age", "5s", "max", "paddr"], ["--damos_age 5s max", "paddr"]),
        (["--ops=paddr", "12"], ["--ops paddr", "12"]),
        (["--monitoring_nr", "10", "20"], ["--monitoring_nr_regions_range 10 20"]),
        (["-s", "5000", "-a100ms"], ["-s 5000", "-a 100ms"]),
        (["--sample", "5000", "-r", "1-2"], ["-s 5000", "--regions 1-2"]),
        (["--damos_age", "-5s", "-1"], ["--damos_age -5s -1"]),
        (["--damos_action", "stat", "--", "sleep 5"], ["--damos_action stat", "sleep 5"]),
        (["--damos_action", "migrate_hot", "0", "--kdamond"], ["--damos_action migrate_hot 0", "--kdamond"]),
        (["-"], ["-"]),
    ],
)
def test_uses_and_rest(argv: list[str], shown: list[str]) -> None:
    """Prefixes, equals signs, short forms, negative values, lists that end at an option, and the double dash."""
    assert _shown(*argv) == shown


def test_positions_are_kept() -> None:
    """The order of options is what grouping goes by."""
    assert [use.at for use in parse(["--ops", "paddr", "1", "--kdamond"], OPTIONS).uses] == [0, 3]


def test_everything_wrong_is_told_at_once() -> None:
    """Unknown, ambiguous, too few words, a word too much: four problems in one error."""
    with pytest.raises(UsageError) as caught:
        parse(["--damos_acton", "stat", "--damos_quota", "--damos_age", "5s", "--kdamond=3"], OPTIONS)
    problems = caught.value.facts["problems"]
    assert problems[0] == "there is no option --damos_acton; did you mean '--damos_action'?"
    assert problems[1].startswith("--damos_quota may mean --damos_quota_fail_charge_ratio, ")
    assert problems[2] == "--damos_age <min> <max> needs 2 words, got 1: 5s"
    assert problems[3] == "--kdamond takes no word, not '3'"
    assert caught.value.message.startswith("4 problems in the options:\n  there is no option")


def test_a_commands_own_options_are_checked() -> None:
    """Their keywords, numbers, and that they stand there once."""
    own = (
        Option(("--format",), "command", "Form.", (Word("form", choices=("json", "yaml")),)),
        Option(("--count",), "command", "Number.", (Word("number", "count"),)),
    )
    with pytest.raises(UsageError) as caught:
        parse(["--format", "jsn", "--count", "1.5", "--count", "2"], [*OPTIONS, *own])
    assert caught.value.facts["problems"] == [
        "--format jsn: 'jsn' is not one of json, yaml; did you mean 'json'?",
        "--count 1.5: '1.5' is not a whole number; <number> is a number like 1000, 1,000, max",
        "--count is given 2 times",
    ]
