"""From the words of a command line to a plain kdamonds spec: ``{"kdamonds": [...]}``, values in the kernel's units.

The spec leaves out what was not given; `damod.spec` knows the defaults and judges the whole. What was given where is
kept (`Compiled.given`), so that a judgement about a spec path can be told in the option's name (`explain`), and so that
`tune` can change just that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from damoctl.flags import phrase
from damoctl.flags.deduce import Command, Deduced, deduce, read_document
from damoctl.flags.group import LEVELS, Grouped, Item, group, show
from damoctl.flags.option import Option, Use, Word, read_use, read_word
from damoctl.flags.table import COUNTS, OPTIONS
from damoctl.flags.words import Line, parse, problems_error
from damod.errors import DamodError, FeatureMissing, NotFound, SpecInvalid, UsageError

NodeRam = Callable[[int], list[tuple[int, int]]]
_QUOTA_PARTS = ("--damos_quota_interval", "--damos_quota_time", "--damos_quota_space", "--damos_quota_weights")
_DEFAULT_RESET_MS = 1000


class Given(NamedTuple):
    """A value that the user gave: where it went, what it is, and the option's use."""

    path: str
    value: Any
    use: Use


class Compiled(NamedTuple):
    """What a command line says about DAMON, and the words that are the command's own.

    `whole` tells that the spec was given as a document; `anything` that the line says anything about DAMON at all.
    A `command` is the target at kdamond 0, context 0, target 0, whose pid is missing in `spec`.
    """

    spec: dict[str, Any]
    line: Line
    given: list[Given]
    notes: list[str]
    command: Command | None = None
    ongoing: bool = False
    whole: bool = False
    anything: bool = False


def _no_nodes(nid: int) -> list[tuple[int, int]]:
    raise LookupError(nid)


