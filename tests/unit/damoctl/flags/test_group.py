"""Each option belongs to the kdamond, context, target, probe and scheme that the user means."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from damoctl.flags.compile import compile_words
from damoctl.flags.table import COUNTS
from damod.errors import UsageError


def _contexts(line: str) -> list[dict[str, Any]]:
    return [kdamond["contexts"][0] for kdamond in compile_words(shlex.split(line)).spec["kdamonds"]]


def _ages(line: str) -> list[int | None]:
    schemes = [scheme for context in _contexts(line) for scheme in context.get("schemes", [])]
    return [scheme.get("access_pattern", {}).get("age", {}).get("min") for scheme in schemes]


@pytest.mark.parametrize(
    ("line", "ages"),
    [
        ("--damos_action cold --damos_age 1 max --damos_action stat --damos_age 2 max", [1, 2]),
        ("--damos_action cold --damos_action stat --damos_age 2 max", [None, 2]),
        ("--damos_scheme --damos_action cold --damos_scheme --damos_action stat --damos_age 2 max", [None, 2]),
        ("--damos_action cold --damos_scheme --damos_action stat --damos_age 2 max", [None, 2]),
        ("--damos_scheme --damos_age 1 max --damos_action cold --damos_scheme --damos_action stat", [1, None]),
        ("--damos_age 1 max --damos_scheme --damos_action cold --damos_scheme --damos_action stat", [1, None]),
        ("--damos_age 1 max --damos_action cold --damos_action stat", [1, None]),
        # The n-th use of damo, where the places say nothing and the numbers fit.
        ("--damos_action cold --damos_action stat --damos_age 1 max --damos_age 2 max", [1, 2]),
        ("--damos_age 1 max --damos_age 2 max --damos_action cold --damos_action stat", [1, 2]),
        ("--damos_age 1 max --damos_action cold --damos_age 2 max --damos_action stat", [1, 2]),
        # Three schemes in two kdamonds, by counts and by markers.
        (
            "--ops paddr --damos_action cold --damos_age 1 max --ops paddr --damos_action stat --damos_age 2 max "
            "--damos_action cold --nr_ctxs 1 1 --nr_schemes 1 2",
            [1, 2, None],
        ),
        (
            "--kdamond --damos_action cold --damos_age 1 max --kdamond --damos_action stat --damos_action cold "
            "--damos_age 3 max",
            [1, None, 3],
        ),
    ],
)
def test_schemes(line: str, ages: list[int | None]) -> None:
    """An option after the second scheme's beginning is the second scheme's, always."""
    assert _ages(line) == ages


@pytest.mark.parametrize(
    "line",
    [
        "--damos_action cold --damos_age 1 max --damos_age 2 max --damos_action stat",
        "--damos_action cold --damos_age 1 max --damos_action stat --damos_age 2 max --damos_age 3 max",
        "--damos_scheme --damos_action cold --damos_scheme --damos_action stat --damos_age 1 2 --damos_age 3 4",
        "--damos_action cold --damos_filter allow anon --damos_filter allow young --damos_action stat "
        "--damos_nr_filters 1 1",
        "--damos_scheme --damos_action cold --damos_filter allow anon --damos_scheme --damos_action stat "
        "--damos_nr_filters 0 1",
        "--kdamond --damos_action cold --kdamond --damos_action stat --nr_schemes 2 0",
        "--damos_action cold --damos_action stat --nr_schemes 1",
        "--kdamond --ops paddr --nr_ctxs 1 1",
        "--damos_action cold --damos_filter allow anon --damos_nr_filters 2",
        "--ops paddr --ops paddr",
    ],
)
def test_contradictions_show_the_grouping(line: str) -> None:
    """Twice for one item, counts against the order, counts against markers: the error draws what was understood."""
    with pytest.raises(UsageError) as caught:
        compile_words(line.split())
    assert "\nthe words were grouped like this:\n  kdamond 0\n" in caught.value.message
    assert "--" in caught.value.message.split("like this:")[1]


def test_reading_by_number_is_told() -> None:
    """Nobody is left to guess that the n-th use was taken for the n-th scheme."""
    line = "--damos_action cold --damos_action stat --damos_age 1 2 --damos_age 3 4"
    assert compile_words(line.split()).notes == [
        "--damos_age is read by number: the first is that of scheme 0, and so on"
    ]


def test_counts_decide_where_the_order_says_nothing() -> None:
    """All of them stand after all schemes (contexts): the counts distribute them, as in damo."""
    line = "--damos_action cold --damos_action stat --damos_filter allow anon --damos_filter reject young "
    (context,) = _contexts(line + "--damos_nr_filters 1 1")
    assert [[one["filter_type"] for one in scheme["filters"]] for scheme in context["schemes"]] == [["anon"], ["young"]]
    first, second = _contexts(
        "--ops paddr --ops paddr --regions 1-2 --regions 3-4 --nr_targets 1 1 --nr_ctxs 1 1 "
        "--damos_action cold --damos_action stat --nr_schemes 1 1"
    )
    assert first["targets"][0]["regions"] == [{"start": 1, "end": 2}]
    assert second["schemes"][0]["action"] == "stat"


def test_counts_make_items_with_defaults() -> None:
    """Two contexts by count alone, with the n-th intervals each."""
    contexts = _contexts("--monitoring_intervals 1ms 2ms 3ms --monitoring_intervals 2ms 4ms 6ms --nr_ctxs 1 1")
    assert [context["intervals"]["sample_us"] for context in contexts] == [1000, 2000]


@pytest.mark.parametrize("name", COUNTS)
def test_counts_beyond_reason_are_refused_before_they_cost_memory(name: str) -> None:
    """``max`` items would fill the machine's memory first; so would many counts that are each small enough."""
    for counts in ("max", "4097", f"{'4000 ' * 20}"):
        with pytest.raises(UsageError, match=r"at most 4,096 are taken"):
            compile_words(["--ops", "paddr", name, *counts.split()])


