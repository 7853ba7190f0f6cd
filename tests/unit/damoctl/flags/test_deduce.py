"""Set-ups from files and standard input: whatever is in them, the answer is a document or a sentence with the place."""

from __future__ import annotations

import json

import pytest

from damoctl.flags import deduce
from damod.errors import UsageError

_LAUGHS = "a: &a [x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n"
    for before, name in zip("abcdefghij", "bcdefghijk", strict=True)
)
_MERGES = "a: &a {x: 1}\nb: &b\n  <<: [*a,*a]\nc:\n  <<: [*b,*b]\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (_LAUGHS, "f:1:4: aliases (*name) of this are not taken"),
        (_MERGES, "aliases"),
        ("&a [*a]\n", "aliases"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("- " * 50_000, "this is not YAML"),
        ("".join(" " * depth + "a:\n" for depth in range(2000)), "this is not YAML"),
        ("a: \x01", "this is not YAML"),
        ("a: " + "1" * 10_000, "this is not YAML"),
        ("a: !!bool maybe", "this is not YAML"),
        ("a: !!int ''", "this is not YAML"),
        ("a: !!python/object/apply:os.system [x]", "this is not YAML"),
        ("? [a]\n: 1\n", "this is not YAML"),
        ("a: 1\nb: 2\na: 3\n", "f:3:1: key 'a' is there twice"),
        ('{"a": ' + "1" * 10_000 + "}", "this is not JSON"),
        ('{"a": 1', "f:1:8: this is not JSON"),
    ],
)
def test_hostile_documents(text: str, said: str) -> None:
    """Aliases of aliases, depth, digits, tags, odd keys: none of them costs memory or ends in a traceback."""
    with pytest.raises(UsageError) as caught:
        deduce.parse_document(text, "f")
    assert said in caught.value.message


def test_a_file_without_end_is_not_read_to_its_end() -> None:
    """Nothing that is larger than damod would take is read."""
    with pytest.raises(UsageError, match=r"/dev/zero: more than 4,194,304 characters; this is no set-up"):
        deduce.read_document("/dev/zero")


def test_yaml_without_the_surprises_of_1_1() -> None:
    """Words stay words, and what is JSON is the same as YAML."""
    assert deduce.parse_document("a: on\nb: 012\nc: 1:30\nd: [1, 2.5, true, ~]\n", "f") == {
        "a": "on", "b": "012", "c": "1:30", "d": [1, 2.5, True, None],
    }  # fmt: skip
    plain = {"a": [1, {"b": None}]}
    assert deduce.parse_document(json.dumps(plain), "f") == deduce.parse_document("a: [1, {b: ~}]", "f") == plain
    assert deduce.parse_document("", "f") is None
