"""Policy files: layers, drop-ins, masks, and what a mistake is answered with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args

import pytest

from damod.errors import UsageError
from damod.policy.document import RecordKind, RecordType
from damod.policy.load import load, of_texts, policy_name
from damod.recorder.job import DEFAULT_KINDS, KINDS, OUTPUT_TYPES

RIGHT = "kdamonds:\n- contexts:\n  - ops: paddr\n"


def told(text: str) -> list[str]:
    return [str(problem) for problem in of_texts("p", [("p.yaml", text)]).problems]


MISTAKES = [
    ("kdamonds:\n- contexts", "p.yaml:2:3: kdamonds[0]: takes keys (`key: value`), not 'contexts'"),
    ("kdamonds: x", "p.yaml:1:1: kdamonds: takes a list (`- item`), not 'x'"),
    (RIGHT + "descripton: x\n", "p.yaml:4:1: descripton: there is no such key; did you mean 'description'?; allowed"),
    (RIGHT.replace("paddr", "padr"), "p.yaml:3:5: kdamonds[0].contexts[0].ops: 'padr' is none of vaddr, fvaddr, paddr"),
    (RIGHT + "enabled: on\n", "p.yaml:4:10: enabled: on is a truth value to some"),
    (RIGHT + "priority: 012\n", "p.yaml:4:11: priority: 012 is octal to some"),
    (RIGHT + "description: 1:30\n", "p.yaml:4:14: description: 1:30 is a number of base 60"),
    (RIGHT + "priority: 1_000\n", "p.yaml:4:11: priority: 1_000 is a number to some"),
    (RIGHT + "priority: high\n", "p.yaml:4:1: priority: takes a whole number, not 'high'"),
    (RIGHT + "drift: ignore\n", "p.yaml:4:1: drift: 'ignore' is none of repair, report"),
    (RIGHT + "record: {kind: [access]}\n", "p.yaml:4:10: record.kind: there is no such key; did you mean 'kinds'?"),
    (RIGHT + "record: {kinds: [acess]}\n", "record.kinds[0]: 'acess' is none of access, cpu_profile"),
    (RIGHT + "record: {keep_age: 0}\n", "record.keep_age: 0: input should be greater than 0"),
    (RIGHT + "record: {output_permission: 999}\n", "p.yaml:4:10: record.output_permission: '999': string should match"),
    (RIGHT + "record: {out: ../x}\n", "p.yaml:4:10: record.out: '../x': string should match"),
    (RIGHT + "enabled: true\nenabled: true\n", "p.yaml:5:1: enabled: is there twice (first in line 4)"),
    (RIGHT + "name: q\n", "p.yaml:4:1: name: 'q' is not the name of the file"),
    (RIGHT + "when: &x {numa_nodes: 1}\nguard: *x\n", "p.yaml:4:7: guard: aliases (*name) are not taken"),
    (RIGHT + "when: {<<: {numa_nodes: 1}}\n", "a merge key) is not taken"),
    (RIGHT + "description: !!python/object:os.system x\n", "tags (tag:yaml.org,2002:python/object:os.system)"),
    (RIGHT + "targets: [{paddr: all, numa_node: 0}]\n", "targets[0]: a target has exactly one of"),
    (RIGHT + "targets: [{command: x}]\n", "targets[0]: command is for vaddr contexts, and there is none"),
    (RIGHT + "when: [\n", "p.yaml:5:1: this is not YAML"),
    ("- 1\n", "p.yaml:1:1: a policy is lines of `key: value`"),
    ("", "kdamonds: is missing"),
    ("kdamonds: []\n", "p.yaml:1:1: kdamonds: []: tuple should have at least 1 item"),
    ("kdamonds:\n- contexts:\n  - ops: vaddr\n", "p.yaml:3:5: kdamonds[0].contexts[0].ops: vaddr needs processes"),
    (
        "kdamonds:\n- contexts:\n  - schemes:\n    - action: pageout\n      access_pattern: {nr_accesses: {max: 0%}}\n",
        "p.yaml:4:7: kdamonds[0].contexts[0].schemes[0]: pageout without a quota",
    ),
    (
        "kdamonds:\n- contexts:\n  - schemes:\n    - action: pageout\n      quotas: {sz_bytes: 1M}\n",
        "p.yaml:4:7: kdamonds[0].contexts[0].schemes[0]: pageout without access_pattern.nr_accesses.max",
    ),
    (
        "kdamonds:\n- contexts:\n  - schemes:\n    - access_pattern:\n        age: {min: 5s, max: 1s}\n",
        "p.yaml:5:9: kdamonds[0].contexts[0].schemes[0].access_pattern.age: age: min is above max",
    ),
    (
        "kdamonds:\n- contexts:\n  - schemes:\n    - filters:\n      - filter_type: memgc\n",
        "p.yaml:5:9: kdamonds[0].contexts[0].schemes[0].filters[0].filter_type: 'memgc' is none of",
    ),
    ("[" * 100_000, "nested deeper than"),
    ("a: " * 5_000, "this is not YAML"),
    ("- " * 2_000, "nested deeper than"),
    ("x" * 300_000, "larger than 262,144 bytes"),
    ("\0", "this is not YAML"),
]


@pytest.mark.parametrize(("text", "words"), MISTAKES, ids=[words[-40:] for _, words in MISTAKES])
def test_a_mistake_is_told_with_its_place(text: str, words: str) -> None:
    """Each mistake has one problem that says where it is, the key, and what is allowed or near."""
    found = told(text)
    assert len(found) == 1, found
    assert words in found[0]


def test_a_meant_danger_is_no_mistake() -> None:
    """What `acknowledge` names is accepted."""
    text = "acknowledge: [no_quota, hot_memory]\nkdamonds:\n- contexts:\n  - schemes:\n    - action: pageout\n"
    assert told(text) == []


def test_what_to_record_is_read_with_its_units() -> None:
    """Times are seconds or have a unit, sizes too, permissions are three octal digits; the kinds are the recorder's."""
    text = RIGHT + "record: {keep_age: 7d, output_flush_sec: 90, keep_bytes: 2G, output_permission: 640}\n"
    policy = of_texts("p", [("p.yaml", text)]).policy
    assert policy is not None and policy.record is not None
    record = policy.record
    assert (record.keep_age, record.output_flush_sec, record.keep_bytes) == (7 * 86400, 90, 2 << 30)
    assert (record.output_permission, record.kinds) == ("640", DEFAULT_KINDS)
    assert get_args(RecordKind) == KINDS
    assert get_args(RecordType) == OUTPUT_TYPES


