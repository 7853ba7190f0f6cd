from pathlib import Path

import pytest

from damod.access.snapshot import Regions
from damod.kernel import tried
from damod.kernel.tree import SysfsTree


def put(root: Path, files: dict[str, int]) -> None:
    for name, value in files.items():
        path = root / "tried_regions" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")


def region(number: int) -> dict[str, int]:
    values = {"start": number * 100, "end": number * 100 + 100, "nr_accesses": number, "age": 7 - number}
    return {f"{number}/{name}": value for name, value in values.items()}


def test_columns_in_numeric_order(tmp_path: Path) -> None:
    """Region 10 comes after region 9; what the kernel does not tell is None."""
    for number in range(11):
        put(tmp_path, region(number))
    put(tmp_path, {"total_bytes": 1100})
    found = tried.read(SysfsTree(tmp_path), "tried_regions")
    assert found.start == [number * 100 for number in range(11)]
    assert found.end == [number * 100 + 100 for number in range(11)]
    assert found.nr_accesses == list(range(11))
    assert found.age == [7 - number for number in range(11)]
    assert found.probe_hits is None
    assert found.sz_filter_passed is None


def test_numbers_with_holes(tmp_path: Path) -> None:
    """Linux 6.16 to 6.18 number the regions 1, 3, 5, ...; they are read all the same."""
    put(tmp_path, region(3) | region(1) | region(11))
    assert tried.read(SysfsTree(tmp_path), "tried_regions").start == [100, 300, 1100]


@pytest.mark.parametrize("probes", [0, 1, 12])
def test_filters_and_probes(tmp_path: Path, probes: int) -> None:
    """Bytes that passed the filters, and each probe's hits in the probes' order."""
    for number in range(2):
        put(tmp_path, region(number) | {f"{number}/sz_filter_passed": 64 + number})
        (tmp_path / f"tried_regions/{number}/probes").mkdir()
        put(tmp_path, {f"{number}/probes/{probe}/hits": 20 * number + probe for probe in range(probes)})
    found = tried.read(SysfsTree(tmp_path), "tried_regions")
    assert found.sz_filter_passed == [64, 65]
    expected = [tuple(20 * number + probe for probe in range(probes)) for number in range(2)]
    assert found.probe_hits == (expected if probes else None)


def test_none_tried(tmp_path: Path) -> None:
    """A scheme that tried nothing has no regions."""
    put(tmp_path, {"total_bytes": 0})
    assert tried.read(SysfsTree(tmp_path), "tried_regions") == Regions()


def test_cleared_meanwhile(tmp_path: Path) -> None:
    """Regions that vanish between the first look and the reading are no error."""
    put(tmp_path, region(0) | region(1))

    class Cleared(SysfsTree):
        def read_rows(self, path, names):  # type: ignore[no-untyped-def]
            for number in (0, 1):
                for name in names:
                    (tmp_path / path / f"{number}/{name}").unlink()
                (tmp_path / path / f"{number}").rmdir()
            return super().read_rows(path, names)

    assert tried.read(Cleared(tmp_path), "tried_regions") == Regions()
