"""A spec printed for people reads back as the same spec."""

import json

from hypothesis import given, settings

from damod.spec.base import human
from damod.spec.diff import diff
from damod.spec.kdamond import parse_kdamonds
from tests.strategies import kdamonds


@settings(max_examples=100)
@given(kdamonds())
def test_human_reads_back(spec):
    """Units in the text lose nothing, whatever the numbers are."""
    text = json.dumps(human((spec,)))
    assert parse_kdamonds(json.loads(text)) == (spec,)
    assert diff([spec], [spec]) == []
