"""A spec written as plain values is the same spec when it is read back, whatever its form."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings

from damoctl.flags.deduce import parse_document
from damoctl.flags.dump import dump
from damod.spec.kdamond import Kdamond, parse_kdamonds
from damod.spec.plain import plain
from tests.random_specs import kdamonds

FORMS = [(raw, omit) for raw in (False, True) for omit in (False, True)]


@settings(max_examples=30)
@given(kdamonds())
def test_json_and_yaml_read_back_the_same(spec: tuple[Kdamond, ...]) -> None:
    """Human or raw, with or without defaults, JSON or YAML: nothing is rounded and no unit drifts."""
    for raw, omit in FORMS:
        value = plain(spec, raw=raw, omit_defaults=omit)
        for form in ("json", "yaml"):
            assert parse_kdamonds(parse_document(dump(value, form), "a test")) == spec, (raw, omit, form)


@settings(max_examples=20)
@given(kdamonds())
def test_the_bare_list_of_damo_is_read_too(spec: tuple[Kdamond, ...]) -> None:
    """.kdamonds files hold the list without the outer map."""
    assert parse_kdamonds(json.loads(json.dumps(plain(spec)["kdamonds"]))) == spec


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("sz_bytes", 4097, "4.001 KiB"),
        ("sz_bytes", 1_000_001, "976.563477 KiB"),
        ("sz_bytes", 2**40 + 1, "1,099,511,627,777 B"),
        ("time_ms", 2**60, f"{2**60:,} ms"),
        ("time_ms", 61_500, "1 m 1 s 500 ms"),
    ],
)
def test_a_short_text_where_exact_a_longer_one_where_not(field: str, value: int, text: str) -> None:
    """Three decimals if they hold the number, else six, else the bytes; times fall apart into units."""
    spec = parse_kdamonds([{"contexts": [{"schemes": [{"quotas": {field: value}}]}]}])
    quotas = plain(spec)["kdamonds"][0]["contexts"][0]["schemes"][0]["quotas"]
    assert quotas[field] == text
    assert parse_kdamonds(plain(spec)) == spec


def test_defaults_are_left_out_on_demand() -> None:
    """Only what damo's reader demands stays of an empty kdamond."""
    assert plain(parse_kdamonds([{}]), omit_defaults=True) == {
        "kdamonds": [{"contexts": [{"ops": "paddr", "targets": [{"regions": []}]}]}]
    }


def test_status_is_dropped_by_without_status() -> None:
    """A running kdamond's parameters carry neither state nor statistics nor the quota in force."""
    scheme = {"stats": {"nr_tried": 3}, "quotas": {"effective_sz_bytes": 5}}
    spec = parse_kdamonds([{"state": "on", "pid": 7, "contexts": [{"schemes": [scheme]}]}])
    assert "stats" in plain(spec)["kdamonds"][0]["contexts"][0]["schemes"][0]
    assert tuple(one.without_status() for one in spec) == parse_kdamonds([{"contexts": [{"schemes": [{}]}]}])
