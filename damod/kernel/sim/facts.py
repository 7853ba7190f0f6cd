"""What the kernels look like that can be simulated: their trees, keywords, trace events and module parameters.

The facts were read off real kernels (Debian's, in virtual machines) and are kept as trimmed listings in `abi/`, one
file per release. `python -m damod.kernel.sim.facts DIRECTORY` writes those files again from the full listings.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

VERSIONS = ("6.12", "6.16", "6.17", "6.18", "7.2", "7.3")

_HERE = Path(__file__).parent / "abi"
_FILE = re.compile(r"(\d00) (\S+) =(?: (.*))?")
_KEYWORDS = re.compile(r"([a-z_]+)(?: type| metric)?: (.+)")
_TRIED = re.compile(r"\d00 (?:\S+)/tried_regions/(\d+)/")
_COMMAND = re.compile(r"state <- (\w+) -> None .*")
_STAT_ON = "damon_stat enabled: Y"
_PROBE_FILTER = "kdamonds/0/contexts/0/monitoring_attrs/probes/0/filters/0/"


@dataclass(frozen=True)
class Facts:
    """One kernel. `tree` and `modules` map a path to (mode, default); in `tree` each list has one element, `0`.

    `keywords` has what each keyword file takes, by "action", "ops", "filters", "core_filters", "ops_filters", "goal",
    "wmark", "goal_tuner"; "probes" where there are probes. `events` maps a trace event's name to its format text.
    `commands` are those of the state file.
    `stat_on` says that damon_stat runs from boot. `odd_rows` says that directories of tried_regions are counted twice,
    so that their names are 1, 3, 5, ... and go on from there after they were cleared (6.16 to 6.18).
    """

    release: str
    tree: Mapping[str, tuple[int, str]]
    modules: Mapping[str, tuple[int, str]]
    keywords: Mapping[str, tuple[str, ...]]
    events: Mapping[str, str]
    commands: frozenset[str]
    stat_on: bool
    odd_rows: bool

    @property
    def version(self) -> tuple[int, int]:
        """(major, minor) of the release."""
        major, minor = self.release.split(".")[:2]
        return int(major), int(minor)


def load(version: str) -> Facts:
    """The facts of one of VERSIONS; ValueError names those that there are."""
    if version not in VERSIONS:
        raise ValueError(f"no kernel {version!r} to simulate (there are {', '.join(VERSIONS)})")
    return parse((_HERE / f"{version}.txt").read_text())


def _sections(text: str) -> dict[str, list[str]]:
    """Lines by their `## ` heading (the words before the first comma), those before any under ""."""
    found: dict[str, list[str]] = {"": []}
    here = found[""]
    for line in text.splitlines():
        if line.startswith("## "):
            here = found.setdefault(line[3:].split(",")[0], [])
        else:
            here.append(line)
    return found


def _files(lines: list[str]) -> Iterator[tuple[str, tuple[int, str]]]:
    for line in lines:
        match = _FILE.fullmatch(line.rstrip("\n"))
        if match:
            yield match[2], (int(match[1], 8), match[3] or "")


def parse(text: str) -> Facts:
    """Facts from a listing, full or trimmed."""
    parts = _sections(text)
    tree = dict(_files(parts["tree with one of everything"]))
    keywords = {}
    for line in parts["accepted keywords"]:
        match = _KEYWORDS.fullmatch(line)
        if match:
            keywords[match[1]] = tuple(match[2].split(" | ")[0].split())
    # The listing could not look into a probe's filters; usage.rst names their files and types.
    if any("/probes/" in path for path in tree):
        keywords["probes"] = ("anon", "memcg")
        tree |= {
            _PROBE_FILTER + name: (0o600, default)
            for name, default in (("type", "anon"), ("matching", "N"), ("allow", "N"), ("path", ""))
        }
    tried = [path for path, _ in _files(parts["running"]) if "/tried_regions/" in path and path.count("/") == 8]
    first = min((int(path.split("/")[7]) for path in tried), default=0)
    for path in tried:
        if path.split("/")[7] == str(first):
            tree["/".join([*path.split("/")[:7], "0", path.split("/")[8]])] = (0o400, "0")
    if "probes" in keywords:
        tree["kdamonds/0/contexts/0/schemes/0/tried_regions/0/probes/0/hits"] = (0o400, "0")
    events = {}
    for chunk in "\n".join(parts["tracepoints"]).split("### ")[1:]:
        name, _, body = chunk.partition("\n")
        events[name] = body.strip("\n") + "\n"
    return Facts(
        release=parts[""][0].removeprefix("# uname "),
        tree=tree,
        modules=dict(_files(parts["module parameters"])),
        keywords=keywords,
        events=events,
        commands=frozenset(("on", "off")).union(
            match[1] for line in parts["accepted keywords"] if (match := _COMMAND.fullmatch(line))
        ),
        stat_on=_STAT_ON in parts["accepted keywords"],
        odd_rows=first != 0,
    )


def trim(text: str) -> str:
    """A full listing without what is not used here: values of one run, all tried regions but the first."""
    out, section, rows = [], "", set()
    for line in text.splitlines():
        if line.startswith("## "):
            section = line[3:].split(",")[0]
        match = _TRIED.match(line)
        if match:
            rows.add(match[1])
        keep = (
            line.startswith("## ")
            or not section
            or (section == "running" and match is not None and len(rows) == 1)
            or section in ("tree with one of everything", "tracepoints")
            or (
                section == "accepted keywords"
                and (_KEYWORDS.fullmatch(line) or line.startswith(("state <- ", _STAT_ON)))
            )
            or section == "module parameters"
        )
        if keep and not line.startswith("#extra"):
            out.append(re.sub(r"(percentiles = )(\S+)", lambda m: m[1] + ",".join(m[2].split(",")[:3]), line))
    return "\n".join(out) + "\n"


def main(source: Path) -> None:
    """Write `abi/` again from full listings named VERSION.txt in `source`."""
    for version in VERSIONS:
        (_HERE / f"{version}.txt").write_text(trim((source / f"{version}.txt").read_text()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
