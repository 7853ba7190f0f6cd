"""Methods: their names, their parameters as the signature has them, their roles."""

from __future__ import annotations

import types
from typing import Any, Literal

import pytest

from damod.errors import NotAllowed, NotFound, UsageError
from damod.rpc.auth import Peer, Role
from damod.rpc.registry import Call, Registry, Result, method, type_name, type_problems

PEER = Peer(7, 1000, frozenset())


@method("sets.start", needs=Role.OPERATOR)
async def start(
    call: Call[Any], *, specs: list[dict[str, Any]], name: str = "adhoc", source: Literal["auto", "ring"] = "auto",
    wait_s: float | None = None, flag: bool = False,
) -> Result:  # fmt: skip
    """Start
    a set.

    More about it.
    """
    return {}


@pytest.mark.parametrize(
    ("value", "kind", "problem"),
    [
        (1, int, None),
        (True, int, "x is True, not whole number"),
        (1.5, int, "x is 1.5, not whole number"),
        (1, float, None),
        (False, float, "x is False, not number"),
        (1, bool, "x is 1, not true or false"),
        ("a", str, None),
        (b"a", str, "x is b'a', not string"),
        (None, str, "x is None, not string"),
        (None, str | None, None),
        (3, str | None, "x is 3, not string or null"),
        ([1, "a"], list[int], "x[1] is 'a', not whole number"),
        ({}, list[int], "x is {}, not list of whole number"),
        ({"a": [1, None]}, dict[str, list[int]], "x.a[1] is None, not whole number"),
        ({1: 2}, dict[str, Any], "x has the key 1, which is no string"),
        ("ring", Literal["auto", "ring"], None),
        ("rang", Literal["auto", "ring"], "x is 'rang', not 'auto' or 'ring'"),
        (object, Any, None),
    ],
)
def test_types_are_checked_with_their_place(value: object, kind: Any, problem: str | None) -> None:
    """What fits passes; what does not is named with its path, its value and what is allowed."""
    assert type_problems(value, kind, "x") == ([] if problem is None else [problem])


def test_a_long_wrong_value_is_cut() -> None:
    """An error is no echo of a megabyte."""
    (problem,) = type_problems("y" * 1_000_000, int, "x")
    assert len(problem) < 100


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Unknown, missing and mistyped parameters come in one error, with a near match and what the method takes."""
    with pytest.raises(UsageError) as caught:
        start.check({"nane": "x", "flag": 0})
    assert caught.value.message == (
        "sets.start was called wrongly: it takes no 'nane'; did you mean 'name'?; "
        "specs (list of map) is missing; flag is 0, not true or false"
    )
    assert "source: 'auto' or 'ring' (optional)" in caught.value.hint


def test_an_unknown_method_has_a_near_match() -> None:
    """A misspelt name is answered with the right one, and its length is bounded."""
    registry = Registry((start,))
    with pytest.raises(NotFound, match=r"no method 'sets.strat'; did you mean 'sets.start'\?"):
        registry.find("sets.strat")
    with pytest.raises(NotFound) as caught:
        registry.find("x" * 1_000_000)
    assert len(caught.value.message) < 200


def test_a_role_below_the_needed_one_is_refused() -> None:
    """A viewer cannot change things, an operator can look."""
    registry = Registry((start,))
    with pytest.raises(NotAllowed, match=r"sets.start needs the role operator; uid 1000 has viewer"):
        registry.admit(start, PEER, Role.VIEWER)
    registry.admit(start, PEER, Role.OPERATOR)
    registry.admit(registry.find("rpc.methods"), PEER, Role.OPERATOR)


async def test_methods_describe_themselves() -> None:
    """`rpc.methods` tells name, role, purpose and parameters of each method, itself included."""
    module = types.ModuleType("some_methods")
    module.start = start  # type: ignore[attr-defined]
    registry = Registry.of(module)
    found = (await registry.find("rpc.methods").handler(Call(None, PEER)))["methods"]
    assert [entry["name"] for entry in found] == ["rpc.methods", "sets.start"]
    assert (found[1]["needs"], found[1]["about"]) == ("operator", "Start a set.")
    assert found[1]["params"][0] == {"name": "specs", "type": "list of map", "required": True}
    assert found[1]["params"][3] == {"name": "wait_s", "type": "number or null", "required": False, "default": None}


def test_types_have_names_that_people_read() -> None:
    """No Python words in what a user of another language gets."""
    assert type_name(dict[str, Any]) == "map"
    assert type_name(list[dict[str, Any]] | None) == "list of map or null"
