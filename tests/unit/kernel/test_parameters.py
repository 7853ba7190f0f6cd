"""The table of module parameters against six kernels, units in and out, and the kernel's rules."""

from pathlib import Path

import pytest

from damod.kernel import modules, parameters
from damod.kernel.sim import facts
from tests.shared import shared


@pytest.mark.parametrize("version", facts.VERSIONS)
def test_the_table_has_every_parameter(version):
    """Each parameter of each kernel is in the table with its mode; `since` is the first kernel that has it."""
    found = facts.load(version).modules
    for path, (mode, default) in found.items():
        row = parameters.TABLE[path.split("/")[0]][path.split("/")[1]]
        assert row.result == (mode == 0o400), path
        assert (row.kind == "flag") == (default in ("Y", "N")), path
        assert row.about
    held = {path.split("/")[0] for path in found}
    order = facts.VERSIONS
    for module in held:
        for row in parameters.TABLE[module].values():
            there = f"{module}/{row.name}" in found
            assert there == (not row.since or order.index(row.since) <= order.index(version)), row.name


def test_the_listings_are_the_shared_ones():
    """The simulated kernels' parameters are those that were read off real ones."""
    for version in facts.VERSIONS:
        lines = (shared("kernel-abi") / f"{version}.txt").read_text().partition("## module parameters")[2].splitlines()
        names = {line.split()[1] for line in lines if line[:1].isdigit()}
        assert names == set(facts.load(version).modules)


@pytest.mark.parametrize(
    ("name", "text", "written", "shown"),
    [
        ("min_age", "30s", "30000000", "30 s"),
        ("min_age", "30000000", "30000000", "30 s"),
        ("quota_sz", "100M", "104857600", "100.000 MiB"),
        ("quota_ms", "0.5s", "500", "500 ms"),
        ("wmarks_high", "5%", "50", "5 %"),
        ("wmarks_high", "50", "50", "5 %"),
        ("skip_anon", "yes", "Y", "Y"),
        ("max_nr_regions", "1,000", "1000", "1,000"),
        ("monitor_region_end", "0x1000", "4096", "4.000 KiB"),
    ],
)
def test_values_are_read_and_shown_with_units(name, text, written, shown):
    """What people write becomes what the kernel takes, and is shown with its unit."""
    row = parameters.of("damon_reclaim", name)
    assert parameters.parse(row, text) == written
    assert parameters.shown(row, written) == shown
    assert parameters.shown(row, written, raw=True) == written


@pytest.mark.parametrize(
    ("name", "text"),
    [("min_age", "soon"), ("min_age", "-5s"), ("quota_sz", "5%"), ("wmarks_low", "0.01%"), ("skip_anon", "maybe")],
)
def test_nonsense_is_refused_with_its_text(name, text):
    """A ValueError that quotes what was given."""
    with pytest.raises(ValueError, match=text.replace("%", "")):
        parameters.parse(parameters.of("damon_reclaim", name), text)


def test_an_unknown_parameter_is_taken_as_what_it_holds():
    """Of a newer kernel or another module: a flag, a number or a text."""
    kinds = [parameters.of("damon_new", "x", text).kind for text in ("Y", "17", "some words")]
    assert kinds == ["flag", "count", "text"]


GOOD = {name: default for path, (_, default) in facts.load("7.3").modules.items()
        for module, name in [path.split("/")] if module == "damon_reclaim"}  # fmt: skip


def test_the_defaults_are_right():
    """Every kernel's own defaults pass."""
    for version in facts.VERSIONS:
        for module in parameters.TABLE:
            held = {p.split("/")[1]: d for p, (_, d) in facts.load(version).modules.items() if p.startswith(module)}
            assert parameters.problems(held) == []


@pytest.mark.parametrize(
    ("changes", "of", "says"),
    [
        ({"min_nr_regions": "2"}, "min_nr_regions", "below 3"),
        ({"min_nr_regions": "2000"}, "min_nr_regions", "above max_nr_regions (1,000)"),
        ({"sample_interval": "200000"}, "sample_interval", "200 ms is above aggr_interval (100 ms)"),
        ({"wmarks_high": "1001"}, "wmarks_high", "thousandths"),
        ({"wmarks_high": "100"}, "wmarks_mid", "40 % is above wmarks_high (10 %)"),
        ({"monitor_region_start": "8192", "monitor_region_end": "4096"}, "monitor_region_start", "not below"),
        ({"addr_unit": "3"}, "addr_unit", "power of two"),
        ({"addr_unit": "0"}, "addr_unit", "power of two"),
        ({"quota_reset_interval_ms": "0"}, "quota_reset_interval_ms", "without meaning"),
    ],
)
def test_what_the_kernel_would_not_take_is_told(changes, of, says):
    """Each rule names the parameter and the values."""
    (problem,) = parameters.problems({**GOOD, **changes})
    assert problem.parameter == of
    assert says in problem.message


def test_modules_with_other_names_are_found(kernel):
    """Whatever has a damon_ name and can be enabled is a module; the known ones come first."""
    known = [name for name in parameters.ABOUT if name in kernel.modules.names()]
    assert modules.names(kernel) == known
    assert [item.name for item in modules.modules(kernel)] == known


def test_the_page_lists_every_parameter():
    """docs/modules.md has a row for each parameter of each module, with its meaning, and no other rows."""
    text = Path("docs/modules.md").read_text()
    for module, rows in parameters.TABLE.items():
        section = text.partition(f"### {module}\n")[2].partition("\n### ")[0]
        listed = [line.split("|")[1:4] for line in section.splitlines() if line.startswith("| `")]
        assert [cells[0].strip(" `") for cells in listed] == list(rows)
        assert all(rows[cells[0].strip(" `")].about in cells[2] for cells in listed)