def test_all_problems_come_at_once() -> None:
    """Three mistakes make three problems, each with its own line."""
    text = "priority: x\ndrift: x\n" + RIGHT.replace("paddr", "x")
    assert sorted(line.split(":")[1] for line in told(text)) == ["1", "2", "5"]


def test_the_last_directory_wins_and_dev_null_masks(tmp_path: Path) -> None:
    """The same file name counts once, a link to /dev/null takes a policy away, copies of editors are no policies."""
    for layer in ("usr", "etc"):
        (tmp_path / layer).mkdir()
    for name in ("10-a.yaml", "20-b.yaml"):
        (tmp_path / "usr" / name).write_text(RIGHT)
    (tmp_path / "etc/10-a.yaml").write_text(RIGHT + "description: mine\n")
    (tmp_path / "etc/20-b.yaml").symlink_to("/dev/null")
    for name in (".30-c.yaml.swp", "30-c.yaml~", "#30-c.yaml#", ".#30-c.yaml", "30-c.yaml.bak", "30-c.yml", "README"):
        (tmp_path / "etc" / name).write_text("}{")
    first, second = load([str(tmp_path / "usr"), str(tmp_path / "etc"), str(tmp_path / "absent")])
    assert first.policy is not None and first.policy.description == "mine"
    assert second.masked and second.policy is None


