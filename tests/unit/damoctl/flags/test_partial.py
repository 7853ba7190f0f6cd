"""A partial tune changes exactly what was said."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings

from damoctl.flags.partial import apply_partial, partial
from damod.errors import UsageError
from damod.spec.kdamond import Kdamond, parse_kdamonds
from tests.random_specs import kdamonds

RUNNING: list[dict[str, Any]] = [
    kdamond.model_dump(mode="json")
    for kdamond in parse_kdamonds(
        [
            {
                "state": "on",
                "pid": 77,
                "contexts": [
                    {
                        "schemes": [
                            {"action": "stat", "stats": {"nr_tried": 5}},
                            {
                                "action": "migrate_hot",
                                "target_nid": 1,
                                "quotas": {"sz_bytes": 5, "reset_interval_ms": 900, "effective_sz_bytes": 4},
                                "filters": [{"filter_type": "anon"}, {"filter_type": "young"}],
                            },
                        ]
                    }
                ],
            }
        ]
    )
]


def _schemes(line: str) -> list[dict[str, Any]]:
    made = apply_partial(RUNNING, partial(line.split()))
    parse_kdamonds(made)
    schemes: list[dict[str, Any]] = made[0]["contexts"][0]["schemes"]
    return schemes


def test_one_value_of_one_scheme() -> None:
    """The issue's own example: paths, selector, and nothing else changes."""
    change = partial(["--damos_quota_space", "1G", "--scheme", "migrate_hot"])
    assert change == {"set": [("kdamonds[0].contexts[0].schemes[0].quotas.sz_bytes", 1 << 30)], "scheme": "migrate_hot"}
    before = copy.deepcopy(RUNNING)
    made = apply_partial(RUNNING, change)
    assert before == RUNNING
    assert made[0]["contexts"][0]["schemes"][1]["quotas"]["sz_bytes"] == 1 << 30
    wanted = [one.without_status() for one in parse_kdamonds(before)]
    scheme = wanted[0].contexts[0].schemes[1]
    assert parse_kdamonds(made)[0].contexts[0].schemes[1] == scheme.model_copy(
        update={"quotas": scheme.quotas.model_copy(update={"sz_bytes": 1 << 30})}
    )
    assert parse_kdamonds(made)[0].contexts[0].schemes[0] == wanted[0].contexts[0].schemes[0]


def test_scheme_by_index_and_by_place() -> None:
    """--scheme 1 and the second scheme of the line mean the same one."""
    assert _schemes("--damos_age 1s max --scheme 1")[1]["access_pattern"]["age"]["min"] == 1_000_000
    by_place = _schemes("--damos_scheme --damos_age 2s max --damos_scheme --damos_age 1s max")
    assert [scheme["access_pattern"]["age"]["min"] for scheme in by_place] == [2_000_000, 1_000_000]


def test_lists_are_replaced_whole() -> None:
    """Filters that are given are the filters, all of them."""
    made = _schemes("--scheme 1 --damos_filter allow memcg /a --damos_filter reject young")
    assert [item["filter_type"] for item in made[1]["filters"]] == ["memcg", "young"]


def test_a_new_action_forgets_the_old_destination() -> None:
    """pageout goes nowhere; another migration keeps its node unless told otherwise."""
    assert "target_nid" not in _schemes("--damos_action pageout --scheme 1")[1]
    weighted = _schemes("--damos_action migrate_cold 0 1 1 2 --scheme 1")[1]
    assert weighted["dests"] == [{"id": 0, "weight": 1}, {"id": 1, "weight": 2}]
    assert "target_nid" not in weighted


def test_context_and_kdamond_values() -> None:
    """Intervals, refresh and the target need no scheme."""
    made = apply_partial(
        RUNNING, partial(["--refresh_stat", "2s", "--monitoring_intervals_goal", "4%", "3", "5ms", "10s"])
    )
    assert made[0]["refresh_ms"] == 2000
    assert made[0]["contexts"][0]["intervals"]["intervals_goal"]["access_bp"] == 400
    assert made[0]["contexts"][0]["intervals"]["sample_us"] == 5000
    assert not {"state", "pid"} & set(made[0])


def test_a_scheme_can_be_added() -> None:
    """The scheme after the last one; its action has to be said."""
    made = _schemes(
        "--damos_scheme --damos_age 1s max --damos_scheme --damos_age 1s max --damos_scheme --damos_action cold"
    )
    assert [scheme["action"] for scheme in made] == ["stat", "migrate_hot", "cold"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--damos_age 1s max --scheme 7", "there is no scheme 7; there are: 0 stat, 1 migrate_hot"),
        ("--damos_age 1s max --scheme migrate_hat", "did you mean 'migrate_hot'?"),
        ("--scheme 1", "nothing is given that could change"),
        ("--kdamond --kdamond --refresh_stat 1s", "there are only 1 of them now"),
        ("--damos_scheme --damos_age 1s max --damos_scheme --damos_age 1s max --scheme 1", "means one scheme"),
        ("--kdamonds []", "replaces everything"),
    ],
)
def test_impossible_changes(line: str, message: str) -> None:
    """What is not there cannot be changed, and the error says what is."""
    with pytest.raises(UsageError) as caught:
        apply_partial(RUNNING, partial(line.split()))
    assert message in caught.value.message


@settings(max_examples=20)
@given(kdamonds())
def test_everything_else_stays(spec: tuple[Kdamond, ...]) -> None:
    """Over random set-ups, a change of nr_regions changes nr_regions."""
    running = [kdamond.model_dump(mode="json") for kdamond in spec]
    made = parse_kdamonds(apply_partial(running, partial(["--monitoring_nr_regions_range", "7", "77"])))
    context = spec[0].contexts[0]
    expected = context.model_copy(update={"nr_regions": context.nr_regions.model_copy(update={"min": 7, "max": 77})})
    assert made[0].contexts[0] == expected
    assert made[1:] == spec[1:]
