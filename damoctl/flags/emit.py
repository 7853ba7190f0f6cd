"""The way back: from a spec to the words of a command line that make it.

Options whose words have a spec path come straight from the table; the little languages have their own writers here.
Start markers make the grouping plain.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from damoctl.flags.option import Option, Word
from damoctl.flags.table import FILTER_TYPES, GOAL_METRICS, OPTIONS, PROBE_FILTER_TYPES
from damod.errors import UsageError

if TYPE_CHECKING:
    from damod.spec.kdamond import Kdamond

# Said by --damos_quotas in one.
_COVERED = ("--damos_quota_interval", "--damos_quota_time", "--damos_quota_space", "--damos_quota_weights")


def _no_option(what: str) -> UsageError:
    return UsageError(f"no option says {what}", hint="use the spec itself, as JSON or YAML")


def _at(item: Any, path: str) -> Any:
    for step in path.split("."):
        item = item[int(step)] if step.isdigit() else item[step]
    return item


def _by_path(level: str) -> list[Option]:
    return [
        option
        for option in OPTIONS
        if option.level == level
        and option.words
        and all(word.path for word in option.words)
        and not option.hidden
        and option.name not in _COVERED
    ]


def _plain_options(level: str, item: Mapping[str, Any], default: Mapping[str, Any]) -> Iterator[str]:
    """The options of a level whose values are not at their default."""
    for option in _by_path(level):
        values = [_at(item, word.path) for word in option.words]
        if values != [_at(default, word.path) for word in option.words]:
            yield from (option.name, *map(str, values))


def _filter(item: Mapping[str, Any], types: Mapping[str, tuple[Word, ...]], none: str) -> list[str]:
    words = ["allow" if item["allow"] else "reject", *([] if item["matching"] else [none]), item["filter_type"]]
    return words + [str(_at(item, word.path)) for word in types[item["filter_type"]]]


def _goal(item: Mapping[str, Any]) -> list[str]:
    metric = item["metric"]
    words = [metric, str(item["target_value"]), *(["complement"] if item["complement"] else [])]
    known = {word.path for word in GOAL_METRICS[metric][1]}
    for name in ("nid", "memcg_path", "current_value"):
        if item[name] not in (None, 0) and name not in known:
            raise _no_option(f"{name} of a goal {metric}")
    return words + [str(item[word.path]) for word in GOAL_METRICS[metric][1]]


def _action(scheme: Mapping[str, Any]) -> list[str]:
    dests = scheme["dests"]
    if dests and scheme.get("target_nid") is not None:
        raise _no_option("both dests and target_nid")
    if dests:
        return [scheme["action"], *(str(dest[key]) for dest in dests for key in ("id", "weight"))]
    nid = scheme.get("target_nid")
    return [scheme["action"], *([] if nid is None else [str(nid)])]


def _scheme(scheme: Mapping[str, Any], default: Mapping[str, Any]) -> Iterator[str]:
    yield from ("--damos_scheme", "--damos_action", *_action(scheme))
    if scheme["quotas"]["effective_sz_bytes"]:
        raise _no_option("effective_sz_bytes, which the kernel tells")
    yield from _plain_options("scheme", {"max_nr_snapshots": 0, **scheme}, default)
    for goal in scheme["quotas"]["goals"]:
        yield from ("--damos_quota_goal", *_goal(goal))
    for item in scheme["filters"]:
        yield from ("--damos_filter", *_filter(item, FILTER_TYPES, "none"))


def _sample_control(control: Mapping[str, Any]) -> Iterator[str]:
    primitives = [name for name, on in control["primitives_enabled"].items() if on]
    if len(primitives) != 1:
        raise _no_option(f"{' and '.join(primitives) or 'no primitive'} enabled")
    if primitives != ["page_table"]:
        yield from ("--sample_primitives", *primitives)
    seen = set()
    for item in control["sample_filters"]:
        kind = item["filter_type"]
        if not (item["matching"] and item["allow"]) or kind in seen:
            raise _no_option(f"this sample filter: {item}")
        seen.add(kind)
        options = {"write": ("--exp_ops_write_only", "Y"), "cpumask": ("--exp_ops_cpus", item["cpumask"])}
        yield from options.get(kind, ("--exp_ops_tids", item["tid_arr"]))


def _target(target: Mapping[str, Any]) -> Iterator[str]:
    yield "--damon_target"
    if target["pid"] is not None:
        yield from ("--target_pid", str(target["pid"]))
    if target["regions"]:
        yield from ("--regions", " ".join(f"{region['start']}-{region['end']}" for region in target["regions"]))


def _probe(probe: Mapping[str, Any]) -> Iterator[str]:
    yield "--probe"
    for prep in probe["preps"]:
        yield from ("--probe_prep", prep["prep_action"])
    for item in probe["filters"]:
        yield from ("--probe_filter", *_filter(item, PROBE_FILTER_TYPES, "non"))
    yield from ("--probe_weight", str(probe["weight"]))


def _context(context: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[str]:
    yield from ("--damon_ctx", "--ops", context["ops"])
    yield from _plain_options("ctx", context, {**defaults["ctx"], "ops": context["ops"]})
    yield from _sample_control(context["sample_control"])
    if not context["targets"]:
        raise _no_option("a context without a target")
    for target in context["targets"]:
        yield from _target(target)
    for probe in context["probes"]:
        yield from _probe(probe)
    for scheme in context["schemes"]:
        yield from _scheme(scheme, defaults["scheme"])


def _marked(name: str, flags: Sequence[bool]) -> list[str]:
    chosen = [str(index) for index, flag in enumerate(flags) if flag]
    return [name, *chosen] if chosen else []


def emit(kdamonds: Iterable[Kdamond]) -> list[str]:
    """Words that `compile_words` turns into the same spec. Raises UsageError for what no option can say."""
    from damod.spec.kdamond import Context, Kdamond
    from damod.spec.plain import plain
    from damod.spec.scheme import Scheme

    model = plain([Kdamond(contexts=(Context(schemes=(Scheme(),)),))], raw=True)["kdamonds"][0]
    context = model["contexts"][0]
    defaults = {"kdamond": model, "ctx": context, "scheme": {"max_nr_snapshots": 0, **context["schemes"][0]}}
    words: list[str] = []
    made = plain((kdamond.without_status() for kdamond in kdamonds), raw=True)["kdamonds"]
    for kdamond in made:
        words += ["--kdamond", *_plain_options("kdamond", kdamond, model)]
        for item in kdamond["contexts"]:
            words += _context(item, defaults)
    contexts = [item for kdamond in made for item in kdamond["contexts"]]
    words += _marked("--pause_ctx", [item["pause"] for item in contexts])
    words += _marked("--obsolete_targets", [target["obsolete"] for item in contexts for target in item["targets"]])
    return words
