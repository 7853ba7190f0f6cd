"""The facts of the simulated kernels: complete, and as small as they can be."""

import pytest

from damod.kernel.sim import facts


@pytest.mark.parametrize("version", facts.VERSIONS)
def test_what_each_kernel_has(version):
    """Release, tree, keywords, commands, events and modules are all there."""
    known = facts.load(version)
    assert known.release.startswith(version + ".")
    assert ".".join(map(str, known.version)) == version
    assert known.tree["kdamonds/0/state"] == (0o600, "off")
    assert known.modules["damon_reclaim/kdamond_pid"] == (0o400, "-1")
    assert {"stat", "pageout"} <= set(known.keywords["action"])
    assert {"on", "off", "commit"} <= known.commands
    assert known.events["damon_aggregated"].startswith("name: damon_aggregated\n")


def test_what_came_when():
    """The differences between the kernels that code depends on are as the listings have them."""
    known = {version: facts.load(version) for version in facts.VERSIONS}

    def having(test):
        return [version for version in facts.VERSIONS if test(known[version])]

    assert having(lambda one: one.stat_on) == ["6.17", "6.18", "7.2", "7.3"]
    assert having(lambda one: one.odd_rows) == ["6.16", "6.17", "6.18"]
    assert having(lambda one: "update_tuned_intervals" not in one.commands) == ["6.12"]
    assert having(lambda one: "probes" in one.keywords) == ["7.2", "7.3"]
    assert having(lambda one: any(path.endswith("probes/0/weight") for path in one.tree)) == ["7.3"]


@pytest.mark.parametrize("version", facts.VERSIONS)
def test_trimming_loses_nothing(version):
    """Trimming what is trimmed already changes nothing, so the files are in their shortest form."""
    text = (facts._HERE / f"{version}.txt").read_text()
    assert facts.trim(text) == text
    longer = text.replace(
        "## tracepoints", "400 kdamonds/0/contexts/0/schemes/0/tried_regions/99/age = 3\n## tracepoints"
    )
    assert facts.trim(longer) == text


def test_an_unknown_kernel():
    """A version without facts is a ValueError that names those that there are."""
    with pytest.raises(ValueError, match=r"6\.12, 6\.16"):
        facts.load("6.13")
