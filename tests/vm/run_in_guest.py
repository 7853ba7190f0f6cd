"""Run part of the test suite, or any command, inside a guest.

A host-side test boots one guest per kernel and module, lets pytest run there on the real DAMON, and reports what came
out; `run_pytest` is for that. For people there is a command line:

    python3 -m tests.vm.run_in_guest --kernel 6.12 --pytest tests/contract -k quota
    python3 -m tests.vm.run_in_guest --kernel newest --numa 1G,cpus=0-1 --numa 1G -- numactl -H
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.vm.guest import CHECKOUT, Guest, GuestError, GuestResult, compile_for_guest, story

Outcome = Literal["passed", "failed", "error", "skipped"]


@dataclass(frozen=True)
class Case:
    """One test that ran in the guest, and the text pytest has for it unless it passed."""

    name: str
    outcome: Outcome
    text: str = ""
    took_s: float = 0.0


@dataclass(frozen=True)
class GuestTests:
    """A pytest run inside a guest."""

    result: GuestResult
    cases: tuple[Case, ...]

    def check(self, *, may_skip: bool = False) -> None:
        """Raise AssertionError naming every guest test that did not pass, with pytest's own text for it.

        A test that skips inside a guest usually found no DAMON there, which is what the guest is for: it counts as
        a failure unless `may_skip`. So does a run without any test.
        """
        fine = {"passed", "skipped"} if may_skip else {"passed"}
        bad = [case for case in self.cases if case.outcome not in fine]
        if bad:
            listing = "\n\n".join(f"{case.outcome.upper()} {case.name}\n{case.text}".rstrip() for case in bad)
            raise AssertionError(f"{len(bad)} of {len(self.cases)} tests in the guest did not pass:\n\n{listing}")
        if not self.cases or self.result.returncode != 0:
            raise AssertionError(
                f"pytest in the guest ended with status {self.result.returncode} and {len(self.cases)} tests\n"
                f"{story(self.result.outdir)}"
            )


def project_python() -> Path:
    """The Python whose packages the guest is to use: the project's environment, or whatever runs this."""
    python = CHECKOUT / ".venv/bin/python"
    return python if python.exists() else Path(sys.executable)


def run_pytest(
    guest: Guest,
    selection: Sequence[str],
    *,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    outdir: Path | None = None,
) -> GuestTests:
    """Boot `guest` and run pytest there with the arguments `selection` (paths, `-k`, `-m`, ...).

    `outdir` afterwards holds `junit.xml`, pytest's own output in `stdout`, and what the tests wrote to
    $DAMOD_GUEST_OUT. Raises like Guest.run; a failing test is in the cases.
    """
    python = project_python()
    _warm_byte_code(python, selection)
    # hypothesis's plugin alone is a third of pytest's imports: five seconds here. Tests may still use hypothesis.
    plugins = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    command: list[str | Path] = [python, "-m", "pytest", *selection, "-v", "--color=no", *plugins]
    # The shell knows $DAMOD_GUEST_OUT; here its value may not be made yet.
    script = 'exec "$@" --junit-xml="$DAMOD_GUEST_OUT/junit.xml"'
    result = guest.run(
        ["bash", "-c", script, "pytest-in-guest", *command], timeout_s=timeout_s, env=env, outdir=outdir, cwd=CHECKOUT
    )
    return GuestTests(result, read_junit(result.outdir / "junit.xml"))


def _warm_byte_code(python: Path, selection: Sequence[str]) -> None:
    """Compile everything the guest will import, the test modules in pytest's own rewritten form included."""
    compile_for_guest(python, *(CHECKOUT / name for name in ("damod", "damoctl", "tests")))
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(
        [python, "-m", "pytest", *selection, "--collect-only", "-q", "-p", "no:cacheprovider"],
        cwd=CHECKOUT,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )


def read_junit(path: Path) -> tuple[Case, ...]:
    """The cases of a junit file; a file that is not there, because pytest never got that far, holds none."""
    if not path.exists():
        return ()
    cases = []
    for node in ElementTree.parse(path).iter("testcase"):
        name = f"{node.get('classname', '')}::{node.get('name', '')}"
        took_s = float(node.get("time", "0"))
        case = Case(name, "passed", took_s=took_s)
        for tag, outcome in (("failure", "failed"), ("error", "error"), ("skipped", "skipped")):
            trouble = node.find(tag)
            if trouble is not None:
                case = Case(name, outcome, trouble.text or trouble.get("message", ""), took_s)  # type: ignore[arg-type]
                break
        cases.append(case)
    return tuple(cases)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run a command, or pytest, inside a guest with a real kernel.")
    parser.add_argument("--kernel", default="newest", help="see tests/vm/kernels.py (default: newest)")
    parser.add_argument("--memory", default="2G")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--numa", action="append", metavar="SIZE[,cpus=A-B]", help="one per node; replaces --memory")
    parser.add_argument("--append", action="append", default=[], help="words for the kernel command line")
    parser.add_argument("--timeout", type=float, default=600, metavar="SECONDS")
    parser.add_argument("--outdir", type=Path, help="keep results here (default: a new directory below /tmp)")
    parser.add_argument("--pytest", action="store_true", help="ARGS are pytest's: paths, -k, -m")
    parser.add_argument("args", nargs=argparse.REMAINDER, metavar="ARGS")
    args = parser.parse_args(argv)
    words = args.args[1:] if args.args[:1] == ["--"] else args.args
    if not words:
        parser.error("say what to run")
    guest = Guest(kernel=args.kernel, memory=args.memory, cpus=args.cpus, numa=args.numa, append=args.append)
    try:
        if args.pytest:
            result = run_pytest(guest, words, timeout_s=args.timeout, outdir=args.outdir).result
        else:
            result = guest.run(words, timeout_s=args.timeout, outdir=args.outdir)
    except (GuestError, RuntimeError) as exc:
        print(f"run_in_guest: {exc}", file=sys.stderr)
        return 125
    sys.stdout.write(result.stdout)
    sys.stderr.write(result.stderr)
    print(f"[{result.boot_s:.0f} s to boot, {result.total_s:.0f} s in all; files in {result.outdir}]", file=sys.stderr)
    return result.returncode


if __name__ == "__main__":
    sys.exit(main())
