"""tried_regions, the second source of snapshots."""

from __future__ import annotations

from damod.access.snapshot import Regions
from damod.kernel import tried
from tests.contract.driver import Damon

PATH = "schemes/0/tried_regions"


def test_tried_regions_are_the_rings(damon: Damon) -> None:
    """A scheme that takes everything tries the very range that the ring reports, in about as many regions."""
    damon.slots(1)
    at = damon.configure(0, nr_regions=(20, 40))
    pid = damon.start(0)
    damon.wait(lambda: len(damon.look({pid: 1})[pid, 0].regions) >= 20, "regions are split")
    assert tried.read(damon.tree, f"{at}/{PATH}") == Regions()
    assert damon.command(0, "update_schemes_tried_regions") == ""
    listed = tried.read(damon.tree, f"{at}/{PATH}")
    told = damon.look({pid: 1})[pid, 0].regions
    assert (listed.start[0], listed.end[-1]) == (told.start[0], told.end[-1])
    assert list(listed.start[1:]) == list(listed.end[:-1])
    assert len(told) / 4 <= len(listed) <= len(told) * 4
    assert int(damon.read(f"{at}/{PATH}/total_bytes")) == listed.total_bytes()
    assert max(listed.age) <= max(told.age) + 1000


def test_columns_that_only_some_kernels_have(damon: Damon) -> None:
    """sz_filter_passed is read where the kernel's list of statistics has it too."""
    damon.slots(1)
    at = damon.configure(0)
    damon.start(0)
    assert damon.command(0, "update_schemes_tried_regions") == ""
    listed = tried.read(damon.tree, f"{at}/{PATH}")
    assert (listed.sz_filter_passed is not None) == damon.tree.exists(f"{at}/schemes/0/stats/sz_ops_filter_passed")
    assert listed.probe_hits is None


def test_clear(damon: Damon) -> None:
    """Cleared regions are gone, and come back with the next update."""
    damon.slots(1)
    at = damon.configure(0)
    damon.start(0)
    for _ in range(2):
        assert damon.command(0, "update_schemes_tried_regions") == ""
        assert len(tried.read(damon.tree, f"{at}/{PATH}")) > 0
        assert damon.command(0, "clear_schemes_tried_regions") == ""
        assert tried.read(damon.tree, f"{at}/{PATH}") == Regions()


def test_bytes_only(damon: Damon) -> None:
    """update_schemes_tried_bytes tells the sum without a directory per region."""
    damon.slots(1)
    at = damon.configure(0)
    damon.start(0)
    assert damon.command(0, "update_schemes_tried_bytes") == ""
    start, end = damon.largest_ram()
    assert 0 <= end - start - int(damon.read(f"{at}/{PATH}/total_bytes")) < 4096
    assert tried.read(damon.tree, f"{at}/{PATH}") == Regions()
