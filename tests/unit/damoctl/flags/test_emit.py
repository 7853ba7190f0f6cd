"""Words made from a spec make that spec."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from damoctl.flags.compile import compile_words
from damoctl.flags.emit import emit
from damod.errors import UsageError
from damod.spec.kdamond import Kdamond, parse_kdamonds
from tests.random_specs import kdamonds


@settings(max_examples=40)
@given(kdamonds())
def test_flags_make_the_spec_they_were_made_from(spec: tuple[Kdamond, ...]) -> None:
    """spec -> words -> spec is the identity."""
    words = emit(spec)
    assert parse_kdamonds(compile_words(words).spec) == spec, words


def test_what_no_option_can_say_is_refused() -> None:
    """Rather an error than words that make another spec."""
    both = {"sample_control": {"primitives_enabled": {"page_table": True, "page_fault": True}}}
    with pytest.raises(UsageError, match="no option says page_table and page_fault"):
        emit(parse_kdamonds([{"contexts": [both]}]))