def test_drop_ins_merge_key_by_key(tmp_path: Path) -> None:
    """Maps merge, lists of maps merge item by item, other lists are replaced, null gives a default back; each key
    knows its file."""
    (tmp_path / "50-a.yaml").write_text(
        "description: x\npriority: 3\nacknowledge: [no_quota, hot_memory]\n"
        "kdamonds:\n- contexts:\n  - schemes:\n    - action: pageout\n      quotas: {sz_bytes: 1M, time_ms: 5}\n"
    )
    drop_in = tmp_path / "50-a.d/10-more.yaml"
    drop_in.parent.mkdir()
    drop_in.write_text(
        "priority: null\nacknowledge: [hot_memory]\n"
        "kdamonds:\n- contexts:\n  - schemes:\n    - quotas: {sz_bytes: 2M}\n"
    )
    (document,) = load([str(tmp_path)])
    policy = document.policy
    assert policy is not None, document.problems
    scheme = policy.kdamonds[0].contexts[0].schemes[0]
    assert (scheme.action, scheme.quotas.sz_bytes, scheme.quotas.time_ms) == ("pageout", 2 << 20, 5)
    assert (policy.priority, policy.acknowledge, policy.description) == (0, ("hot_memory",), "x")
    at = "kdamonds[0].contexts[0].schemes[0].quotas"
    assert document.of(f"{at}.sz_bytes") == f"{drop_in}:6"
    assert document.of(f"{at}.time_ms") == f"{tmp_path}/50-a.yaml:8"


def test_a_mistake_in_a_drop_in_is_told_with_its_file(tmp_path: Path) -> None:
    """The place of a problem is in the file that has it."""
    (tmp_path / "a.yaml").write_text(RIGHT)
    (tmp_path / "a.d").mkdir()
    (tmp_path / "a.d/x.yaml").write_text("\nkdamonds:\n- contexts:\n  - ops: x\n")
    (document,) = load([str(tmp_path)])
    assert str(document.problems[0]).startswith(f"{tmp_path}/a.d/x.yaml:4:5: kdamonds[0].contexts[0].ops: 'x' is none")


def test_one_wrong_file_leaves_the_others(tmp_path: Path) -> None:
    """Unreadable, half-written or duplicate files concern themselves alone."""
    (tmp_path / "10-a.yaml").write_text(RIGHT)
    (tmp_path / "20-b.yaml").write_bytes(b"\xff\xfe")
    (tmp_path / "30-c.yaml").mkdir()
    (tmp_path / "40-d.yaml").write_text(RIGHT[:-8])
    (tmp_path / "50-a.yaml").write_text(RIGHT)
    (tmp_path / "60-e.yaml").symlink_to(tmp_path / "nowhere")
    found = load([str(tmp_path)])
    assert [item.policy is not None for item in found] == [True, False, False, False, False, False]
    assert all(item.problems for item in found[1:])
    assert "10-a.yaml is policy a already" in str(found[4].problems[0])


def test_a_directory_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    """Not knowing the policies is something else than having none."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(UsageError, match="cannot be listed"):
        load([str(tmp_path / "loop")])


@pytest.mark.parametrize(
    ("file", "name"), [("/etc/damo.d/50-tiering.yaml", "tiering"), ("x.yaml", "x"), ("5-5-a.yaml", "5-a")]
)
def test_the_name_is_the_files(file: str, name: str) -> None:
    """A leading number is for the order only."""
    assert policy_name(file) == name


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    """It is told in a form that can be logged and sent; other files count."""
    (tmp_path / "a.yaml").write_text(RIGHT)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n.yaml")).write_text(RIGHT)
    first, second = load([str(tmp_path)])
    assert first.policy is not None
    assert second.policy is None and "rename it" in str(second.problems[0]) and str(second.problems[0]).isascii()


@pytest.mark.parametrize(
    ("name", "words"),
    [("a b", "name: 'a b': string should match pattern"), ("é" * 70, "name: ")],
    ids=["blank", "long"],
)
def test_a_name_that_cannot_be_a_sets(name: str, words: str) -> None:
    """A file name that makes no name for a set is a problem of that file."""
    problems = of_texts(name, [(f"{name}.yaml", RIGHT)]).problems
    assert len(problems) == 1 and words in str(problems[0])


def test_files_that_are_none(tmp_path: Path) -> None:
    """A pipe, a directory, an endless device and a link to nothing are problems of those files, and nobody waits."""
    os.mkfifo(tmp_path / "10-pipe.yaml")
    (tmp_path / "20-directory.yaml").mkdir()
    (tmp_path / "30-endless.yaml").symlink_to("/dev/zero")
    (tmp_path / "40-gone.yaml").symlink_to("nowhere")
    (tmp_path / "50-right.yaml").write_text(RIGHT)
    found = load([str(tmp_path)])
    assert [bool(item.problems) for item in found] == [True] * 4 + [False]
    assert "no regular file" in str(found[0].problems[0]) and "no regular file" in str(found[2].problems[0])
