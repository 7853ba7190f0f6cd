"""Differences of specs, for people and programs."""

from damod.spec.diff import diff
from damod.spec.kdamond import parse_kdamonds


def context(**fields):
    return parse_kdamonds([{"contexts": [fields]}])


def test_scalar_in_its_unit():
    """A changed number is told with its path and both values as people write them."""
    changes = diff(context(intervals={}), context(intervals={"sample_us": "10ms"}))
    assert [str(change) for change in changes] == ["kdamonds[0].contexts[0].intervals.sample_us: 5 ms -> 10 ms"]


def test_items_come_and_go():
    """A scheme that is added or removed is one change that says which."""
    scheme = {"action": "pageout"}
    (added,) = diff(context(), context(schemes=[scheme]))
    assert str(added) == (
        "kdamonds[0].contexts[0].schemes[0]: added (action pageout, apply_interval_us 0 ns, max_nr_snapshots 0)"
    )
    (removed,) = diff(context(schemes=[scheme]), context())
    assert removed.new is None and removed.old == added.new


def test_a_filter_of_another_type_is_replaced():
    """Fields of different filter types are not compared one by one."""
    anon, memcg = {"filter_type": "anon"}, {"filter_type": "memcg", "memcg_path": "/a"}
    (change,) = diff(context(schemes=[{"filters": [anon]}]), context(schemes=[{"filters": [memcg]}]))
    assert change.old["filter_type"] == "anon" and change.new["memcg_path"] == "/a"


def test_status_is_no_difference():
    """State, pid and statistics of a running kdamond do not count."""
    quiet = parse_kdamonds([{"contexts": [{"schemes": [{}]}]}])
    running = parse_kdamonds([{"state": "on", "pid": 5, "contexts": [{"schemes": [{"stats": {"nr_tried": 3}}]}]}])
    assert diff(quiet, running) == []
