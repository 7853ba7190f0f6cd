"""Words become a spec: values, little languages, targets, whole documents, and everything wrong at once."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from damoctl.flags.compile import compile_words, explain
from damoctl.flags.deduce import Command
from damod.errors import DamodError, NotFound, SpecInvalid, UsageError
from damod.spec.kdamond import parse_kdamonds


def _context(*argv: str) -> dict[str, Any]:
    context: dict[str, Any] = compile_words(argv).spec["kdamonds"][0]["contexts"][0]
    return context


def _scheme(*argv: str) -> dict[str, Any]:
    scheme: dict[str, Any] = _context("--damos_action", "pageout", *argv)["schemes"][0]
    return scheme


def _filters(*argv: str) -> list[tuple[Any, ...]]:
    found = _scheme(*(word for use in argv for word in ("--damos_filter", *use.split())))["filters"]
    return [tuple(item.values()) for item in found]


def test_nothing_given_is_the_default_kdamond() -> None:
    """One kdamond, one context, paddr; and the line says nothing about DAMON."""
    compiled = compile_words([])
    assert compiled.spec == {"kdamonds": [{"contexts": [{"ops": "paddr"}]}]}
    assert not compiled.anything


@pytest.mark.parametrize(
    ("words", "filters"),
    [
        (["allow anon"], [("anon", True, True)]),
        (["reject none young"], [("young", False, False)]),
        (["deny non active"], [("active", False, False)]),
        (["block unmapped"], [("unmapped", True, False)]),
        (["memcg foo"], [("memcg", True, False, "foo")]),
        (["allow anon reject memcg foo"], [("anon", True, True), ("memcg", True, False, "foo")]),
        (["allow anon", "reject memcg foo"], [("anon", True, True), ("memcg", True, False, "foo")]),
        (["reject none addr 1234 56678"], [("addr", False, False, {"start": 1234, "end": 56678})]),
        (["allow target 2"], [("target", True, True, 2)]),
        (["allow hugepage_size 2M max"], [("hugepage_size", True, True, [2 << 20, 2**64 - 1])]),
        (["reject probe_hits_wsum 3 1,000"], [("probe_hits_wsum", True, False, [3, 1000])]),
        (["anon matching"], [("anon", True, False)]),
        (["anon nomatching"], [("anon", False, False)]),
        (["memcg matching /a pass"], [("memcg", True, True, "/a")]),
        (["addr nomatching 4K 8K deny"], [("addr", False, False, {"start": 4096, "end": 8192})]),
    ],
)
def test_filters(words: list[str], filters: list[tuple[Any, ...]]) -> None:
    """New and old form, one option or several, every type."""
    assert _filters(*words) == filters


@pytest.mark.parametrize(
    ("words", "goal"),
    [
        ("some_mem_psi_us 10ms", {"target_value": 10_000}),
        ("some_mem_psi_us 10000", {"target_value": 10_000}),
        ("node_mem_used_bp 99.7% 1", {"target_value": 9970, "nid": 1}),
        ("node_mem_free_bp 50 complement 1", {"target_value": 50, "nid": 1, "complement": True}),
        ("node_memcg_used_bp 5% 0 /wl", {"target_value": 500, "nid": 0, "memcg_path": "/wl"}),
        ("node_memcg_free_bp 5% complement 0 /wl", {"nid": 0, "memcg_path": "/wl", "complement": True}),
        ("user_input 1000 999", {"target_value": 1000, "current_value": 999}),
        ("user_input 1000", {"target_value": 1000}),
        ("active_mem_bp 10%", {"target_value": 1000}),
        ("inactive_mem_bp 10% complement", {"complement": True}),
        ("node_eligible_mem_bp 10% 2", {"nid": 2}),
    ],
)
def test_goals(words: str, goal: dict[str, Any]) -> None:
    """Every metric, with its unit, its further words and `complement` anywhere among them."""
    made = _scheme("--damos_quotas", "0", "1G", "1s", "--damos_quota_goal", *words.split())
    (found,) = made["quotas"]["goals"]
    assert found == {"metric": words.split()[0], "complement": False, "target_value": found["target_value"], **goal}
    parse_kdamonds([{"contexts": [{"schemes": [made]}]}])


def test_quotas_in_parts() -> None:
    """The parts alone mean a limit per second and weights 1 1 1; a given interval and weights win."""
    compiled = compile_words(["--damos_action", "pageout", "--damos_quota_space", "1G"])
    quotas = compiled.spec["kdamonds"][0]["contexts"][0]["schemes"][0]["quotas"]
    assert quotas["reset_interval_ms"] == 1000
    assert set(quotas["weights"].values()) == {1}
    assert compiled.notes == [
        "--damos_quota_space 1G: the limit holds each second (--damos_quota_interval says otherwise)"
    ]
    given = _scheme(
        "--damos_quota_interval", "5s", "--damos_quota_time", "10", "--damos_quota_weights", "0", "50%", "1"
    )
    assert given["quotas"]["reset_interval_ms"] == 5000
    assert given["quotas"]["weights"] == {"sz_permil": 0, "nr_accesses_permil": 500, "age_permil": 1}
    with pytest.raises(UsageError, match="cannot be combined with --damos_quota_space 1G"):
        _scheme("--damos_quotas", "0", "1G", "--damos_quota_space", "1G")


def test_units() -> None:
    """Percent, samples, Hz at the context's sampling interval, aggregation intervals, min and max."""
    rates = _scheme("--damos_access_rate", "5", "3 samples", "--damos_age", "3 aggr_intervals", "1h2m")
    assert rates["access_pattern"]["nr_accesses"] == {"min": "5 %", "max": "3 samples"}
    assert rates["access_pattern"]["age"] == {"min": "3 aggr_intervals", "max": 3720_000_000}
    in_hz = _scheme("--damos_access_rate", "50hz", "max", "--monitoring_intervals", "1ms", "100ms", "1s")
    assert in_hz["access_pattern"]["nr_accesses"] == {"min": "50hz", "max": "max"}
    (kdamond,) = parse_kdamonds([{"contexts": [{"intervals": {"sample_us": 1000}, "schemes": [in_hz]}]}])
    assert str(kdamond.contexts[0].schemes[0].access_pattern.nr_accesses.min) == "5 %"
    sizes = _scheme("--damos_sz_region", "4k", "max")
    assert sizes["access_pattern"]["sz_bytes"] == {"min": 4096, "max": 2**64 - 1}