class _Builder:
    """Makes plain dicts from grouped options, and collects what is wrong."""

    def __init__(self, node_ram: NodeRam, partial: bool) -> None:
        self.node_ram = node_ram
        self.partial = partial
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.given: list[Given] = []
        self.said: dict[str, Use] = {}

    def say(self, use: Use, exc: Exception) -> None:
        self.problems.append(f"{use}: {exc}")

    def read(self, use: Use, function: Callable[..., Any], *args: Any) -> Any:
        """The value of a phrase, None if it is wrong."""
        try:
            return function(*args)
        except ValueError as exc:
            self.say(use, exc)
            return None

    def set(self, into: dict[str, Any], at: str, path: str, value: Any, use: Use) -> None:
        full = f"{at}.{path}"
        earlier = self.said.setdefault(full, use)
        if earlier is not use and not isinstance(value, list) and earlier.option is not use.option:
            self.problems.append(f"{use}: {earlier} says the same already")
            return
        phrase.put(into, path, value)
        self.given.append(Given(full, value, use))

    def plain(self, into: dict[str, Any], at: str, use: Use) -> None:
        """Options whose words go to a path each."""
        values, wrong = read_use(use)
        self.problems += wrong
        for index, value in enumerate(values):
            word = use.option.word(index)
            if word.path and value is not None:
                self.set(into, at, word.path, value, use)

    def kdamond(self, item: Item, at: str) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for use in item.uses:
            self.plain(made, at, use)
        contexts = item.of("ctx") or [Item("ctx")]
        made["contexts"] = [self.context(ctx, f"{at}.contexts[{index}]") for index, ctx in enumerate(contexts)]
        return made

    def context(self, item: Item, at: str) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for use in item.uses:
            if use.option.name == "--sample_primitives":
                self._primitives(made, at, use)
            elif use.option.name.startswith("--exp_ops_"):
                self._experimental(made, at, use)
            else:
                self.plain(made, at, use)
        targets = [self.target(part, f"{at}.targets[{index}]") for index, part in enumerate(item.of("target"))]
        if targets:
            made["targets"] = targets
        if "ops" not in made:
            made["ops"] = "vaddr" if any("pid" in target for target in targets) else "paddr"
        probes = [self.probe(part, f"{at}.probes[{index}]") for index, part in enumerate(item.of("probe"))]
        if probes:
            made["probes"] = probes
        schemes = [self.scheme(part, f"{at}.schemes[{index}]") for index, part in enumerate(item.of("scheme"))]
        if schemes:
            made["schemes"] = schemes
        return made

    def _primitives(self, made: dict[str, Any], at: str, use: Use) -> None:
        names, wrong = read_use(use)
        self.problems += wrong
        if len(set(names)) > 1:
            self.problems.append(f"{use}: page_table and page_fault exclude each other")
        value = {"page_table": "page_table" in names, "page_fault": "page_fault" in names}
        self.set(made, at, "sample_control.primitives_enabled", value, use)

    def _experimental(self, made: dict[str, Any], at: str, use: Use) -> None:
        values, wrong = read_use(use)
        self.problems += wrong
        if wrong:
            return
        name, value = use.option.key.removeprefix("exp_ops_"), values[0]
        if name == "use_reports":
            primitives = {"page_table": not value, "page_fault": value}
            self.set(made, at, "sample_control.primitives_enabled", primitives, use)
            return
        kinds = {"write_only": ("write", ""), "cpus": ("cpumask", "cpumask"), "tids": ("threads", "tid_arr")}
        kind, key = kinds[name]
        if name == "write_only" and not value:
            return
        item = {"filter_type": kind, "matching": True, "allow": True, **({key: value} if key else {})}
        known = made.get("sample_control", {}).get("sample_filters", [])
        self.set(made, at, "sample_control.sample_filters", [*known, item], use)

    def target(self, item: Item, at: str) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for use in item.uses:
            if use.option.name == "--target_pid":
                pid = self.read(use, read_word, Word("pid", "pid"), use.words[0])
                if pid is not None:
                    self.set(made, at, "pid", pid, use)
                continue
            ranges = (
                self.read(use, phrase.regions, use.words[0]) if use.option.name == "--regions" else self._nodes(use)
            )
            if ranges is not None:
                merged = sorted(made.get("regions", []) + ranges, key=lambda part: (part["start"], part["end"]))
                self.set(made, at, "regions", merged, use)
        return made

    def _nodes(self, use: Use) -> list[dict[str, int]] | None:
        nids, wrong = read_use(use)
        self.problems += wrong
        found = []
        for nid in dict.fromkeys(nids):
            if nid is None:
                return None
            try:
                found += [{"start": start, "end": end} for start, end in self.node_ram(nid)]
            except LookupError:
                self.problems.append(f"{use}: this machine has no NUMA node {nid}")
        return found

    def probe(self, item: Item, at: str) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for use in item.uses:
            name = use.option.name
            if name == "--probe_weight":
                weight = self.read(use, read_word, Word("number", "count"), use.words[0])
                if weight is not None:
                    self.set(made, at, "weight", weight, use)
            elif name == "--probe_prep":
                prep = self.read(use, read_word, use.option.words[0], use.words[0])
                if prep is not None:
                    self.set(made, at, "preps", [*made.get("preps", []), {"prep_action": prep}], use)
            else:
                found = self.read(use, phrase.probe_filters, use.words)
                if found is not None:
                    self.set(made, at, "filters", [*made.get("filters", []), *found], use)
        return made

    def scheme(self, item: Item, at: str) -> dict[str, Any]:
        made: dict[str, Any] = {}
        if not item.named("--damos_action") and item.uses and not self.partial:
            shown = ", ".join(map(str, item.uses))
            self.problems.append(f"{shown}: no --damos_action says what to do there")
        parts = item.named(*_QUOTA_PARTS)
        if parts and item.named("--damos_quotas"):
            self.problems.append(f"{item.named('--damos_quotas')[0]} cannot be combined with {parts[0]}")
        for use in item.uses:
            name = use.option.name
            if name == "--damos_action":
                for path, value in (self.read(use, phrase.action, use.words) or {}).items():
                    self.set(made, at, path, value, use)
            elif name in ("--damos_filter", "--damos_quota_goal"):
                path = "filters" if name == "--damos_filter" else "quotas.goals"
                if name == "--damos_filter":
                    found = self.read(use, phrase.filters, use.words)
                else:
                    one = self.read(use, phrase.goal, use.words)
                    found = None if one is None else [one]
                if found is not None:
                    known = made.get("filters", []) if path == "filters" else made.get("quotas", {}).get("goals", [])
                    self.set(made, at, path, [*known, *found], use)
            else:
                self.plain(made, at, use)
        if not self.partial:
            self._quota_defaults(made, parts)
        return made

    def _quota_defaults(self, made: dict[str, Any], parts: list[Use]) -> None:
        names = {use.option.name for use in parts}
        if not names:
            return
        quotas = made.setdefault("quotas", {})
        if "--damos_quota_weights" not in names:
            quotas["weights"] = {"sz_permil": 1, "nr_accesses_permil": 1, "age_permil": 1}
        if "--damos_quota_interval" not in names and names != {"--damos_quota_weights"}:
            quotas["reset_interval_ms"] = _DEFAULT_RESET_MS
            self.notes.append(f"{parts[0]}: the limit holds each second (--damos_quota_interval says otherwise)")


