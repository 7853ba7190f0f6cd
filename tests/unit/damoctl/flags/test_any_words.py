"""Whatever is typed, the answer is a spec or a sentence."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from damoctl.flags.compile import compile_words, explain
from damoctl.flags.partial import apply_partial, partial
from damoctl.flags.table import ACTIONS, FILTER_TYPES, GOAL_METRICS, OPTIONS
from damod.errors import DamodError
from damod.spec.kdamond import parse_kdamonds

_NAMES = sorted({name for option in OPTIONS for name in option.names} - {"--kdamonds", "--schemes", "-c"})
_VALUES = [
    "0", "1", "2", "-1", "5%", "50hz", "3 samples", "4K", "1-2", "5s", "max", "min", "", " ", "--", "x", "1e9", "paddr",
    "99999999999999999999999", "allow", "reject", "none", "matching", "nomatching", "complement", "/a", "Y", "[]",
    "0-3", *ACTIONS, *FILTER_TYPES, *GOAL_METRICS,
]  # fmt: skip
words = st.lists(st.one_of(st.sampled_from(_NAMES), st.sampled_from(_VALUES), st.sampled_from(_VALUES)), max_size=14)
uses = st.lists(
    st.sampled_from([one for one in OPTIONS if one.level != "whole"]).flatmap(
        lambda one: st.lists(st.sampled_from(_VALUES), min_size=one.at_least, max_size=min(one.at_most, 5)).map(
            lambda some: [one.name, *some]
        )
    ),
    max_size=8,
).map(lambda lists: [word for some in lists for word in some])


@settings(max_examples=250)
@given(st.one_of(words, uses))
def test_only_sentences_come_back(argv: list[str]) -> None:
    """No traceback for any words; what compiles is JSON and is judged in the options' names."""
    try:
        compiled = compile_words(argv)
    except DamodError as error:
        assert error.message
        return
    json.dumps(compiled.spec)
    try:
        parse_kdamonds(compiled.spec)
    except DamodError as error:
        assert explain(error, compiled.given).message


@settings(max_examples=100)
@given(uses)
def test_partial_changes_never_crash(argv: list[str]) -> None:
    """The same for tune."""
    running = [parse_kdamonds([{"contexts": [{"schemes": [{}]}]}])[0].model_dump(mode="json")]
    try:
        made = apply_partial(running, partial(argv))
        parse_kdamonds(made)
    except DamodError as error:
        assert error.message
