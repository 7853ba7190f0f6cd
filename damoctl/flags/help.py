"""The option tables as text: usage lines, `--help`, `damoctl help ...`, and the page docs/options.md."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from damoctl.examples import of
from damoctl.flags.option import KINDS, Option, Word
from damoctl.flags.table import OPTIONS, TARGET_ABOUT

_COLUMN = 28
_TITLES = {"monitoring": "what to monitor, and how closely", "damos": "what to do to which memory (DAMOS)"}
# Enough for a first use; the others are one command away.
_COMMON = (
    "--ops", "--target_pid", "--regions", "--numa_node", "--monitoring_intervals", "--monitoring_intervals_goal",
    "--monitoring_nr_regions_range", "--damos_action", "--damos_sz_region", "--damos_access_rate", "--damos_age",
    "--damos_quota_interval", "--damos_quota_time", "--damos_quota_space", "--damos_quota_goal", "--damos_filter",
)  # fmt: skip


def raw_units(option: Option) -> str:
    """What bare numbers mean: ``bare numbers are us``, or ``bare <time> is in ms, <size> in bytes``."""
    raw = {word.metavar: KINDS[word.kind].raw for word in option.words if KINDS[word.kind].raw}
    if len(set(raw.values())) < 2:
        return f"bare numbers are {next(iter(raw.values()))}" if raw else ""
    return "bare " + ", ".join(f"<{metavar}> is in {unit}" for metavar, unit in raw.items())


def kernels(option: Option) -> str:
    """``Linux 6.17 or later``; nothing for what every kernel with DAMON has."""
    if not option.since:
        return ""
    return "no released kernel has it" if option.since == "none" else f"Linux {option.since} or later"


def bounds(option: Option) -> str:
    """``at most 1,000``, of the option's numbers."""
    most = max((word.most for word in option.words), default=0)
    return f"at most {most:,}" if most else ""


def remarks(option: Option) -> str:
    """What stands in brackets after the help text."""
    default = f"default: {option.default}" if option.default else ""
    return "; ".join(filter(None, (raw_units(option), bounds(option), default, kernels(option))))


def entry(option: Option, width: int = 100) -> list[str]:
    """The lines of one option in a help text."""
    names = ", ".join([option.synopsis(), *option.names[1:]])
    said = remarks(option)
    text = f"{option.about} ({said})" if said else option.about
    body = textwrap.wrap(text, width - _COLUMN, break_long_words=False)
    if len(names) + 4 <= _COLUMN:
        lines = [f"  {names}".ljust(_COLUMN) + body[0]]
        body = body[1:]
    else:
        lines = textwrap.wrap(names, width, initial_indent="  ", subsequent_indent="      ", break_on_hyphens=False)
    return lines + [" " * _COLUMN + line for line in body]


def options_help(options: Iterable[Option], width: int = 100) -> str:
    """The help of some options, one after the other."""
    return "\n".join(line for option in options for line in entry(option, width))


def of_category(category: str) -> list[Option]:
    """The options of group P that are about "monitoring", "damos" or "all"."""
    return [option for option in OPTIONS if category in ("all", option.category)]


def param_options(category: str = "all", width: int = 100) -> str:
    """Text of `damoctl help damon_param_options`."""
    parts = [f"target\n{textwrap.indent(textwrap.fill(TARGET_ABOUT, width - 2), '  ')}"]
    for name, title in _TITLES.items():
        if category in ("all", name):
            parts.append(f"{title}\n{options_help(of_category(name), width)}")
    return "\n\n".join(parts[category == "damos" :])


def command_help(
    command: str,
    about: str,
    examples: str = "",
    own: Sequence[Option] = (),
    groups: Sequence[tuple[str, Sequence[Option]]] | None = None,
    width: int = 100,
) -> str:
    """``--help`` of a command: its own options, then the usual ones of the groups (default: group P with a target).

    Hidden options are left out; a last line tells where the rest is.
    """
    parts = []
    if groups is None:
        parts.append(f"usage: damoctl {command} [options] [target]\n\n{about}")
        parts += filter(None, [of(command, examples)])
        parts.append(f"target\n{textwrap.indent(textwrap.fill(TARGET_ABOUT, width - 2), '  ')}")
        usual = [option for option in OPTIONS if option.name in _COMMON]
        groups = [(title, [one for one in usual if one.category == name]) for name, title in _TITLES.items()]
        more = "\n\n`damoctl help damon_param_options` has all options, units and kernels."
    else:
        parts.append(f"usage: damoctl {command} [options]\n\n{about}")
        parts += filter(None, [of(command, examples)])
        more = ""
    for title, options in (("options", own), *groups):
        shown = [option for option in options if not option.hidden]
        if shown:
            parts.append(f"{title}\n{options_help(shown, width)}")
    return "\n\n".join(parts) + more


