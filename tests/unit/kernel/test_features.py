"""What is seen of a kernel, and what is known without one."""

import errno

import pytest

from damod.kernel.features import FEATURES, FILES, Features, probe
from damod.kernel.sim.clock import SimClock
from damod.kernel.sim.facts import VERSIONS, load
from damod.kernel.sim.kernel import SimKernel


def whole_tree(tree, at=""):
    """All files of a tree with their texts."""
    found = {}
    for name in tree.names(at):
        path = f"{at}/{name}".lstrip("/")
        try:
            found[path] = tree.read(path)
        except IsADirectoryError:
            found |= whole_tree(tree, path)
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_table_is_what_real_kernels_have(version):
    """For each feature that a listing of a real kernel can show, `since` says what that kernel had."""
    facts, known = load(version), Features.known(version)
    words = {"action": "action", "filter": "filters", "goal": "goal", "tuner": "goal_tuner"}
    for item in FEATURES:
        if item.name in FILES and "probes/" not in FILES[item.name][0]:
            path = "/".join(FILES[item.name]).replace("*", "0")
            there = any(each == path or each.startswith(path + "/") for each in facts.tree)
        elif item.how in words:
            there = item.word in facts.keywords.get(words[item.how], ())
        elif item.how == "event":
            there = item.word in facts.events
        elif item.how == "module":
            there = any(path.startswith(item.word + "/") for path in facts.modules)
        elif item.how == "command":
            there = item.word in facts.commands
        else:
            continue
        assert known.has(item.name) == there, item.name


@pytest.mark.parametrize("version", VERSIONS)
def test_probe_on_a_scratch_slot(version):
    """Trying on an idle slot of ours finds all that the release has, by presence, and leaves the slot empty."""
    kernel = SimKernel(version, clock=SimClock())
    kernel.damon.write("kdamonds/nr_kdamonds", "2")
    seen = probe(kernel, scratch=1)
    assert seen.names == Features.known(version).names
    assert set(seen.inferred) == {"update_tuned_intervals"}
    assert kernel.damon.read("kdamonds/1/contexts/nr_contexts") == "0"


def test_release_does_not_matter_where_we_can_look():
    """A kernel that calls itself old but has everything (a distribution's backport) is believed by what it shows."""
    kernel = SimKernel("7.3", clock=SimClock())
    kernel.release = "5.14.0-999.el9"
    kernel.damon.write("kdamonds/nr_kdamonds", "1")
    assert probe(kernel, scratch=0).names == Features.known("7.3").names


@pytest.mark.parametrize("version", VERSIONS)
def test_looking_writes_nothing(version):
    """Without a slot of ours nothing is written, whoever runs; what cannot be seen is inferred and says so."""
    kernel = SimKernel(version, clock=SimClock(), foreign=True)
    kernel.fail(errno.EIO, at=1)
    before = whole_tree(kernel.damon)
    seen = probe(kernel)
    assert whole_tree(kernel.damon) == before
    with pytest.raises(OSError, match="Input/output"):
        kernel.damon.write("kdamonds/0/state", "commit")  # the fault is still there: nothing was written before
    assert seen.names == Features.known(version).names
    assert "action.pageout" in seen.inferred and "addr_unit" not in seen.inferred


def test_unallocated_tree_is_inferred():
    """With no directories at all, files are inferred from the release, events and modules that are there."""
    seen = probe(SimKernel("6.18", clock=SimClock()))
    assert seen.names == Features.known("6.18").names
    assert "addr_unit" in seen.inferred and "trace.damos_esz" not in seen.inferred


def test_known_between_and_beyond():
    """Releases between and after the known ones have what came before them; nonsense is refused."""
    assert Features.known("6.15").has("intervals_goal") and not Features.known("6.15").has("refresh_ms")
    assert Features.known("9.0").names == Features.known("7.3").names
    with pytest.raises(ValueError, match="banana"):
        Features.known("banana")


def test_rows_are_plain():
    """The list for `damoctl features` has one row per feature, with the release that brought it."""
    row = next(row for row in Features.known("6.12").to_wire()["features"] if row["name"] == "refresh_ms")
    assert row["available"] is False and row["since"] == "6.17" and row["about"]
