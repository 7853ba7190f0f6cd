"""What somebody may have meant."""

from __future__ import annotations

import pytest

from damod.near import near


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("pagout", "; did you mean 'pageout'?"),
        ("migrate_hat", "; did you mean 'migrate_hot'?"),
        ("mig", "; did you mean 'migrate_hot'?"),
        ("x", ""),
        ("nothing like it", ""),
        ("", ""),
        ("p" * 100_000, ""),
    ],
)
def test_the_nearest_known_word(word: str, told: str) -> None:
    """A typing error or a beginning names the word; anything else names none, however long it is."""
    assert near(word, ["pageout", "migrate_hot", "stat"]) == told
