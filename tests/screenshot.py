"""A picture of a terminal: what `tmux capture-pane -e -p` prints, on standard input, as a PNG.

tmux capture-pane -e -p | python -m tests.screenshot docs/images/watch.png
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]
_SIZE = 14
_FRONT, _BACK = (215, 215, 215), (12, 12, 14)
_DARK = ((0, 0, 0), (205, 49, 49), (13, 188, 121), (229, 229, 16), (36, 114, 200), (188, 63, 188), (17, 168, 205),
         (229, 229, 229))  # fmt: skip
_BRIGHT = ((102, 102, 102), (241, 76, 76), (35, 209, 139), (245, 245, 67), (59, 142, 234), (214, 112, 214),
           (41, 184, 219), (255, 255, 255))  # fmt: skip
_TOKEN = re.compile(r"\x1b\[([\d;:]*)m|([^\x1b\x0e\x0f])")
_SHADES = {"░": 0.25, "▒": 0.5, "▓": 0.75, "█": 1.0}


def _indexed(code: int) -> Color:
    """One of the 256 colours."""
    if code < 16:
        return (_DARK + _BRIGHT)[code]
    if code < 232:
        steps = (0, 95, 135, 175, 215, 255)
        code -= 16
        return steps[code // 36], steps[code // 6 % 6], steps[code % 6]
    gray = 8 + (code - 232) * 10
    return gray, gray, gray


class _Pen:
    """Colours and weight as the escapes so far say."""

    def __init__(self) -> None:
        self.front: Color | None = None
        self.back: Color | None = None
        self.flags: set[int] = set()

    def take(self, text: str) -> None:
        codes = [int(word or 0) for word in re.split("[;:]", text)]
        while codes:
            code = codes.pop(0)
            if code == 0:
                self.__init__()  # type: ignore[misc]
            elif code in (1, 2, 7):
                self.flags.add(code)
            elif code == 22:
                self.flags -= {1, 2}
            elif code == 27:
                self.flags.discard(7)
            elif code in (38, 48):
                if codes.pop(0) == 2:
                    color: Color = (codes.pop(0), codes.pop(0), codes.pop(0))
                else:
                    color = _indexed(codes.pop(0))
                self._set(code == 38, color)
            elif 30 <= code < 38 or 90 <= code < 98:
                self._set(True, _DARK[code - 30] if code < 90 else _BRIGHT[code - 90])
            elif 40 <= code < 48 or 100 <= code < 108:
                self._set(False, _DARK[code - 40] if code < 100 else _BRIGHT[code - 100])
            elif code in (39, 49):
                self._set(code == 39, None)

    def _set(self, front: bool, color: Color | None) -> None:
        if front:
            self.front = color
        else:
            self.back = color

    def colors(self) -> tuple[Color, Color]:
        front, back = self.front or _FRONT, self.back or _BACK
        if 2 in self.flags:
            front = _mixed(front, back, 0.55)
        return (back, front) if 7 in self.flags else (front, back)


def _mixed(one: Color, other: Color, share: float) -> Color:
    red, green, blue = (round(a * share + b * (1 - share)) for a, b in zip(one, other, strict=True))
    return red, green, blue


def draw(text: str) -> Image.Image:
    """The picture of a screen."""
    fonts = Path(matplotlib.get_data_path()) / "fonts/ttf"
    plain = ImageFont.truetype(str(fonts / "DejaVuSansMono.ttf"), _SIZE)
    bold = ImageFont.truetype(str(fonts / "DejaVuSansMono-Bold.ttf"), _SIZE)
    wide, tall = int(plain.getlength("M")), int(_SIZE * 1.25)
    lines = text.rstrip("\n").split("\n")
    columns = max(sum(1 for found in _TOKEN.finditer(line) if found[2]) for line in lines)
    image = Image.new("RGB", (columns * wide, len(lines) * tall), _BACK)
    pencil, pen = ImageDraw.Draw(image), _Pen()
    for y, line in enumerate(lines):
        x = 0
        for found in _TOKEN.finditer(line):
            if not found[2]:
                pen.take(found[1])
                continue
            left, top, right, bottom = x * wide, y * tall, (x + 1) * wide - 1, (y + 1) * tall - 1
            front, back = pen.colors()
            char = found[2]
            pencil.rectangle((left, top, right, bottom), fill=back)
            if char == "▀":
                pencil.rectangle((left, top, right, top + tall // 2 - 1), fill=front)
            elif char == "▄":
                pencil.rectangle((left, top + tall // 2, right, bottom), fill=front)
            elif char in _SHADES:
                pencil.rectangle((left, top, right, bottom), fill=_mixed(front, back, _SHADES[char]))
            elif char != " ":
                pencil.text((left, top), char, font=bold if 1 in pen.flags else plain, fill=front)
            x += 1
    return image


if __name__ == "__main__":
    draw(sys.stdin.read()).save(sys.argv[1], optimize=True)