def awaited(words: Sequence[str], options: Iterable[Option]) -> Word | None:
    """What an option further left takes where the last word is being typed; None where none must have a word there."""
    known = {name: option for option in options for name in option.names}
    for back in range(2, len(words) + 1):
        option = known.get(words[-back])
        if option is not None:
            if option.words and back - 2 < option.at_most:
                word = option.word(back - 2)
                return word if word.choices or back - 2 < option.at_least else None
            return None
    return None


def candidates(words: Sequence[str], options: Sequence[Option]) -> list[str]:
    """What may stand where the last word is being typed: option names, or keywords of the option before."""
    last = words[-1] if words else ""
    word = awaited(words, options)
    if word is not None:
        return [choice for choice in word.choices if choice.startswith(last)]
    names = [name for option in options if not option.hidden for name in option.names]
    return sorted(name for name in names if name.startswith(last)) if last else []


_PAGE_HEAD = """\
# Options of the DAMON parameters

Taken by `damoctl start`, `tune`, `record` and `args damon`. This page is made from `damoctl/flags/table.py`
by `damoctl.flags.help.page`, and a test compares; `damoctl help damon_param_options` prints the same.

## Which option belongs to what

A kdamond has contexts (every kernel so far: exactly one), a context has targets, probes and schemes. An option belongs
to the item that was begun last before it: by a start marker (`--kdamond`, `--damon_ctx`, `--damon_target`, `--probe`,
`--damos_scheme`), or by the option that every item has once: a second `--ops` begins a second context, a second
`--target_pid` a second target, a second `--damos_action` a second scheme. Options before the first item are the first
item's.

```console
$ damoctl start --take_over --damos_action lru_prio   --damos_access_rate 50% max --damos_age 5s max \\
                            --damos_action lru_deprio --damos_access_rate 0% 0%   --damos_age 5s max
started kdamond 0 (pid ...) of adhoc
```

`damo` reads by number: the n-th `--damos_age` is that of the n-th scheme. That reading is taken, with a note, only
where one item would otherwise have an option twice and the numbers fit exactly: all uses stand after all items' starts
(`--damos_action a --damos_action b --damos_age 1s 2s --damos_age 3s 4s`), or before them, or each before its own.

Counts (`--nr_schemes 1 1`: one scheme in each of two contexts) may be given too. They decide where the order says
nothing, and must agree with it, and always with markers, otherwise. A contradiction is an error that shows how the
words were grouped.

## Numbers

Sizes: `4096`, `4K`, `1.5 GiB`, `0x1000`; all units are powers of 1024. Times: `5ms`, `1.5 s`, `1h2m`. Shares: `4%`.
Access rates: `5%`, `3 samples`, `50hz` (at the context's sampling interval). Ages: `5s`, `3 aggr_intervals`. `min` and
`max` anywhere. A bare number means what it means to `damo`, and that differs by option: see below.

## What differs from damo

- Options never start a command, and never write to the kernel, in `args damon`.
- `--damos_quota_time` and `--damos_quota_space` without `--damos_quota_interval` hold per second; `damo` ignores them.
- `args damon` keeps `max_nr_snapshots`, writes the largest access rate as `18,446,744,073,709,551,615 %`, an unused
  `memcg_path` as null, and sizes that three decimals cannot hold with six or as bytes.
- `args damon --raw` prints numbers in each field's own unit, so that they can be read back.
- Nothing is ignored: what contradicts, or has no effect beside a whole spec, is an error.
- A whole spec as text has at most 4 MiB, and as YAML neither aliases (`*name`) nor a key twice; `--nr_*` options
  make at most 4,096 items. None of these is larger than what damod would take.
"""


def page() -> str:
    """Text of docs/options.md."""
    lines = [_PAGE_HEAD]
    for name, title in _TITLES.items():
        lines.append(f"## {title[0].upper()}{title[1:]}\n")
        for option in of_category(name):
            names = ", ".join(f"`{spelling}`" for spelling in [option.synopsis(), *option.names[1:]])
            said = remarks(option)
            text = f"{option.about} ({said})" if said else option.about
            lines += [f"- {names}  ", textwrap.fill(text, 116, initial_indent="  ", subsequent_indent="  ")]
        lines.append("")
    return "\n".join(lines)
