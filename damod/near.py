"""What somebody may have meant who wrote a word that is not known. Standard library only, loaded when it is needed."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 100
"""Of a longer word only the beginning is compared; comparing takes the square of its length."""


def near(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'pageout'?`` where a known word is near or begins with `word`, else nothing.

    For the end of a sentence that says what is wrong.
    """
    from difflib import get_close_matches

    word, choices = word[:_LONGEST], list(known)
    found = get_close_matches(word, choices, n=1)
    if not found and len(word) > 1:
        found = [choice for choice in choices if choice.startswith(word)]
    return f"; did you mean {found[0]!r}?" if found else ""