def _weights_apart(uses: list[Use]) -> list[Use]:
    """``--probe_weight 3 1`` as two uses, one per probe; a use of one word stays where it is."""
    if all(len(use.words) == 1 for use in uses if use.option.name == "--probe_weight"):
        return uses
    return [use for use in uses if use.option.name != "--probe_weight"]


def _listed_weights(uses: list[Use], grouped: Grouped, problems: list[str]) -> None:
    """Give the words of all --probe_weight to the probes by number."""
    lists = [use for use in uses if use.option.name == "--probe_weight"]
    if all(len(use.words) == 1 for use in lists):
        return
    words = [(word, use) for use in lists for word in use.words]
    probes = [probe for kdamond in grouped.kdamonds for ctx in kdamond.children for probe in ctx.of("probe")]
    if len(words) > len(probes):
        problems.append(f"{lists[0]}: {len(words)} weights for {len(probes)} probes")
    for probe, (word, use) in zip(probes, words, strict=False):
        probe.uses.append(use._replace(words=(word,)))


def _place_target(made: list[dict[str, Any]], deduced: Deduced, word: str, given: list[Given]) -> None:
    """Put a keyword, pid or command into the one context of the command line."""
    contexts = [ctx for kdamond in made for ctx in kdamond["contexts"]]
    if len(contexts) != 1:
        raise UsageError(
            f"{word!r} says what to monitor for one context, but the options make {len(contexts)}",
            hint="say it with --ops, --target_pid or --regions for each context",
        )
    ctx = contexts[0]
    ops_given = any(item.path.endswith(".ops") for item in given)
    if deduced.ops:
        if ops_given and ctx["ops"] != deduced.ops:
            raise UsageError(f"{word!r} contradicts --ops {ctx['ops']}")
        ctx["ops"] = deduced.ops
        return
    targets = ctx.setdefault("targets", [{}])
    if targets[0].get("pid") is not None:
        raise UsageError(f"{word!r} contradicts --target_pid {targets[0]['pid']}")
    if ops_given and ctx["ops"] == "paddr":
        raise UsageError(f"--ops paddr monitors physical memory, not {word!r}", hint="leave one of both out")
    targets[0]["pid"] = deduced.pid
    if not ops_given:
        ctx["ops"] = "fvaddr" if targets[0].get("regions") else "vaddr"


def _document_kdamonds(document: Any, word: str) -> list[Any]:
    if isinstance(document, dict) and set(document) == {"kdamonds"}:
        document = document["kdamonds"]
    if not isinstance(document, list):
        raise UsageError(
            f'{word!r} is not a kdamonds spec: {{"kdamonds": [...]}} or a list',
            hint="`damoctl args damon` prints one to start from",
        )
    return document


