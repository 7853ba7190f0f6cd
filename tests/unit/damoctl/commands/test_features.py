"""damoctl features: what a release has and lacks, offline and in damo's forms."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from damoctl.commands import features
from damoctl.context import Context
from damod.errors import UsageError
from damod.kernel.features import FEATURES, Features


def run(*argv: str, **how: Any) -> str:
    out = io.StringIO()
    assert features.run(list(argv), Context(stdout=out, **how)) == 0
    return out.getvalue()


def test_a_table_of_a_release() -> None:
    """Each feature has its mark, the release that brought it and what it is; what has no effect stands at the end."""
    lines = run("--kernel", "6.12").splitlines()
    known = Features.known("6.12")
    assert lines[0] == f"DAMON of Linux 6.12: {len(known.names)} of {len(FEATURES)} features (+ has, - lacks)"
    assert len([line for line in lines if line.startswith("+ ")]) == len(known.names)
    assert "+ ops.fvaddr                             Linux 5.19  operations set fvaddr" in lines
    assert "- addr_unit                              Linux 6.18  bytes per address unit of a paddr context" in lines
    assert "- probe_preps                            no release  preparing pages for a probe" in lines
    assert "! migrate_hot on vaddr (before Linux 6.17)" in lines
    assert "! migrate_hot on vaddr (before Linux 6.17)" not in run("--kernel", "7.3").splitlines()
    assert "inferred" not in lines[-1] and "follow from" not in lines[-1]


def test_names_alone() -> None:
    """damo's words give bare names for scripts; both lists together are all."""
    has, lacks = run("supported", "--kernel", "6.16").split(), run("unsupported", "--kernel", "6.16").split()
    assert "intervals_goal" in has and "refresh_ms" in lacks
    assert sorted(has + lacks) == sorted(item.name for item in FEATURES)


def test_json() -> None:
    """`json` is damo's object of names; --json everything."""
    plain = json.loads(run("json", "--kernel", "6.16"))
    assert list(plain) == sorted(plain) and plain["intervals_goal"] is True and plain["refresh_ms"] is False
    full = json.loads(run("--json", "--kernel", "6.16"))
    assert full["release"] == "6.16"
    assert {item["name"]: item["available"] for item in full["features"]} == plain


def test_what_was_not_seen_is_told() -> None:
    """The running kernel's answer says how much of it was concluded."""

    class Client:
        def __enter__(self) -> Client:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def call(self, method: str) -> Any:
            assert method == "features.list"
            return Features("7.3", frozenset({"pause"}), frozenset({"pause", "probe_preps"})).to_wire()

    out = io.StringIO()
    ctx = Context(stdout=out)
    ctx.client = Client  # type: ignore[assignment,method-assign]
    assert features.run([], ctx) == 0
    assert out.getvalue().splitlines()[-1] == (
        "1 of these follow from the release; the rest was seen. After the first start all is seen."
    )


def test_no_release() -> None:
    """What is no release is named."""
    with pytest.raises(UsageError, match="'foo' is not a kernel release"):
        run("--kernel", "foo")
