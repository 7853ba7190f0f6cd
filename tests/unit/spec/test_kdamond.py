"""What a set-up accepts, and how it says what is wrong."""

from __future__ import annotations

import pytest

from damod.errors import SpecInvalid
from damod.spec.base import unit_of
from damod.spec.kdamond import parse_kdamonds
from damod.spec.scheme import QuotaGoal


@pytest.mark.parametrize(
    ("intervals", "rate", "percent"),
    [({}, "50 hz", "25 %"), ({"sample_us": "1 ms"}, "1,000Hz", "100 %"), ({"sample_us": 3}, "1hz", "0.0003 %")],
)
def test_rates_in_hz(intervals: dict[str, object], rate: str, percent: str) -> None:
    """An access in each sample is 100 %, exactly."""
    scheme = {"access_pattern": {"nr_accesses": {"min": rate}}}
    (kdamond,) = parse_kdamonds([{"contexts": [{"intervals": intervals, "schemes": [scheme]}]}])
    assert str(kdamond.contexts[0].schemes[0].access_pattern.nr_accesses.min) == percent


def test_wrong_hz_are_told_by_path() -> None:
    """A rate that is none, and an interval that is none."""
    for intervals, rate in (({}, "x hz"), ({"sample_us": "fast"}, "5 hz")):
        with pytest.raises(SpecInvalid) as caught:
            scheme = {"access_pattern": {"nr_accesses": {"min": rate}}}
            parse_kdamonds([{"contexts": [{"intervals": intervals, "schemes": [scheme]}]}])
        assert caught.value.facts["problems"][0]["path"].startswith("kdamonds[0].contexts[0]")


def test_paths_name_no_classes() -> None:
    """A filter's problem is at the filter's key, whatever union member it is in."""
    filters = [{"filter_type": "anon"}, {"filter_type": "hugepage_size", "hugepage_size": ["x", 5]}]
    with pytest.raises(SpecInvalid) as caught:
        parse_kdamonds([{"contexts": [{"schemes": [{"filters": filters}]}]}])
    (problem,) = caught.value.facts["problems"]
    assert problem["path"] == "kdamonds[0].contexts[0].schemes[0].filters[1].hugepage_size[0]"


def test_templates_may_lack_pids() -> None:
    """What `args damon` prints for a command can be edited; it cannot be started."""
    spec = [{"contexts": [{"ops": "vaddr", "targets": [{"regions": []}]}]}]
    assert parse_kdamonds(spec, template=True)[0].contexts[0].targets[0].pid is None
    with pytest.raises(SpecInvalid, match="vaddr needs a pid"):
        parse_kdamonds(spec)


def test_units_of_optional_fields_are_found() -> None:
    """A node id that may be missing is a number with a unit all the same."""
    unit = unit_of(QuotaGoal.model_fields["nid"])
    assert unit is not None and unit.human(1000) == "1,000"


def test_the_largest_rate_of_damo_is_the_largest_rate() -> None:
    """Its float arithmetic makes 2**64 of 2**64 - 1."""
    scheme = {"access_pattern": {"nr_accesses": {"max": "18,446,744,073,709,551,616 %"}}}
    assert parse_kdamonds([{"contexts": [{"schemes": [scheme]}]}]) == parse_kdamonds(
        [{"contexts": [{"schemes": [{}]}]}]
    )