def _globals(made: list[dict[str, Any]], uses: Sequence[Use], builder: _Builder) -> None:
    contexts = [
        (f"kdamonds[{k}].contexts[{c}]", ctx)
        for k, kdamond in enumerate(made)
        for c, ctx in enumerate(kdamond["contexts"])
    ]
    targets = [
        (f"{at}.targets[{index}]", target)
        for at, ctx in contexts
        for index, target in enumerate(ctx.get("targets", []))
    ]
    for use in uses:
        if use.option.name == "--monitoring_intervals_autotune":
            goal = {"access_bp": 400, "aggrs": 3, "min_sample_us": 5000, "max_sample_us": 10_000_000}
            for at, ctx in contexts:
                builder.set(ctx, at, "intervals.intervals_goal", goal, use)
            continue
        items, path = (contexts, "pause") if use.option.name == "--pause_ctx" else (targets, "obsolete")
        values, wrong = read_use(use)
        builder.problems += wrong
        for index in values:
            if index is not None and index >= len(items):
                builder.problems.append(f"{use}: there is no index {index}, only {len(items)} of them")
            elif index is not None:
                builder.set(items[index][1], items[index][0], path, True, use)


def _wrong_words(line: Line) -> list[str]:
    """What is wrong with single options, for a line that cannot be read as a whole: how they group is not judged."""
    builder = _Builder(_no_nodes, partial=True)
    uses = [use for use in line.uses if use.option.level in LEVELS and use.option.name != "--numa_node"]
    for index, item in enumerate(group(_weights_apart(uses), {}).kdamonds):
        builder.kdamond(item, f"kdamonds[{index}]")
    return builder.problems


def parse_line(argv: Sequence[str], own: Iterable[Option] = ()) -> Line:
    """Tokenise a command line of group P and a command's `own` options. Raises UsageError with all that is wrong."""
    return parse(argv, [*OPTIONS, *own], also=_wrong_words)


def compile_line(line: Line, *, node_ram: NodeRam | None = None, partial: bool = False) -> Compiled:
    """Compile a tokenised command line. Raises UsageError with all problems, or what `deduce` raises."""
    builder = _Builder(node_ram or _no_nodes, partial)
    own = [use for use in line.uses if use.option.level in (*LEVELS, "global")]
    counts: dict[str, list[int]] = {}
    for use in line.uses:
        if use.option.name in COUNTS:
            values, wrong = read_use(use)
            builder.problems += wrong
            counts.setdefault(use.option.name, []).extend(value for value in values if value is not None)
    documents = [use for use in line.uses if use.option.level == "whole"]
    if len(line.rest) > 1:
        builder.problems.append(f"{' '.join(line.rest)!r}: one target at most; quote a command with its words")
    if builder.problems:
        raise problems_error("the options", [*builder.problems, *_wrong_words(line)])
    target = deduce(line.rest[0]) if line.rest else Deduced()
    whole = next((use for use in documents if use.option.name == "--kdamonds"), None)
    if target.document is not None or whole:
        return _whole(line, own, counts, documents, target)
    had_counts = bool(counts)
    grouped = group(_weights_apart(own), counts)
    builder.notes += grouped.notes
    builder.problems += grouped.problems
    _listed_weights(own, grouped, builder.problems)
    made = [builder.kdamond(item, f"kdamonds[{index}]") for index, item in enumerate(grouped.kdamonds)]
    _globals(made, grouped.globals, builder)
    for use in documents:
        schemes = read_document(use.words[0])
        if isinstance(schemes, dict) and set(schemes) == {"schemes"}:
            schemes = schemes["schemes"]
        if not isinstance(schemes, list):
            builder.problems.append(f"{use}: not a list of schemes")
        elif made[0]["contexts"][0].get("schemes"):
            builder.problems.append(f"{use}: cannot be combined with --damos_* options")
        else:
            builder.set(made[0]["contexts"][0], "kdamonds[0].contexts[0]", "schemes", schemes, use)
    if builder.problems:
        below = show(grouped.kdamonds) if grouped.problems else ""
        raise problems_error("the options", builder.problems, below=below)
    if line.rest and not target.ongoing:
        _place_target(made, target, line.rest[0], builder.given)
    if sum(len(kdamond["contexts"]) for kdamond in made) > len(made):
        raise UsageError(
            "more than one context in a kdamond, which no kernel so far takes" + show(grouped.kdamonds),
            hint="begin a kdamond of its own with --kdamond, or say --nr_ctxs 1 1",
        )
    return Compiled(
        {"kdamonds": made},
        line,
        builder.given,
        builder.notes,
        target.command,
        target.ongoing,
        False,
        bool(own or had_counts or documents or (line.rest and not target.ongoing)),
    )