def test_experimental_and_short_forms() -> None:
    """Write-only and per-CPU monitoring, sampling primitives, and the old short options."""
    context = _context(
        *[
            "--exp_ops_use_reports",
            "y",
            "--exp_ops_write_only",
            "Y",
            "--exp_ops_cpus",
            "0-3,5",
            "-s",
            "1000",
            "-m",
            "50",
            "-n",
            "5",
        ]
    )
    assert context["sample_control"]["primitives_enabled"] == {"page_table": False, "page_fault": True}
    assert [item["filter_type"] for item in context["sample_control"]["sample_filters"]] == ["write", "cpumask"]
    assert context["intervals"] == {"sample_us": 1000}
    assert context["nr_regions"] == {"max": 50, "min": 5}
    with pytest.raises(UsageError, match="exclude each other"):
        _context("--sample_primitives", "page_table", "page_fault")
    with pytest.raises(UsageError, match="--monitoring_intervals 1 2 3: -s 5 says the same already"):
        _context("-s", "5", "--monitoring_intervals", "1", "2", "3")


def test_autotune_is_for_every_context() -> None:
    """The shortcut needs no grouping."""
    made = compile_words(["--kdamond", "--kdamond", "--monitoring_intervals_autotune"]).spec["kdamonds"]
    goals = [one["contexts"][0]["intervals"]["intervals_goal"] for one in made]
    assert goals == [{"access_bp": 400, "aggrs": 3, "min_sample_us": 5000, "max_sample_us": 10_000_000}] * 2


