"""Log lines: for a terminal, with priorities for the journal, and never two lines by a peer's doing."""

from __future__ import annotations

import io
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from damod import log


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The process's logging is put back after each test."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_level_event_and_facts() -> None:
    """key=value, quoted where needed, no colour in a file."""
    out = io.StringIO()
    log.setup("info", out, {})
    structlog.get_logger().info("done", method="kdamonds.stop", uid=0, why="two words", empty="")
    structlog.get_logger().debug("not shown")
    assert out.getvalue() == "damod info    done method=kdamonds.stop uid=0 why='two words' empty=''\n"


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_only_on_a_terminal_that_wants_them(environ: dict[str, str], coloured: bool) -> None:
    """NO_COLOR is obeyed."""
    out = Terminal()
    log.setup("info", out, environ)
    structlog.get_logger().error("x")
    assert ("\x1b[31m" in out.getvalue()) is coloured


def test_the_journal_gets_priorities(tmp_path: Path) -> None:
    """When stderr is the journal's stream, each line begins with its priority, a traceback's too."""
    with open(tmp_path / "journal", "w+") as out:
        status = os.fstat(out.fileno())
        log.setup("debug", out, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        structlog.get_logger().warning("refused", uid=7)
        try:
            raise RuntimeError("boom")
        except RuntimeError:
            structlog.get_logger().exception("a bug")
        lines = (tmp_path / "journal").read_text().splitlines()
    assert lines[:2] == ["<4>refused uid=7", "<3>a bug"]
    assert lines[-1] == "<3>RuntimeError: boom"
    assert all(line.startswith("<3>") for line in lines[1:])


def test_a_peer_cannot_write_lines_of_its_own() -> None:
    """Line ends and escapes in a method's name are shown, not done."""
    out = io.StringIO()
    log.setup("info", out, {})
    structlog.get_logger().info("refused", method="x\n<0>kernel panic\x1b[2J")
    assert out.getvalue() == "damod info    refused method='x\\n<0>kernel panic\\x1b[2J'\n"


def test_the_standard_librarys_warnings_are_events_too() -> None:
    """What asyncio has to say goes the same way."""
    out = io.StringIO()
    log.setup("info", out, {})
    logging.getLogger("asyncio").error("Task %s was destroyed", "t")
    assert out.getvalue() == "damod error   Task t was destroyed source=asyncio\n"


def test_a_log_that_nobody_takes_ends_nothing() -> None:
    """A closed or full stderr raises nothing."""
    out = io.StringIO()
    log.setup("info", out, {})
    out.close()
    structlog.get_logger().info("x")


def test_the_journal_gets_facts_as_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fact is a field of the entry, so that the journal can be asked for it; what it does not take is a line."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal, open(tmp_path / "stderr", "w+") as out:
        journal.bind(str(tmp_path / "journal"))
        monkeypatch.setattr(log, "JOURNAL_SOCKET", str(tmp_path / "journal"))
        status = os.fstat(out.fileno())
        log.setup("info", out, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        structlog.get_logger().warning("refused", uid=7, method="kdamonds.stop", why="two\nlines")
        lines = journal.recv(4096).split(b"\n")
        assert lines[0] == b"MESSAGE=refused uid=7 method=kdamonds.stop why='two\\nlines'"
        assert lines[1:5] == [b"PRIORITY=4", b"SYSLOG_IDENTIFIER=damod", b"DAMOD_UID=7", b"DAMOD_METHOD=kdamonds.stop"]
        assert lines[5:] == [b"DAMOD_WHY", b"\x09" + bytes(7) + b"two", b"lines", b""]
        assert (tmp_path / "stderr").read_text() == ""
        journal.close()
        structlog.get_logger().warning("alone")
        assert (tmp_path / "stderr").read_text() == "<4>alone\n"