def _whole(
    line: Line, own: Sequence[Use], counts: dict[str, list[int]], documents: Sequence[Use], target: Deduced
) -> Compiled:
    sources = [*(str(use) for use in documents), *(line.rest if target.document is not None else [])]
    beside = [*map(str, own), *counts, *(line.rest if target.document is None else [])]
    if len(sources) > 1 or beside:
        source = sources[0] if len(sources[0]) < 60 else "the whole spec"
        raise UsageError(
            f"{source} says everything; nothing can stand beside it, not {', '.join([*sources[1:], *beside])}",
            hint="`damoctl args damon` turns options into a spec that can be edited",
        )
    document = target.document if target.document is not None else read_document(documents[0].words[0])
    kdamonds = _document_kdamonds(document, line.rest[0] if line.rest else documents[0].words[0])
    return Compiled({"kdamonds": kdamonds}, line, [], [], whole=True, anything=True)


def compile_words(
    argv: Sequence[str], *, own: Iterable[Option] = (), node_ram: NodeRam | None = None, partial: bool = False
) -> Compiled:
    """Compile the words of a command line of group P and a command's `own` options (of level "command").

    `node_ram` gives the memory of a NUMA node as [start, end) ranges and raises LookupError if there is no such node.
    With `partial`, scheme options need no action and no defaults are filled in.
    """
    return compile_line(parse_line(argv, own), node_ram=node_ram, partial=partial)


def explain(problem: DamodError, given: Sequence[Given]) -> DamodError:
    """A judgement about spec paths, told in the names of the options that set them."""
    if isinstance(problem, FeatureMissing) and problem.facts.get("missing"):
        return _explain_missing(problem, given)
    if not isinstance(problem, (SpecInvalid, NotFound)) or not problem.facts.get("problems") or not given:
        return problem
    lines = []
    for item in problem.facts["problems"]:
        path, message = str(item["path"]), str(item["message"])
        lines.append(f"{_who(path, message, given)}: {message}")
    lines = list(dict.fromkeys(lines))
    if isinstance(problem, NotFound):
        return NotFound(problems_error("the options", lines).message, hint=problem.hint, **problem.facts)
    return problems_error("the options", lines, hint=problem.hint)


def _explain_missing(problem: FeatureMissing, given: Sequence[Given]) -> FeatureMissing:
    """Everything that the kernel lacks, a line each, with the release that has it."""
    lines = []
    for item in problem.facts["missing"]:
        since = f"Linux {item['since']}" if item.get("since") else "no released Linux yet"
        lines.append(f"{_who(str(item['path']), '', given)} needs {item['feature']} ({since})")
    lines = list(dict.fromkeys(lines))
    kernel = problem.message.partition("which this kernel ")[2].partition(" does not")[0]
    shown = f" {lines[0]}" if len(lines) == 1 else "".join(f"\n  {line}" for line in lines)
    return FeatureMissing(f"this kernel {kernel} lacks what is asked for:{shown}", hint=problem.hint, **problem.facts)


def _who(path: str, message: str, given: Sequence[Given]) -> str:
    """The uses that set a path or something within it; the path itself if no option did."""
    uses = [one.use for one in given if one.path == path or path.startswith((f"{one.path}.", f"{one.path}["))]
    return ", ".join(map(str, dict.fromkeys(uses[-1:] or _below(path, message, given)))) or path


def _below(path: str, message: str, given: Sequence[Given]) -> list[Use]:
    """The options that set something within `path`, those first whose field the message names."""
    within = [one for one in given if one.path.startswith((f"{path}.", f"{path}["))]
    named = [one for one in within if one.path.rsplit(".", 1)[-1] in message]
    return [one.use for one in named or within]
