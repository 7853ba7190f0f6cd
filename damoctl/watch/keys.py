"""The keys, once: what they do, for the terminal, the help page and docs/watch.md."""

from __future__ import annotations

from typing import NamedTuple


class Key(NamedTuple):
    """`keys` as textual names them, `shown` as a person reads them; `brief` stands in the line at the bottom."""

    keys: str
    shown: str
    action: str
    about: str
    brief: str = ""


KEYS = (
    Key("q,ctrl+c,ctrl+q", "q", "quit", "end", "quit"),
    Key("question_mark,f1", "?", "help", "this page; any key leaves it", "help"),
    Key("space,p", "space", "pause", "pause and go on; with a recording: play and stop", "pause"),
    Key("tab,n", "tab", "next", "the next target or kdamond (shift+tab: back)", "target"),
    Key("shift+tab,N", "", "previous", ""),
    Key("s", "s", "sort", "regions by heat, cold, size, address, access, age (S: back)", "sort"),
    Key("S", "", "sort_back", ""),
    Key("plus,equals_sign", "+ -", "zoom_in", "zoom into the memory and out", "zoom"),
    Key("minus", "", "zoom_out", ""),
    Key("greater_than_sign,full_stop", "> <", "time_in", "zoom into the time and out (. and , do it too)", "time"),
    Key("less_than_sign,comma", "", "time_out", ""),
    Key("left,h", "left right, h l", "left", "move along the memory", "move"),
    Key("right,l", "", "right", ""),
    Key("up,k", "up down, k j", "up", "go back and forth in time, a row each"),
    Key("down,j", "", "down", ""),
    Key("pageup", "pgup pgdn", "page_up", "the same by a page"),
    Key("pagedown", "", "page_down", ""),
    Key("home,g", "home end, g G", "home", "the first moment; the last one (and go on with time)"),
    Key("end,G", "", "end", ""),
    Key("0", "0", "whole", "show all of the memory, and all of the time", "all"),
    Key("c", "c", "contrast", "colours by access rate, or by that of the hottest shown"),
)


def help_lines() -> list[tuple[str, str]]:
    """What the help page lists: keys and what they do."""
    return [(key.shown, key.about) for key in KEYS if key.shown]
