"""All man pages: damoctl(1), damod(8), damo.d(5) and damod.yaml(5)."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from damoctl.complete import _GLOBAL
from damoctl.flags.table import TARGET_ABOUT
from damoctl.reports import columns
from damod import __version__, errors
from damod.cli import parser as daemon_parser
from damod.settings import SETTINGS, Settings
from install.man import policy, reference
from install.man.roff import bold, heading, italic, literal, paragraph, plain, prose, subheading, term, terms, title

FILES = {
    "/run/damod/damod.sock": "The control socket; damod.socket opens it.",
    "/etc/damod.yaml": "The daemon's settings, see damod.yaml(5).",
    "/etc/damo.d, /run/damo.d, /usr/lib/damo.d": "Policies, see damo.d(5).",
    "/var/lib/damod/records": "Records that are made in the background.",
    "/run/damod": "Which kdamonds are damod's, until reboot.",
}


def pages() -> dict[str, str]:
    """name.section -> roff."""
    makers: dict[str, Callable[[], Iterator[str]]] = {
        "damoctl.1": _damoctl,
        "damod.8": _damod,
        "damo.d.5": policy.page,
        "damod.yaml.5": _settings,
    }
    return {name: "".join(maker()) for name, maker in makers.items()}


def exit_statuses() -> dict[int, str]:
    """Exit status -> what it means, from the errors' own classes."""
    found = {0: "All went well."}
    pending: list[type[errors.DamodError]] = [errors.DamodError]
    while pending:
        kind = pending.pop(0)
        pending += kind.__subclasses__()
        if kind is not errors.DamodError:
            found.setdefault(kind.exit_status, (kind.__doc__ or "").strip().partition("\n")[0])
    found[1] = "Something was found: a difference, a problem in a file, a drift (`policy check|diff|verify`)."
    return dict(sorted(found.items()))


def _head(name: str, section: int, about: str) -> Iterator[str]:
    yield title(name, section, __version__)
    yield heading("NAME")
    yield f"{plain(name)} \\- {plain(about)}\n"


def _tail(*others: str) -> Iterator[str]:
    yield heading("FILES")
    yield from terms((italic(path), about) for path, about in FILES.items())
    yield heading("SEE ALSO")
    yield ", ".join(bold(name) + f"({section})" for name, section in (other.rsplit(".", 1) for other in others)) + "\n"


def _entries(found: tuple[reference.Entry, ...]) -> Iterator[str]:
    for entry in found:
        names = ", ".join(bold(name) for name in entry.names if name)
        yield term(" ".join(filter(None, [names, plain(entry.words)])), entry.about)


def _statuses() -> Iterator[str]:
    yield heading("EXIT STATUS")
    yield from terms((bold(str(status)), about) for status, about in exit_statuses().items())


def _damoctl() -> Iterator[str]:
    sections = list(reference.commands())
    yield from _head("damoctl", 1, "control Linux DAMON through damod")
    yield heading("SYNOPSIS")
    yield f"{bold('damoctl')} [{italic('options')}] {italic('command')} [{italic('arguments')}]\n"
    yield heading("DESCRIPTION")
    yield paragraph(
        "damoctl asks damod(8), the daemon that owns DAMON on this machine, over its control socket. DAMON tells which"
        " memory is used and which is not; schemes (DAMOS) act on it. Commands and options are those of `damo`.\n\n"
        "Root and the members of the operators' group may change things; the members of the viewers' group may look"
        " (damod.yaml(5))."
    )
    yield heading("OPTIONS")
    yield paragraph("Before the command:")
    yield from _entries(tuple(reference.of_option(option) for option in _GLOBAL))
    yield heading("COMMANDS")
    for section in sections:
        yield subheading(f"damoctl {' '.join(section.words)}")
        yield paragraph(section.about)
        if section.examples:
            yield literal(section.examples)
        yield from _entries(section.entries)
        if section.also:
            yield paragraph(f"It also takes {' and '.join(section.also)}, see below.")
    for name, entries in reference.shared():
        yield heading(name)
        if name == "DAMON PARAMETERS":
            yield term(italic("target"), TARGET_ABOUT)
        yield from _entries(entries)
    yield heading("FORMAT KEYWORDS")
    yield paragraph("What --format_record, --format_snapshot and --format_region replace.")
    for level in (columns.RECORD, columns.SNAPSHOT, columns.REGION):
        yield from terms((bold(name), keyword.about) for name, keyword in level.items())
    yield from _statuses()
    yield heading("ENVIRONMENT")
    yield term(bold("DAMOD_SOCKET"), "Where damod listens, unless --socket says so.")
    yield term(bold("NO_COLOR"), "No colours.")
    yield term(bold("DAMOD_DEBUG"), "Show where in the program an error came from.")
    yield from _tail("damod.8", "damo.d.5", "damod.yaml.5")