def test_targets() -> None:
    """A second pid begins a second target; its regions follow it, or stand behind by number."""
    by_place = _contexts("--target_pid 1 --regions 1-2 --target_pid 2 --regions 3-4")
    by_number = _contexts("--target_pid 1 --target_pid 2 --regions 1-2 --regions 3-4")
    marked = _contexts("--damon_target --regions 1-2 --target_pid 1 --damon_target --target_pid 2 --regions 3-4")
    expected = [{"pid": 1, "regions": [{"start": 1, "end": 2}]}, {"pid": 2, "regions": [{"start": 3, "end": 4}]}]
    assert by_place[0]["targets"] == by_number[0]["targets"] == marked[0]["targets"] == expected


def test_probes() -> None:
    """Markers or counts make probes; weights go to their probe, or in one list to each by number."""
    marked = "--probe --probe_filter allow anon --probe_weight 3 --probe --probe_filter allow memcg /a --probe_weight 4"
    listed = "--probe_filter allow anon --probe_filter allow memcg /a --nr_probe_filters 1 1 --probe_weight 3 4"
    assert _contexts(marked)[0]["probes"] == _contexts(listed)[0]["probes"]
    assert [probe["weight"] for probe in _contexts(marked)[0]["probes"]] == [3, 4]
    several = _contexts(f"--kdamond {marked} --kdamond {marked}")
    assert [len(context["probes"]) for context in several] == [2, 2]


def test_indices_over_the_whole_line() -> None:
    """--pause_ctx and --obsolete_targets count contexts and targets over all kdamonds; a wrong index is told."""
    line = "--kdamond --target_pid 1 --kdamond --target_pid 2 --target_pid 3 "
    first, second = _contexts(line + "--pause_ctx 1 --obsolete_targets 0 2")
    assert ("pause" in first, second["pause"]) == (False, True)
    assert first["targets"][0]["obsolete"] and second["targets"][1]["obsolete"]
    with pytest.raises(UsageError, match="--pause_ctx 2: there is no index 2, only 2 of them"):
        compile_words((line + "--pause_ctx 2").split())


def test_a_scheme_without_action_is_told() -> None:
    """Options of a scheme that does nothing are a mistake, not a silent default."""
    with pytest.raises(UsageError, match="--damos_age 1s 2s: no --damos_action says what to do there"):
        compile_words(["--damos_age", "1s", "2s"])
