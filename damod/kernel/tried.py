"""The regions that a scheme last tried, as the kernel lists them in sysfs: the second source of snapshots.

It costs five files per region and a command to the running kdamond (`update_schemes_tried_regions`, the caller's to
give), so the trace ring is preferred; but only here the kernel says how much of a region passed the page-level filters.
"""

from __future__ import annotations

from damod.access.snapshot import Regions
from damod.kernel.interface import Tree

_ALWAYS = ("start", "end", "nr_accesses", "age")


def read(tree: Tree, path: str) -> Regions:
    """The regions below a scheme's `tried_regions` directory; those of several targets follow each other.

    `sz_filter_passed` (6.14+) and `probe_hits` (7.2+, one number per probe) are None where the kernel or the set-up
    has none. Regions that the kernel clears while we read are left out. Raises OSError.
    """
    first = min((int(name) for name in tree.names(path) if name.isdecimal()), default=None)
    if first is None:
        return Regions()
    has_passed = tree.exists(f"{path}/{first}/sz_filter_passed")
    probes = _nr_probes(tree, f"{path}/{first}/probes")
    names = [*_ALWAYS, *(f"probes/{number}/hits" for number in range(probes))]
    if has_passed:
        names.append("sz_filter_passed")

    rows = tree.read_rows(path, names)
    if not rows:
        return Regions()
    start, end, nr_accesses, age, *more = [list(map(int, texts)) for texts in zip(*rows, strict=True)]
    return Regions(
        start,
        end,
        nr_accesses,
        age,
        probe_hits=list(zip(*more[:probes], strict=True)) if probes else None,
        sz_filter_passed=more[-1] if has_passed else None,
    )


def _nr_probes(tree: Tree, path: str) -> int:
    return sum(name.isdecimal() for name in tree.names(path)) if tree.exists(path) else 0
