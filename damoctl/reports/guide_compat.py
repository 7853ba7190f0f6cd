"""The stretches of memory that damo finds in a recording, which are those of its maps.

It goes through the snapshots in order and narrows the gaps of the first one to what each gap of a later one leaves of
them; a gap that a snapshot does not have at all stays as it is. So some memory that was watched lies in a gap. A region
at address 0 begins the space only if no other comes after it.
"""

from __future__ import annotations

import numpy as np

from damoctl.reports.frames import Frame


class Space:
    """The space of a series while its frames come in."""

    def __init__(self) -> None:
        self.start = self.end = 0
        self.gaps: list[tuple[int, int]] | None = None
        self.heat = 0.0

    def add(self, frame: Frame) -> None:
        """Narrow the gaps by each snapshot of a frame."""
        for low, high in zip(frame.first[:-1].tolist(), frame.first[1:].tolist(), strict=True):
            if low == high:
                continue
            starts, ends = frame.start[low:high], frame.end[low:high]
            zeros = np.flatnonzero(starts == 0)
            after = starts[zeros[-1] + 1 :] if len(zeros) else starts
            least = int(after.min()) if len(after) else 0
            self.start = least if not self.start or len(zeros) else min(self.start, least)
            self.end = max(self.end, int(ends.max()))
            apart = np.flatnonzero(starts[1:] != ends[:-1])
            gaps = list(zip(ends[apart].tolist(), starts[apart + 1].tolist(), strict=True))
            self.gaps = gaps if self.gaps is None else [_narrowed(gap, gaps) for gap in self.gaps]

    def stretches(self) -> list[tuple[int, int]]:
        """What lies between the gaps."""
        if self.gaps is None:
            return []
        borders = [self.start, *(border for gap in self.gaps for border in gap), self.end]
        return list(zip(borders[::2], borders[1::2], strict=True))


def _narrowed(gap: tuple[int, int], others: list[tuple[int, int]]) -> tuple[int, int]:
    for low, high in others:
        if low < gap[1] and gap[0] < high:
            gap = max(gap[0], low), min(gap[1], high)
    return gap