def test_numa_nodes_become_regions() -> None:
    """The callable knows the memory of nodes; a node that does not exist is told."""
    ram = {0: [(100, 200)], 1: [(0, 50), (60, 70)]}
    made = compile_words(["--numa_node", "0", "1"], node_ram=lambda nid: ram[nid]).spec
    regions = made["kdamonds"][0]["contexts"][0]["targets"][0]["regions"]
    assert regions == [{"start": 0, "end": 50}, {"start": 60, "end": 70}, {"start": 100, "end": 200}]
    with pytest.raises(UsageError, match="--numa_node 7: this machine has no NUMA node 7"):
        compile_words(["--numa_node", "7"], node_ram=lambda nid: ram[nid])


@pytest.mark.parametrize(
    ("argv", "context"),
    [
        (["paddr"], {"ops": "paddr"}),
        (["1234"], {"ops": "vaddr", "targets": [{"pid": 1234}]}),
        (
            ["1234", "--regions", "1-2"],
            {"ops": "fvaddr", "targets": [{"pid": 1234, "regions": [{"start": 1, "end": 2}]}]},
        ),
        (["vaddr", "--target_pid", "5"], {"ops": "vaddr", "targets": [{"pid": 5}]}),
    ],
)
def test_deducible_targets(argv: list[str], context: dict[str, Any]) -> None:
    """Keywords and pids."""
    assert _context(*argv) == context


def test_a_command_is_recognised_and_never_started(tmp_path: Path) -> None:
    """It is given back as words for the caller; its pid stays open."""
    compiled = compile_words([f"touch {tmp_path}/started"])
    assert compiled.command == Command(f"touch {tmp_path}/started")
    assert compiled.spec["kdamonds"][0]["contexts"] == [{"ops": "vaddr", "targets": [{"pid": None}]}]
    assert not (tmp_path / "started").exists()


