"""The examples of the documents: found, run and compared. CONTRIBUTING.md, "Examples in documents", has the rules."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket
from types import TracebackType

from damoctl.complete import complete
from damoctl.verbs import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_MARK = re.compile(r"<!-- (not run|checked by|file|numbers vary|shipped policies)(?:: (.*?))? -->")
_FENCE = re.compile(r"^( *)```(\w*)\s*$")
_HEREDOC = re.compile(r"<<-?\s*'?(\w+)'?")
_UNIT = r"(?: ?(?:[KMGTPE]iB|B|ns|us|ms|s|m|h|d|hz|%))?"
_NUMBER = re.compile(rf"-?\d[\d,.]*{_UNIT}(?![\w])")
_ANY_NUMBER = rf"-?\d[\d,.]*{_UNIT}"
_PROGRAMS = re.compile(r"^\s*(?:[$#] )?(?:sudo )?(?:damoctl|damod|make|pip|apt-get|systemctl) ")


@dataclass(frozen=True)
class Step:
    """A command and the output that the document shows."""

    command: str
    expected: Sequence[str]
    line: int
    block: Block | None = None


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, lines, the line where it begins, and its marks."""

    path: Path
    language: str
    text: Sequence[str]
    line: int
    marks: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.path.name}:{self.line}"

    def steps(self) -> Iterator[Step]:
        """The commands of a console block."""
        lines = list(enumerate(self.text, self.line + 1))
        at = 0
        while at < len(lines):
            number, text = lines[at]
            at += 1
            if not text.startswith("$ "):
                raise ValueError(f"{self.path.name}:{number}: a console block begins with `$ `, not {text!r}")
            command = [text[2:]]
            until = _HEREDOC.search(text)
            while at < len(lines) and (command[-1].endswith("\\") or (until and command[-1] != until[1])):
                command.append(lines[at][1])
                at += 1
            begin = at
            while at < len(lines) and not lines[at][1].startswith("$ "):
                at += 1
            yield Step("\n".join(command), [line for _, line in lines[begin:at]], number)


def blocks(path: Path) -> list[Block]:
    """All fenced blocks of a document, with the marks in comments right before them."""
    found: list[Block] = []
    marks: dict[str, str] = {}
    lines = path.read_text().splitlines()
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence:
            begin, indent = at, len(fence[1])
            at += 1
            while at < len(lines) and lines[at].strip() != "```":
                at += 1
            found.append(Block(path, fence[2], [line[indent:] for line in lines[begin + 1 : at]], begin + 1, marks))
            marks = {}
        elif mark := _MARK.search(lines[at]):
            marks = {**marks, mark[1]: mark[2] or ""}
        elif lines[at].strip():
            marks = {}
        at += 1
    return found


def complaints(path: Path) -> list[str]:
    """What is an example by its looks, and neither run nor marked."""
    told = []
    fenced: set[int] = set()
    for block in blocks(path):
        fenced.update(range(block.line, block.line + len(block.text) + 2))
        if by := block.marks.get("checked by"):
            if not (ROOT / by).exists():
                told.append(f"{block}: checked by {by}, which does not exist")
        elif "not run" in block.marks:
            if not block.marks["not run"]:
                told.append(f"{block}: `not run` needs a reason")
        elif block.language in ("", "text", "mermaid"):
            told += [
                f"{block}: {line.strip()!r} looks like a command: make it ```console with `$ `, or mark it"
                for line in block.text
                if _PROGRAMS.match(line)
            ]
        elif block.language != "console" and "file" not in block.marks:
            told.append(f"{block}: a block of {block.language} needs a mark: file, checked by or not run")
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("    ") and number not in fenced and _PROGRAMS.match(line):
            told.append(f"{path.name}:{number}: an indented command is not run: make it ```console")
    return told


def pattern(expected: Sequence[str], *, numbers_vary: bool) -> str:
    """The regular expression of a shown output: `...` is anything, alone on a line any number of lines."""
    parts = []
    for line in expected:
        if line.strip() == "...":
            parts.append(r"(?:.*\n)*?")
            continue
        made = []
        for piece in re.split(r"(\.\.\.)", line.rstrip()):
            if piece == "...":
                made.append(".*")
            elif numbers_vary:
                made.append(_varying(piece))
            else:
                made.append(re.escape(piece))
        parts.append("".join(made) + r"[ \t]*\n")
    return "".join(parts)


def _varying(text: str) -> str:
    """Each number with its unit is any number with any unit; columns may be as wide as they like."""
    made, at = [], 0
    for match in _NUMBER.finditer(text):
        made += [_plain(text[at : match.start()]), _ANY_NUMBER]
        at = match.end()
    return "".join([*made, _plain(text[at:])])


def _plain(text: str) -> str:
    return "".join(r"[ \t]+" if piece.isspace() else re.escape(piece) for piece in re.split(r"(\s+)", text) if piece)


