"""The sysfs tree: which attributes there are, what they start with, what they take and what they refuse."""

from __future__ import annotations

from collections.abc import Iterator

from damod.kernel.interface import Tree
from damod.kernel.sim.facts import Facts
from tests.contract.driver import NR_FILES, Damon

# A leaf below tried_regions/ exists only while a scheme has tried regions, see test_tried.py.
_RUNNING_ONLY = "/tried_regions/0/"
_BOOLS = ("matching", "allow", "pause", "obsolete_target")
_PATHS = ("path", "memcg_path")
_INTS = ("pid_target", "target_nid", "nid", "damon_target_idx")
# uint files: 2**32 is out of range.
_PERMILS = ("sz_permil", "nr_accesses_permil", "age_permil")
_UINTS = ("refresh_ms", *_PERMILS, "id", "weight", "fail_charge_num", "fail_charge_denom")
# Files whose store function answers EINVAL to every number that it cannot hold, instead of ERANGE.
_EINVAL = ("pid_target", "ms", "bytes", "reset_interval_ms", "fail_charge_num", "fail_charge_denom")


def walk(tree: Tree, path: str) -> Iterator[str]:
    """All files below a directory."""
    for name in tree.names(path):
        below = f"{path}/{name}"
        try:
            tree.names(below)
        except NotADirectoryError:
            yield below
        else:
            yield from walk(tree, below)


def one_of_everything(damon: Damon, facts: Facts) -> dict[str, tuple[int, str]]:
    """Make one of each numbered directory; the facts of the attributes that must exist then."""
    wanted = {path: fact for path, fact in facts.tree.items() if _RUNNING_ONLY not in path}
    for path in sorted(wanted, key=lambda path: path.count("/")):
        if wanted[path][0] == 0o600 and path.rpartition("/")[2] in NR_FILES:
            damon.write(path, 1)
    return wanted


def is_count(path: str) -> bool:
    return path.rpartition("/")[2] in NR_FILES


def keyword_list(path: str) -> str | None:
    """Which of the facts' keyword lists belongs to a file; None if it takes no keyword."""
    parts = path.split("/")
    if parts[-1] == "type":
        return "probes" if "probes" in parts else parts[-3]
    names = {"action": "action", "operations": "ops", "target_metric": "goal", "metric": "wmark"}
    return names.get(parts[-1], "goal_tuner" if parts[-1] == "goal_tuner" else None)


def settable(wanted: dict[str, tuple[int, str]]) -> dict[str, str]:
    """Path -> default of the files that hold a setting (not a count, not the command file)."""
    return {
        path: default
        for path, (mode, default) in wanted.items()
        if mode == 0o600 and not is_count(path) and not path.endswith("/state")
    }


def test_the_tree_is_exactly_the_known_one(damon: Damon, facts: Facts) -> None:
    """Every attribute of this release exists, and no other."""
    wanted = one_of_everything(damon, facts)
    assert sorted(walk(damon.tree, "kdamonds")) == sorted(wanted)


def test_defaults(damon: Damon, facts: Facts) -> None:
    """Every fresh attribute reads as its default; lists of the kernel have a line per item."""
    wanted = one_of_everything(damon, facts)
    found = {path: damon.read(path).replace("\n", "|") for path in wanted}
    expected = {path: "1" if is_count(path) and mode == 0o600 else default for path, (mode, default) in wanted.items()}
    assert found == expected


def test_numbers_are_read_back(damon: Damon, facts: Facts) -> None:
    """Every number that is written is read back in decimal; those of 64 bits to their top."""
    for path in settable(one_of_everything(damon, facts)):
        name = path.rpartition("/")[2]
        if keyword_list(path) or name in (*_BOOLS, *_PATHS):
            continue
        top = 2**31 - 1 if name in _INTS else 2**32 - 1 if name in _UINTS else 2**64 - 1
        for value in (3, top):
            damon.write(path, value)
            assert damon.read(path) == str(value), path
        damon.write(path, "0x10\n")
        assert damon.read(path) == "16", path


def test_keywords_are_read_back(damon: Damon, facts: Facts) -> None:
    """Every keyword that this release knows is taken; every other release's, and any other word, is EINVAL."""
    for path in settable(one_of_everything(damon, facts)):
        known = keyword_list(path)
        if known is None:
            continue
        for word in facts.keywords[known]:
            damon.write(path, word)
            assert damon.read(path) == word, path
            damon.write(path, f"{word}\n")
        before = damon.read(path)
        for word in ("garbage", "3", "ANON", "anon ", "\n", "young\tanon"):
            assert damon.refused(path, word) == "EINVAL", (path, word)
        assert damon.read(path) == before