def _damod() -> Iterator[str]:
    words = daemon_parser()
    yield from _head("damod", 8, "the daemon that owns Linux DAMON")
    yield heading("SYNOPSIS")
    yield f"{bold('damod')} [{italic('options')}]\n"
    yield heading("DESCRIPTION")
    yield paragraph(
        "damod owns DAMON, the kernel's data access monitor, on this machine: it starts and stops kdamonds, keeps to"
        " the policies of damo.d(5), records and streams what monitoring finds, and adopts what runs over its own"
        " restarts. damoctl(1) is its client.\n\n"
        "It is started by systemd as damod.service, at boot or when somebody connects to damod.socket. Stopping or"
        " restarting it leaves its kdamonds running; `damoctl stop` ends them."
    )
    yield heading("OPTIONS")
    for action in words._actions:
        if action.option_strings:
            names = ", ".join(bold(name) for name in action.option_strings)
            value = f" {italic(str(action.metavar))}" if action.metavar else ""
            yield term(names + value, action.help or "")
    yield paragraph(words.epilog or "")
    yield heading("SIGNALS")
    yield term(bold("SIGHUP"), "Read settings and policies again, as `systemctl reload damod` does.")
    yield term(f"{bold('SIGTERM')}, {bold('SIGINT')}", "Stop within a second. The kdamonds run on.")
    yield heading("SYSTEMD")
    yield paragraph(
        "READY=1 is told after the first apply of the policies, or after their refusal was recorded. STATUS= names the"
        " socket, the kernel and what the policies do. With WatchdogSec= a sign of life is given while the event loop"
        " and the thread that writes to the kernel both get on; a write may take a minute and eight times the longest"
        " aggregation that runs."
    )
    yield from _statuses()
    yield from _tail("damoctl.1", "damo.d.5", "damod.yaml.5", "systemd.service.5")


def _settings() -> Iterator[str]:
    yield from _head("damod.yaml", 5, "settings of damod")
    yield heading("SYNOPSIS")
    yield f"{italic('/etc/damod.yaml')}\n"
    yield heading("DESCRIPTION")
    yield paragraph(
        "Lines of `name: value`. The command line wins over the environment, and that over this file; `damod --check`"
        " shows each setting with where its value comes from."
    )
    yield heading("SETTINGS")
    defaults = _system_defaults()
    for name, item in SETTINGS.items():
        about = item.metadata
        told = [f"{about['about']}."]
        if defaults.get(name):
            told.append(f"Default: `{defaults[name]}`.")
        told.append(f"Environment: `DAMOD_{name.upper()}`.")
        if about["flag"]:
            told.append(f"Option: `{about['flag']}`.")
        told.append("Taken over on reload." if about["live"] else "Changes need a restart.")
        yield f".TP\n{bold(name + ':')} {italic(about['metavar'])}\n{prose(' '.join(told))}\n"
    yield heading("EXAMPLE")
    yield literal("policy_check: 10s\nviewers: all\nlog_level: debug\n")
    yield from _tail("damod.8", "damoctl.1", "damo.d.5")


def _system_defaults() -> dict[str, str]:
    """Root's defaults, whoever makes the pages."""
    script = (
        "import os; os.geteuid = lambda: 0\n"
        "from damod.settings import SETTINGS, Settings, _shown\n"
        "for name in SETTINGS: print(name, _shown(getattr(Settings(), name)), sep='\\t')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    found = dict(line.split("\t", 1) for line in done.stdout.splitlines())
    assert set(found) == set(Settings.__dataclass_fields__)
    return {name: value for name, value in found.items() if value != "-"}


def main() -> int:
    words = argparse.ArgumentParser(prog="python -m install.man.pages", description="Write the man pages.")
    words.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "damod-man")
    out: Path = words.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (out / name).write_text(text)
        print(out / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