class Session:
    """A bash in a directory of its own, with damod and damoctl in PATH that know only a simulated kernel.

    Commands run one after the other in the same shell. Use as a context manager.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        programs = directory / ".programs"
        programs.mkdir()
        log = directory / ".damod.log"
        for name in ("damoctl", "damod"):
            program = programs / name
            # The daemon's log would come between, but what it prints before it ends at once is an answer.
            away = f'case "$*" in *--check* | *--help* | *--version*) ;; *) exec >>{log} 2>&1 ;; esac\n'
            program.write_text(
                f"#!/bin/bash\nexport PYTHONPATH={ROOT}\n{away if name == 'damod' else ''}"
                f'exec {sys.executable} -m {name} "$@"\n'
            )
            program.chmod(0o755)
        # A socket's path may have 107 characters.
        self.socket = directory / "damod.sock"
        environ = {
            "PATH": f"{programs}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(directory), "LANG": "C.UTF-8", "COLUMNS": "100", "PAGER": "cat",
            "DAMOD_SOCKET": str(self.socket), "DAMOD_STATE_DIR": str(directory / ".state"),
            "DAMOD_POLICY_DIR": str(directory / "damo.d"), "DAMOD_RECORD_DIR": str(directory / ".records"),
            "DAMOD_KERNEL": "sim:moving",
        }  # fmt: skip
        self._log = log
        self._shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            cwd=directory, env=environ, start_new_session=True, text=True, bufsize=1,
        )  # fmt: skip

    def run(self, command: str, timeout_s: float = 60) -> tuple[int, str]:
        """Exit status and output (both streams) of one command."""
        if re.search(r"--kernel[ =]linux", command):
            raise AssertionError(f"{command}: not on this machine's kernel")
        if "systemctl" in command or "/sys/" in command:
            raise AssertionError(f"{command}: needs the mark `not run`")
        mark = f"MARK{os.urandom(8).hex()}"
        assert self._shell.stdin is not None and self._shell.stdout is not None
        self._shell.stdin.write(f"{{ {command}\n}} </dev/null\nprintf '\\n%s %d\\n' {mark} $?\n")
        self._shell.stdin.flush()
        deadline = time.monotonic() + timeout_s
        buffer = ""
        while mark not in buffer or not buffer.endswith("\n"):
            if time.monotonic() > deadline:
                raise AssertionError(f"{command}: not done within {timeout_s:g} s\n{buffer}")
            if select.select([self._shell.stdout], [], [], 0.5)[0]:
                data = os.read(self._shell.stdout.fileno(), 65536)
                if not data:
                    raise AssertionError(f"{command}: the shell ended\n{buffer}")
                buffer += data.decode(errors="replace")
        output, _, status = buffer.rpartition(f"\n{mark} ")
        if output and not output.endswith("\n"):
            output += "\n"
        if command.startswith("damod ") and command.rstrip().endswith("&"):
            self._serving()
        return int(status), output

    def _serving(self) -> None:
        """Who types is slower than a daemon starts; a test is not."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket(AF_UNIX, SOCK_STREAM) as probe:
                try:
                    probe.connect(str(self.socket))
                    return
                except OSError:
                    time.sleep(0.05)
        raise AssertionError(f"damod does not serve: {self._log.read_text()}")

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._shell.pid, number)
            except ProcessLookupError:
                break
            try:
                self._shell.wait(5)
            except subprocess.TimeoutExpired:
                continue
            # The daemon is of the same group and outlives the shell for as long as it takes to stop.
            time.sleep(0.5)


def played(path: Path, directory: Path) -> Iterator[tuple[Step, int, str]]:
    """Run all that a document shows, in order: each command with its exit status and output."""
    todo = [block for block in blocks(path) if not {"not run", "checked by"} & set(block.marks)]
    with Session(directory) as session:
        if "<!-- shipped policies -->" in path.read_text():
            shutil.copytree(ROOT / "etc/damo.d", directory / "damo.d")
        commands = [step.command for block in todo if block.language == "console" for step in block.steps()]
        if commands and not any(command.startswith("damod ") and command.endswith("&") for command in commands):
            session.run("damod &")
        for block in todo:
            if "file" in block.marks:
                target = directory / block.marks["file"]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text("\n".join(block.text) + "\n")
                if block.text and block.text[0].startswith("#!"):
                    target.chmod(0o755)
            if block.language == "console":
                for step in block.steps():
                    yield replace(step, block=block), *session.run(step.command)


def play(path: Path, directory: Path) -> list[str]:
    """What came out differently in a document, or failed."""
    return [text for step, status, output in played(path, directory) for text in _differences(step, status, output)]


def _differences(step: Step, status: int, output: str) -> list[str]:
    block = step.block
    assert block is not None
    where = f"{block.path.name}:{step.line}: $ {step.command}\n"
    fails = any(line.startswith(("damoctl: ", "damod: ")) for line in step.expected)
    if status != 0 and not fails:
        return [f"{where}ended with {status}:\n{output}"]
    if not step.expected:
        return []
    wanted = pattern(step.expected, numbers_vary="numbers vary" in block.marks)
    if re.fullmatch(wanted, output):
        return []
    return [f"{where}shown:\n" + "\n".join(step.expected) + f"\nreally:\n{output}"]


def check_words(words: list[str], where: str) -> None:
    """A command line as documents abbreviate it: `...`, `|`, <placeholders> and NAMES are anything."""
    while words and words[0].startswith("--"):
        words = words[2:] if words[0] in ("--socket", "--color") else words[1:]
    if not words or words[0] in ("...", "<command>", "COMMAND"):
        return
    for name in words[0].split("|"):
        assert name in COMMANDS, where
    for at, word in enumerate(words):
        option = re.match(r"--[\w-]+", word)
        if option and option[0] not in ("--help", "--json", "--socket", "--color"):
            name = option[0]
            assert name in complete([words[0].split("|")[0], *words[1:at], name]), f"{where}: no option {name}"


def main() -> None:
    """Print a document's commands with what they really print, to be pasted into it."""
    import tempfile

    path = Path(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="docs-") as directory:
        for step, status, output in played(path, Path(directory)):
            print(f"$ {step.command}\n{output}" + (f"[status {status}]\n" if status else ""), end="")


if __name__ == "__main__":
    main()