def test_switches_are_read_back(damon: Damon, facts: Facts) -> None:
    """Switches take the kernel's spellings of yes and no, and show Y or N."""
    for path in settable(one_of_everything(damon, facts)):
        if path.rpartition("/")[2] not in _BOOLS:
            continue
        for words, shown in ((("Y", "y", "1", "1\n", "on", "true"), "Y"), (("N", "n", "0", "off", "false"), "N")):
            for word in words:
                damon.write(path, word)
                assert damon.read(path) == shown, (path, word)
        for word in ("garbage", "3", "-1", "\n", "/a"):
            assert damon.refused(path, word) == "EINVAL", (path, word)


def test_paths_are_kept_to_the_letter(damon: Damon, facts: Facts) -> None:
    """Path files take any text and give it back as it was, a newline too."""
    for path in settable(one_of_everything(damon, facts)):
        if path.rpartition("/")[2] not in _PATHS:
            continue
        for text in ("/a/b", "garbage", " with blanks ", "/a\n"):
            damon.write(path, text)
            assert damon.read(path) == text, path


def test_garbage_is_refused(damon: Damon, facts: Facts) -> None:
    """Numbers refuse what is none with EINVAL, and keep what they had."""
    for path in settable(one_of_everything(damon, facts)):
        name = path.rpartition("/")[2]
        if keyword_list(path) or name in (*_BOOLS, *_PATHS):
            continue
        damon.write(path, 3)
        for word in ("garbage", " 5", "5 ", "\n", "1.5", "Y", "/a"):
            assert damon.refused(path, word) == "EINVAL", (path, word)
        damon.write(path, "")
        assert damon.read(path) == "3", path


def test_out_of_range_is_refused(damon: Damon, facts: Facts) -> None:
    """A number that the file cannot hold is ERANGE (in a few files EINVAL); a minus is EINVAL where none is allowed."""
    for path in settable(one_of_everything(damon, facts)):
        name = path.rpartition("/")[2]
        if keyword_list(path) or name in (*_BOOLS, *_PATHS):
            continue
        error = "EINVAL" if name in _EINVAL else "ERANGE"
        assert damon.refused(path, 2**64) == error, path
        if name in _INTS:
            assert damon.refused(path, 2**31) == error, path
            assert damon.refused(path, -1) == "", path
        else:
            assert damon.refused(path, -1) == "EINVAL", path
        if name in _UINTS:
            assert damon.refused(path, 2**32) == error, path


def test_an_address_unit_of_nothing_is_refused(damon: Damon, facts: Facts) -> None:
    """addr_unit 0 is EINVAL."""
    wanted = one_of_everything(damon, facts)
    units = [path for path in wanted if path.endswith("/addr_unit")]
    assert bool(units) == (facts.version >= (6, 18))
    for path in units:
        assert damon.refused(path, 0) == "EINVAL"


def test_what_the_kernel_reports_cannot_be_written(damon: Damon, facts: Facts) -> None:
    """Files that only report are EACCES, whatever is written."""
    for path, (mode, _) in one_of_everything(damon, facts).items():
        if mode == 0o400:
            assert damon.refused(path, 1) == "EACCES", path


def test_what_is_not_there(damon: Damon) -> None:
    """An unknown attribute is ENOENT to read, write and list; a directory cannot be read or written."""
    damon.slots(1)
    assert damon.refused("kdamonds/1/state", "on") == "ENOENT"
    assert damon.refused("kdamonds/0/contexts", "1") == "EISDIR"
    assert not damon.tree.exists("kdamonds/1")
    assert damon.tree.exists("kdamonds/0/state")
    for name in ("kdamonds/0/stat", "kdamonds/1/state"):
        try:
            damon.tree.read(name)
        except FileNotFoundError:
            continue
        raise AssertionError(f"{name} could be read")


def test_counts(damon: Damon) -> None:
    """A count makes that many directories, numbered from 0, and fresh ones each time."""
    damon.slots(3)
    assert sorted(damon.tree.names("kdamonds")) == ["0", "1", "2", "nr_kdamonds"]
    damon.write("kdamonds/1/contexts/nr_contexts", 1)
    at = "kdamonds/1/contexts/0/schemes"
    damon.write(f"{at}/nr_schemes", 2)
    damon.write(f"{at}/0/action", "pageout")
    damon.write(f"{at}/nr_schemes", 3)
    assert damon.read(f"{at}/0/action") == "stat"
    assert sorted(damon.tree.names(at)) == ["0", "1", "2", "nr_schemes"]
    damon.slots(1)
    assert sorted(damon.tree.names("kdamonds")) == ["0", "nr_kdamonds"]


def test_counts_refuse(damon: Damon) -> None:
    """Negative counts are EINVAL, huge ones ERANGE, and a kdamond has one context at most."""
    damon.slots(1)
    for path in ("kdamonds/nr_kdamonds", "kdamonds/0/contexts/nr_contexts"):
        assert damon.refused(path, -1) == "EINVAL"
        assert damon.refused(path, "x") == "EINVAL"
        assert damon.refused(path, 2**31) == "ERANGE"
    assert damon.refused("kdamonds/0/contexts/nr_contexts", 2) == "EINVAL"