def test_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON and YAML; text, file, standard input, --kdamonds; with and without the outer map."""
    spec = {"kdamonds": [{"refresh_ms": "1 s", "contexts": [{"ops": "paddr"}]}]}
    yaml = "kdamonds:\n- refresh_ms: 1 s\n  contexts:\n  - ops: paddr\n"
    for name, text in (("a.json", json.dumps(spec)), ("b.yaml", yaml), ("c.yml", yaml)):
        (tmp_path / name).write_text(text)
        for argv in ([str(tmp_path / name)], ["--kdamonds", str(tmp_path / name)], [text], ["--kdamonds", text]):
            compiled = compile_words(argv)
            assert compiled.spec == spec, argv
            assert compiled.whole
    assert compile_words([json.dumps(spec["kdamonds"])]).spec == spec
    # A command whose last argument is such a file is a command, unless that is a file's name as a whole.
    assert compile_words(["cat with.json"]).command is not None
    (tmp_path / "cat a.json").write_text(json.dumps(spec))
    monkeypatch.chdir(tmp_path)
    assert compile_words(["cat a.json"]).spec == spec
    monkeypatch.setattr("sys.stdin", io.StringIO(yaml))
    assert compile_words(["-"]).spec == spec


def test_schemes_document() -> None:
    """--schemes gives the first context its schemes; beside --damos_* it is a contradiction."""
    text = '[{"action": "cold"}, {"action": "stat"}]'
    assert [one["action"] for one in _context("--schemes", text, "paddr")["schemes"]] == ["cold", "stat"]
    with pytest.raises(UsageError, match="cannot be combined"):
        _context("-c", text, "--damos_action", "stat")


@pytest.mark.parametrize(
    ("argv", "kind", "words"),
    [
        (["padr"], NotFound, "did you mean 'paddr'"),
        (["no_such_file.json"], NotFound, "no_such_file.json is neither a file nor JSON or YAML"),
        (['{"kdamonds": [}'], UsageError, "the given text:1:15: this is not JSON"),
        (["kdamonds:\n- a: 1\n  a: 2\n"], UsageError, "the given text:3:3: key 'a' is there twice"),
        (["--kdamonds", "[]", "--ops", "paddr"], UsageError, "nothing can stand beside it, not --ops paddr"),
        (["1", "2"], UsageError, "'1 2': one target at most"),
        (["12", "--ops", "paddr"], UsageError, "--ops paddr monitors physical memory, not '12'"),
        (["paddr", "--ops", "vaddr", "--target_pid", "1"], UsageError, "contradicts --ops vaddr"),
        (["12", "--kdamond", "--ops", "paddr", "--kdamond"], UsageError, "for one context, but the options make 2"),
        (['{"a": 1}'], UsageError, "is not a kdamonds spec"),
    ],
)
def test_wrong_targets(argv: list[str], kind: type[DamodError], words: str) -> None:
    """What is no target, no document, or contradicts the options."""
    with pytest.raises(kind, match=None) as caught:
        compile_words(argv)
    assert words in caught.value.message


def test_all_wrong_values_at_once() -> None:
    """Option, what was given, what is allowed, what may have been meant."""
    argv = (
        "--ops padr --damos_action pageot --damos_age 5x max --damos_filter allow anom --damos_quota_goal psi 3 "
        "--damos_wmarks free 5s 50% 40% 20% --regions 5 --damos_quota_goal node_mem_used_bp 5% --target_pid -3"
    )
    with pytest.raises(UsageError) as caught:
        compile_words(argv.split())
    problems = "\n".join(caught.value.facts["problems"])
    for words in (
        "--ops padr: 'padr' is not one of vaddr, paddr, fvaddr; did you mean 'paddr'?",
        "--damos_action pageot: 'pageot' is not an action (willneed, cold, pageout,",
        "did you mean 'pageout'?",
        "--damos_age 5x max: '5x': unknown time unit 'x'",
        "--damos_filter allow anom: 'anom' is not a filter type (anon, active,",
        "--damos_quota_goal psi 3: 'psi' is not a metric (user_input, some_mem_psi_us,",
        "'free' is not one of none, free_mem_rate; did you mean 'free_mem_rate'?",
        "--regions 5: '5' is not <start>-<end>",
        "--damos_quota_goal node_mem_used_bp 5%: node_mem_used_bp needs <node id>, got nothing",
        "--target_pid -3: '-3' is negative",
    ):
        assert words in problems
    assert len(caught.value.facts["problems"]) == 9


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--damos_action stat --damos_age 5s 1s", "--damos_age 5s 1s: age: min is above max (5 s > 1 s)"),
        ("--monitoring_intervals 5ms 1ms 1s", "--monitoring_intervals 5ms 1ms 1s: aggr_us (1,000) is below sample_us"),
        ("--monitoring_nr_regions_range 20 10", "--monitoring_nr_regions_range 20 10: min (20) is above max (10)"),
        (
            "--damos_action stat --damos_quota_goal some_mem_psi_us 10ms",
            "--damos_quota_goal some_mem_psi_us 10ms: goals need a reset_interval_ms",
        ),
        ("--ops vaddr", "--ops vaddr: vaddr needs a pid in target 0"),
        (
            "--damos_action stat --damos_filter allow addr 8K 4K",
            "--damos_filter allow addr 8K 4K: start (8,192) is not",
        ),
    ],
)
def test_judgements_are_told_in_option_names(argv: str, message: str) -> None:
    """The spec judges by path; the user gave options."""
    compiled = compile_words(argv.split())
    with pytest.raises(SpecInvalid) as caught:
        parse_kdamonds(compiled.spec)
    told = explain(caught.value, compiled.given)
    assert isinstance(told, UsageError)
    assert told.message.startswith(message)


def test_several_judgements_at_once() -> None:
    """All of them, each with its own option."""
    compiled = compile_words(
        ["--damos_action", "stat", "--damos_age", "5s", "1s", "--damos_sz_region", "8K", "4K", "--regions", "3-1"]
    )
    with pytest.raises(SpecInvalid) as caught:
        parse_kdamonds(compiled.spec)
    lines = explain(caught.value, compiled.given).message.splitlines()
    assert lines[0] == "3 problems in the options:"
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        "--regions 3-1",
        "--damos_sz_region 8K 4K",
        "--damos_age 5s 1s",
    ]
