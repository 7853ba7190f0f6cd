"""JSON read as a stream: a list of objects taken apart value by value, whose text never is in memory as a whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from damod.errors import BadRecord

MAX_VALUE = 1 << 24
"""No single value (a snapshot, mostly) has more characters; as objects they may take thirty times the memory. In a
damaged file a lost bracket must not pull all of it in."""
_BLANKS = re.compile(r"[ \t\r\n]*")
# A parse error nearer than this to the end of the window may only mean that the rest is not read yet.
_TAIL = 1 << 16


class Window:
    """A moving window over JSON text, and just enough of a parser to take a list of objects apart value by value."""

    def __init__(self, chunks: Iterator[bytes], name: str) -> None:
        self.name = name
        self._chunks = chunks
        self._text = ""
        self._at = 0
        self._gone = 0
        self._done = False
        self._rest = b""
        self._decode = json.JSONDecoder().raw_decode

    def bad(self, what: str, at: int | None = None) -> BadRecord:
        """The error about something wrong at a place in the window."""
        return BadRecord(
            f"{self.name} is damaged: {what} at character {self._gone + (self._at if at is None else at):,}"
        )

    def _large(self, most: int) -> BadRecord:
        return BadRecord(
            f"{self.name} has a value of more than {most:,} characters at character {self._gone + self._at:,}",
            hint="is it damaged? A snapshot of as many regions is better kept in parquet",
        )

    def truncated(self) -> BadRecord:
        return BadRecord(
            f"{self.name} is truncated: it ends in the middle, after {self._gone + len(self._text):,} characters"
        )

    def _fill(self) -> bool:
        """Read at least as much as there already is of the value at hand; false at the end of the file."""
        wanted = len(self._text) - self._at
        self._gone += self._at
        parts = [self._text[self._at :]]
        self._at = 0
        got = 0
        while not self._done and got <= wanted:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._done = True
                break
            data = self._rest + chunk
            # a character of several bytes may be cut by the end of the chunk
            cut = len(data)
            while cut > len(data) - 4 and cut and data[cut - 1] & 0xC0 == 0x80:
                cut -= 1
            if cut and data[cut - 1] >= 0xC0:
                cut -= 1
            else:
                cut = len(data)
            self._rest = data[cut:]
            try:
                parts.append(data[:cut].decode())
            except UnicodeDecodeError as exc:
                self._text = "".join(parts)
                raise self.bad("bytes that are no text", len(self._text)) from exc
            got += len(parts[-1])
        self._text = "".join(parts)
        return got > 0

    def peek(self) -> str:
        """The next character that is no blank, without taking it; "" at the end."""
        blanks = 0
        while True:
            end = _BLANKS.match(self._text, self._at).end()  # type: ignore[union-attr]  # it matches nothing too
            blanks, self._at = blanks + end - self._at, end
            if self._at < len(self._text):
                return self._text[self._at]
            if blanks > MAX_VALUE:
                raise self.bad("nothing but blanks")
            if not self._fill():
                return ""

    def take(self, wanted: str) -> str:
        """The next character, which has to be one of `wanted`."""
        found = self.peek()
        if not found:
            raise self.truncated()
        if found not in wanted:
            raise self.bad(f"{found!r} where {' or '.join(wanted)} was due")
        self._at += 1
        return found

    def value(self, most: int | None = None) -> Any:
        """The next whole JSON value, of at most so many characters (default: MAX_VALUE)."""
        most = MAX_VALUE if most is None else most
        if not self.peek():
            raise self.truncated()
        while True:
            text, begin = self._text, self._at
            if len(text) - begin > MAX_VALUE:  # not one more is made into objects
                text, begin = text[begin : begin + MAX_VALUE + 1], 0
            try:
                value, end = self._decode(text, begin)
                end += self._at - begin
            except (json.JSONDecodeError, RecursionError) as exc:
                place = getattr(exc, "pos", begin)
                at = place + self._at - begin
                if place < len(text) - _TAIL or isinstance(exc, RecursionError):
                    raise self.bad("no JSON", at) from exc
                if len(self._text) - self._at > max(most, 1 << 20):
                    raise self._large(most) from exc
                if not self._fill():
                    if at < len(self._text.rstrip()) and not str(exc).startswith("Unterminated"):
                        raise self.bad("no JSON", at) from exc
                    raise self.truncated() from exc
                continue
            except ValueError as exc:
                raise self.bad(f"a number too long ({exc})") from exc
            if end - self._at > most:
                raise self._large(most)
            if end == len(self._text) and self._fill():
                continue  # the value may go on
            self._at = end
            return value

    def items(self, opening: str = "[", closing: str = "]") -> Iterator[None]:
        """Stops before each element of the list (or object) that begins here; the caller takes the element."""
        self.take(opening)
        if self.peek() == closing:
            self.take(closing)
            return
        while True:
            yield None
            if self.take(f",{closing}") == closing:
                return

    def members(self) -> Iterator[str]:
        """The keys of the object that begins here; the caller takes the value behind each."""
        for _ in self.items("{", "}"):
            key = self.value()
            if not isinstance(key, str):
                raise self.bad("a key that is no text")
            self.take(":")
            yield key
