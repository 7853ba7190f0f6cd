"""Text as man(7) macros: the few that our pages need, and the escapes that keep words what they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator


def plain(text: str) -> str:
    """Text that roff prints as it is: no macro, no escape, and hyphens that can be searched for and copied."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    text = text.replace("~", "\\(ti").replace("^", "\\(ha").replace('"', "\\(dq")
    # Long lists of keywords may be broken where they have no space.
    text = re.sub(r"([,|])(?=\S)", r"\1\\:", text)
    return re.sub(r"^\.", r"\\&.", text, flags=re.M)


def bold(text: str) -> str:
    return f"\\fB{plain(text)}\\fR"


def italic(text: str) -> str:
    return f"\\fI{plain(text)}\\fR"


def prose(text: str) -> str:
    """Plain text with `code` in bold."""
    parts = re.split(r"`([^`\n]+)`", text)
    return "".join(bold(part) if index % 2 else plain(part) for index, part in enumerate(parts))


def title(name: str, section: int, version: str) -> str:
    """The page's head. It has no date, so that it is the same whenever it is made."""
    return f'.TH {name.upper()} {section} "" "damod {version}" "damod"\n.nh\n.ad l\n'


def heading(text: str) -> str:
    return f".SH {_argument(text)}\n"


def subheading(text: str) -> str:
    return f".SS {_argument(text)}\n"


def paragraph(text: str) -> str:
    """One paragraph, or several with empty lines between."""
    return "".join(f".PP\n{prose(_flow(part))}\n" for part in re.split(r"\n\s*\n", text.strip()) if part.strip())


def term(head: str, text: str) -> str:
    """An indented paragraph below `head`, which is roff already."""
    return f".TP\n{head}\n{prose(_flow(text)) or '.br'}\n"


def literal(text: str) -> str:
    """Lines as they are."""
    return f".PP\n.RS 4\n.nf\n{plain(text.rstrip())}\n.fi\n.RE\n"


def terms(found: Iterable[tuple[str, str]]) -> Iterator[str]:
    for head, text in found:
        yield term(head, text)


def _flow(text: str) -> str:
    return " ".join(text.split())


def _argument(text: str) -> str:
    return '"' + plain(text) + '"'
