"""What an option is: a record that parsing, help, documentation, completion and error messages all read.

An option says for each of its words how the text is read (`Kind`) and where in a spec the value goes (`Word.path`,
relative to the item of `Option.level`: a kdamond, a context, a target, a probe or a scheme). Values are plain JSON
values in the kernel's own unit. This module and the tables are on the start-up path of `damoctl`: no pydantic, no
argparse, no dataclasses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from damod import units
from damod.near import near


class Kind(NamedTuple):
    """How one word is read. `takes` completes the sentence "... is not <takes>"; `raw` is the unit of a bare number."""

    parse: Callable[[str], Any]
    takes: str
    raw: str = ""


def _positive(parse: Callable[[str], int]) -> Callable[[str], int]:
    def check(text: str) -> int:
        value = parse(text)
        if value < 0:
            raise ValueError(f"{text!r} is negative")
        if value > units.U64_MAX:
            raise ValueError(f"{text!r} is more than the kernel can hold ({units.U64_MAX:,})")
        return value

    return check


def _rate(text: str) -> str:
    """Percent, samples or Hz, checked but kept as text: what Hz means depends on the context's sampling interval."""
    words = text.strip()
    for unit in ("samples", "sample"):
        if words.endswith(unit):
            _positive(units.parse_count)(words.removesuffix(unit))
            return words
    if words.lower().endswith("hz"):
        units.parse_share(words[:-2], "percent")
        return words
    units.parse_share(words, "percent")
    return words if words.endswith("%") or words in ("min", "max") else f"{words} %"


def _age(text: str) -> int | str:
    words = text.strip()
    for unit in ("aggr_intervals", "aggr_interval"):
        if words.endswith(unit):
            return f"{_positive(units.parse_count)(words.removesuffix(unit))} aggr_intervals"
    return _positive(lambda word: units.parse_time(word, "us"))(words)


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number") from None


def _signed_time(unit: str) -> Callable[[str], int]:
    return lambda text: units.parse_time(text, unit)


KINDS: dict[str, Kind] = {
    "us": Kind(_positive(lambda text: units.parse_time(text, "us")), "a time like 5ms, 1.5s, 1h2m, max", "us"),
    "ms": Kind(_positive(lambda text: units.parse_time(text, "ms")), "a time like 10ms, 1s, max", "ms"),
    "ns": Kind(_signed_time("ns"), "a time like 5s, 1h2m, max", "ns"),
    "seconds": Kind(lambda text: float(units.parse_time_ns(text, "s")) / 1e9, "a time like 5s, 500ms", "s"),
    "bytes": Kind(_positive(units.parse_size), "a size like 4096, 4K, 1.5GiB, max", "bytes"),
    "bp": Kind(lambda text: units.parse_whole_share(text, "bp"), "a share like 4%", "bp (1/10,000)"),
    "permil": Kind(lambda text: units.parse_whole_share(text, "permil"), "a share like 50%", "permil (1/1,000)"),
    "percent": Kind(_rate, "an access rate like 5%, '3 samples', 50hz, max", "percent"),
    "share": Kind(lambda text: units.parse_share(text, "percent"), "a share like 5%, min, max", "percent"),
    "age": Kind(_age, "an age like 5s, '3 aggr_intervals', max", "us"),
    "count": Kind(_positive(units.parse_count), "a number like 1000, 1,000, max"),
    "int": Kind(_integer, "a whole number"),
    "pid": Kind(_positive(_integer), "a process id"),
    "index": Kind(_positive(_integer), "an index, counted from 0"),
    "bool": Kind(units.parse_bool, "Y or N"),
    "text": Kind(str, "text"),
    "file": Kind(str, "a file name"),
    "set": Kind(str, "the name of a set of kdamonds"),
    "kdamond": Kind(_positive(_integer), "an index, counted from 0"),
}


class Word(NamedTuple):
    """One word of an option. With `choices` it is a keyword and `kind` does not matter.

    `most` is the greatest number that makes sense (0: any): what is drawn or padded so often has to fit into memory.
    """

    metavar: str
    kind: str = "text"
    path: str = ""
    choices: tuple[str, ...] = ()
    most: int = 0


class Option(NamedTuple):
    """One option, once.

    `words` describe its arguments in order; `least` of them must be given (default: all), and with `more` the last one
    may be repeated without end. `since` is the release that brought what the option needs ("" if every supported kernel
    has it, "none" if no released one) and `feature` the name of that feature.
    """

    names: tuple[str, ...]
    level: str
    about: str
    words: tuple[Word, ...] = ()
    least: int = -1
    more: bool = False
    repeat: bool = False
    category: str = ""
    feature: str = ""
    since: str = ""
    hidden: bool = False
    default: str = ""

    @property
    def name(self) -> str:
        """The name that messages use."""
        return self.names[0]

    @property
    def key(self) -> str:
        """The name without dashes."""
        return self.names[0].lstrip("-")

    @property
    def at_least(self) -> int:
        return len(self.words) if self.least < 0 else self.least

    @property
    def at_most(self) -> int:
        """The most words it takes; a million stands for no limit."""
        return 1_000_000 if self.more else len(self.words)

    def word(self, index: int) -> Word:
        """What the argument of that index is."""
        return self.words[min(index, len(self.words) - 1)]

    def synopsis(self) -> str:
        """``--damos_age <min> <max>``."""
        shown = []
        for index, word in enumerate(self.words):
            text = "{" + ",".join(word.choices) + "}" if word.choices else f"<{word.metavar}>"
            shown.append(text if index < self.at_least else f"[{text}]")
        if self.more:
            shown.append("...")
        return " ".join([self.names[0], *shown])


class Use(NamedTuple):
    """One use of an option on a command line: its words as typed, and where they stood."""

    option: Option
    words: tuple[str, ...]
    at: int

    def __str__(self) -> str:
        return " ".join([self.option.name, *(f"'{word}'" if not word or " " in word else word for word in self.words)])


def read_word(word: Word, text: str) -> Any:
    """The value of one word. Raises ValueError: what was given, what is allowed."""
    if word.choices:
        if text in word.choices:
            return text
        raise ValueError(f"{text!r} is not one of {', '.join(word.choices)}{near(text, word.choices)}")
    kind = KINDS[word.kind]
    try:
        value = kind.parse(text)
        if word.most and value > word.most:
            raise ValueError(f"{text!r} is more than {word.most:,}")
        return value
    except (ValueError, OverflowError) as exc:
        said = str(exc)
        if kind.takes.split(" like ")[0] in said:
            raise ValueError(said) from exc
        raise ValueError(f"{said}; <{word.metavar}> is {kind.takes}") from exc


def read_use(use: Use) -> tuple[list[Any], list[str]]:
    """The values of all words of a use, and what is wrong with which of them."""
    values, wrong = [], []
    for index, text in enumerate(use.words):
        try:
            values.append(read_word(use.option.word(index), text))
        except ValueError as exc:
            values.append(None)
            wrong.append(f"{use}: {exc}")
    return values, wrong
