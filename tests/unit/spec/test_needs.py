"""What a spec asks of a kernel."""

import pytest

from damod.errors import FeatureMissing
from damod.kernel.features import BY_NAME, Features
from damod.spec.kdamond import Kdamond, parse_kdamonds
from damod.spec.needs import FIELD_NEEDS, check, needs


def one(context):
    return parse_kdamonds([{"contexts": [context]}])


def test_defaults_need_nothing_new():
    """The default set-up runs on the oldest supported kernel."""
    assert needs([Kdamond()]) == [("ops.paddr", "kdamonds[0].contexts[0].ops")]
    check([Kdamond()], Features.known("6.12"))


def test_every_need_is_a_feature():
    """A need that the feature table does not know could never be met."""
    assert set(FIELD_NEEDS.values()) <= set(BY_NAME)


@pytest.mark.parametrize(
    ("context", "feature", "path"),
    [
        ({"pause": True}, "pause", ".pause"),
        ({"addr_unit": 4096}, "addr_unit", ".addr_unit"),
        ({"schemes": [{"action": "collapse"}]}, "action.collapse", ".schemes[0].action"),
        (
            {"schemes": [{}, {"filters": [{"filter_type": "hugepage_size", "hugepage_size": [0, "2M"]}]}]},
            "filter.hugepage_size",
            ".schemes[1].filters[0].filter_type",
        ),
        (
            {"schemes": [{"filters": [{"filter_type": "anon", "allow": True}]}]},
            "filter_allow",
            ".schemes[0].filters[0].allow",
        ),
        (
            {"intervals": {"intervals_goal": {"access_bp": "4%", "aggrs": 3, "max_sample_us": "10s"}}},
            "intervals_goal",
            ".intervals.intervals_goal",
        ),
        (
            {"schemes": [{"action": "migrate_hot", "dests": [{"id": 0, "weight": 1}]}]},
            "dests",
            ".schemes[0].dests",
        ),
        ({"probes": [{"filters": [{"filter_type": "anon"}]}]}, "probes", ".probes"),
    ],
)
def test_refusal_names_path_feature_and_release(context, feature, path):
    """What 6.12 lacks is refused with the path that asks, the feature and the release that has it."""
    with pytest.raises(FeatureMissing) as info:
        check(one(context), Features.known("6.12"))
    error = info.value
    assert error.facts["feature"] == feature
    assert error.facts["path"] == "kdamonds[0].contexts[0]" + path
    assert feature in error.message and f"Linux {BY_NAME[feature].since}" in error.hint


def test_unreleased_says_so():
    """What no kernel has is not promised for a release."""
    with pytest.raises(FeatureMissing) as info:
        check(one({"sample_control": {"primitives_enabled": {"page_fault": True}}}), Features.known("7.3"))
    assert "no released Linux" in info.value.hint
