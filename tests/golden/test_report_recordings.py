"""Reports on recordings print what damo prints with --compat damo, to the character, colours apart."""

from __future__ import annotations

import io

import pytest

from damoctl.commands import report
from damoctl.context import Context
from tests.shared import shared

RECORD = ("damo", "records", "damon.data")


def shown(*words: str) -> str:
    out, err = io.StringIO(), io.StringIO()
    assert report.run([*words], Context(stdout=out, stderr=err)) == 0
    return out.getvalue()


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("report-wss", ["wss", "-r", "1", "101", "1", "--raw_number"]),
        ("report-nr_regions", ["nr_regions", "-r", "1", "101", "1"]),
        ("report-heats_guide", ["heatmap", "--guide"]),
    ],
)
def test_expected(file: str, words: list[str]) -> None:
    """Each file of damo's own tests is reproduced."""
    wanted = shared("damo", "expected", file).read_text()
    assert shown(*words, "--compat", "damo", "--input", str(shared(*RECORD))) == wanted


def test_usage_wss() -> None:
    """The usage document's example of wss is of all snapshots, as our default is."""
    assert shown("wss", "--input", str(shared(*RECORD))) == (
        "# target_id\t0\n"
        "# <percentile> <wss>\n"
        "# avr:\t107.767 MiB\n"
        "  0             0 B |                                                           |\n"
        " 25      95.387 MiB |****************************                               |\n"
        " 50      95.391 MiB |****************************                               |\n"
        " 75      95.414 MiB |****************************                               |\n"
        "100     196.871 MiB |***********************************************************|\n"
    )


def test_usage_wss_by_time() -> None:
    """So is the one in order of time."""
    found = shown("wss", "--sortby", "time", "--input", str(shared(*RECORD)), "--nr_cols_bar", "0")
    assert [line.split(maxsplit=1) for line in found.splitlines()[3:]] == [
        ["0", "0 B"], ["25", "95.418 MiB"], ["50", "190.766 MiB"], ["75", "95.391 MiB"], ["100", "95.395 MiB"],
    ]  # fmt: skip


def test_heatmap_legend() -> None:
    """Legend and axes of the documented map are damo's, and its digits end at 8."""
    found = shown("heatmap", "--resol", "3", "40", "--compat", "damo", "--input", str(shared(*RECORD))).splitlines()
    assert found[3:] == [
        "# access_frequency: 0123456789 (0.082-13.549 samples)",
        "# x-axis: space [127.576196 TiB, 127.576384 TiB) (196.848 MiB)",
        "# y-axis: time [8 m 59.809 s, 9 m 56.607 s) (56.797 s)",
        "# resolution: 40x3 (4.921 MiB and 18.932 s for each character)",
    ]
    assert [len(row) for row in found[:3]] == [40] * 3
    assert set("".join(found[:3])) <= set("012345678")


def test_heatmap_raw() -> None:
    """Raw pixels are damo's: places to the byte and nanosecond, heats to the last bits of a float."""
    found = shown(
        "heatmap", "--output", "raw", "--resol", "3", "4", "--compat", "damo", "--input", str(shared(*RECORD))
    ).splitlines()
    assert len(found) == 12
    for line, wanted in zip(
        (found[0], found[1], found[4]),
        ((0, 0, 10.713293492188948), (0, 51602432, 10.840384549799873), (18932394850, 0, 10.226245688534963)),
        strict=True,
    ):
        time, place, heat = line.split("\t")
        assert (int(time), int(place)) == wanted[:2]
        assert float(heat) == pytest.approx(wanted[2], rel=1e-15)


def test_guide_human() -> None:
    """Addresses of the human guide have six decimals, so that near ones look different."""
    found = shown("heatmap", "--guide_human", "--compat", "damo", "--input", str(shared(*RECORD))).splitlines()
    assert found == [
        "target_id: 18446623438842320000",
        "time: [8 m 59.809 s, 9 m 56.607 s) (56.797 s)",
        "region\t 0: [86.245035 TiB, 86.245065 TiB) (31.617 MiB)",
        "region\t 1: [127.576196 TiB, 127.576384 TiB) (196.848 MiB)",
        "region\t 2: [127.997661 TiB, 127.997661 TiB) (672.000 KiB)",
    ]


def test_times() -> None:
    """Without filters the times are that of the whole record, as perf takes it, each with its comment."""
    assert shown("times", "--input", str(shared(*RECORD))) == "539.809434-596.606619\n# (seconds)\n"
