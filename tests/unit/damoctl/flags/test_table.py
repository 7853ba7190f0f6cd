"""The one table of options: complete, without contradictions to the spec and to the kernel's features, cheap."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from damoctl.flags import table
from damoctl.flags.help import candidates, command_help, page, param_options
from damoctl.flags.option import KINDS, Option
from damod.kernel.features import BY_NAME
from damod.spec import filter as spec_filter
from damod.spec import kdamond, scheme
from tests.shared import shared

ROOTS: dict[str, type[BaseModel]] = {
    "kdamond": kdamond.Kdamond,
    "ctx": kdamond.Context,
    "target": kdamond.Target,
    "probe": kdamond.Probe,
    "scheme": scheme.Scheme,
}


def _options_of_cli_md() -> list[tuple[str, bool]]:
    text = shared("damo", "cli.md").read_text()
    section = text[text.index("## 2. Option group P") : text.index("## 3. Option group F")]
    rows = re.findall(r"^\| `([^`]+)`( \*\*\[hidden\]\*\*)? \|", section, re.MULTILINE)
    return [(names, bool(hidden)) for names, hidden in rows]


def test_every_option_of_damo_is_known() -> None:
    """All spellings of group P, and `damoctl help damon_param_options` shows each."""
    rows = _options_of_cli_md()
    assert len(rows) > 55
    known = {name for option in table.OPTIONS for name in option.names}
    spellings = {name.strip() for names, _ in rows for name in names.split("/")} - {"deducible_target"}
    assert spellings <= known
    shown = param_options()
    assert [name for name in known if name not in shown] == []


def test_names_are_unique_and_kinds_exist() -> None:
    """No spelling means two options, no word has an unknown kind."""
    names = [name for option in table.OPTIONS for name in option.names]
    assert len(names) == len(set(names))
    for option in table.OPTIONS:
        assert all(word.kind in KINDS for word in option.words), option.name
        assert option.about.endswith("."), option.name


def _model_at(model: Any, path: str) -> Any:
    for step in path.split("."):
        if step.isdigit():
            continue
        assert step in model.model_fields, path
        annotation = model.model_fields[step].annotation
        inner = [annotation, *get_args(annotation)]
        model = next((one for one in inner if isinstance(one, type) and issubclass(one, BaseModel)), None)
    return model


@pytest.mark.parametrize("option", [one for one in table.OPTIONS if one.level in ROOTS], ids=lambda one: str(one.name))
def test_spec_paths_exist(option: Option) -> None:
    """A word's path is a field of the model of its level."""
    for word in option.words:
        if word.path:
            _model_at(ROOTS[option.level], word.path)


def test_keywords_are_the_specs() -> None:
    """Actions, operations sets, filter types and metrics are those of the spec's types."""
    assert set(table.ACTIONS) == set(get_args(scheme.Action))
    assert table.MIGRATIONS == scheme.MIGRATIONS
    assert set(table.OPS) == set(get_args(kdamond.Ops))
    assert set(table.FILTER_TYPES) == set(get_args(spec_filter.FilterType))
    probe_types = kdamond.ProbeFilter.model_fields["filter_type"].annotation
    assert set(table.PROBE_FILTER_TYPES) == set(get_args(probe_types))
    assert set(table.GOAL_METRICS) == set(get_args(scheme.GoalMetric))
    for metric, (_, words) in table.GOAL_METRICS.items():
        assert {word.path for word in words} - {"current_value"} == set(scheme.GOAL_NEEDS[metric])


def test_releases_are_those_of_the_kernels_features() -> None:
    """What help says about kernels is what the features table says."""
    for option in table.OPTIONS:
        if option.feature:
            assert BY_NAME[option.feature].since == option.since.replace("none", ""), option.name


def test_the_documentation_page_is_current() -> None:
    """docs/options.md is what `damoctl.flags.help.page` makes."""
    assert Path("docs/options.md").read_text() == page()


def test_the_table_is_cheap() -> None:
    """Neither pydantic nor argparse nor dataclasses are imported to compile a command line."""
    code = (
        "import sys; from damoctl.flags.compile import compile_words;"
        "compile_words(['paddr', '--damos_action', 'stat']);"
        "print([m for m in ('pydantic', 'argparse', 'dataclasses', 'yaml', 'inspect') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


def test_completion_knows_names_and_keywords() -> None:
    """Names by their beginning, keywords where one is due, nothing where a number is."""
    assert candidates(["--damos_quota_g"], table.OPTIONS) == ["--damos_quota_goal", "--damos_quota_goal_tuner"]
    assert candidates(["--damos_quota_goal_tuner", "t"], table.OPTIONS) == ["temporal"]
    assert candidates(["--ops", ""], table.OPTIONS) == list(table.OPS)
    assert candidates(["--damos_age", "5"], table.OPTIONS) == []


def test_command_help_shows_units_defaults_and_kernels() -> None:
    """The usual options with what a bare number means; the rest is one named command away."""
    text = command_help("start", "Start DAMON.", "  damoctl start paddr")
    assert "usage: damoctl start [options] [target]" in text
    assert "bare numbers are us; default: 5ms 100ms 1s" in " ".join(text.split())
    assert "--nr_schemes" not in text
    assert "Linux 6.17 or later" in param_options("monitoring")
    assert "--ops" not in param_options("damos")
    assert "`damoctl help damon_param_options`" in text
