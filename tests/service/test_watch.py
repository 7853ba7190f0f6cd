"""damoctl watch in a real terminal: tmux, over a daemon on the simulated kernel and over a recording."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from damoctl.local import LocalDaemon
from damod.rpc.client import Client
from tests.service.conftest import ROOT, Run

SPEC = [{"contexts": [{"ops": "paddr", "schemes": [{"action": "stat"}]}]}]
_MISSING = "tmux is not installed (apt-get install tmux), so there is no terminal to draw on"


class Terminal:
    """A tmux of its own with one program in it."""

    def __init__(self, directory: Path, argv: list[str], width: int, height: int, term: str, environ: str) -> None:
        self._tmux = ["tmux", "-S", str(directory / "tmux"), "-f", "/dev/null"]
        words = " ".join(f"'{word}'" for word in argv)
        command = f"export TERM={term} PYTHONPATH='{ROOT}' {environ}; {words}; echo exit status $?; exec sleep 1000"
        self._run("new-session", "-d", "-x", str(width), "-y", str(height), command)

    def _run(self, *words: str) -> str:
        done = subprocess.run([*self._tmux, *words], capture_output=True, text=True, timeout=20, check=True)
        return done.stdout

    def screen(self, *, escapes: bool = False) -> str:
        return self._run("capture-pane", "-p", *(["-e"] if escapes else []))

    def keys(self, *keys: str) -> None:
        self._run("send-keys", *keys)

    def resize(self, width: int, height: int) -> None:
        self._run("resize-window", "-x", str(width), "-y", str(height))

    def wait(self, fits: Callable[[str], bool] | str, seconds: float = 20) -> str:
        """The screen, once it has a text or is as wanted."""
        end = time.monotonic() + seconds
        while True:
            seen = self.screen()
            if fits in seen if isinstance(fits, str) else fits(seen):
                return seen
            assert time.monotonic() < end, f"not seen in {seconds} s; the screen is\n{seen}"
            time.sleep(0.1)  # another program's screen cannot be waited on otherwise

    def pid(self) -> int:
        """Of the program."""
        shell = self._run("display-message", "-p", "#{pane_pid}").strip()
        return int(Path(f"/proc/{shell}/task/{shell}/children").read_text().split()[0])

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, check=False)


Open = Callable[..., Terminal]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Open]:
    """Opens damoctl in a terminal of a size."""
    if shutil.which("tmux") is None:
        assert not os.environ.get("CI"), _MISSING
        pytest.skip(_MISSING)
    opened: list[Terminal] = []

    def open_(
        *argv: str,
        width: int = 80,
        height: int = 24,
        term: str = "screen-256color",
        environ: str = "COLORTERM=truecolor",
    ) -> Terminal:
        where = tmp_path / f"terminal{len(opened)}"
        where.mkdir()
        opened.append(Terminal(where, [sys.executable, "-m", "damoctl", *argv], width, height, term, environ))
        return opened[-1]

    yield open_
    for item in opened:
        item.close()


@pytest.fixture
def watched(daemon: LocalDaemon) -> str:
    """The socket of a daemon that watches physical memory."""
    with Client(str(daemon.socket)) as client:
        client.call("kdamonds.start", kdamonds=SPEC, take_over=True)
    return str(daemon.socket)


@pytest.fixture
def record(watched: str, damoctl: Run, tmp_path: Path) -> Path:
    """A recording of two seconds."""
    path = tmp_path / "damon.data"
    done = damoctl("record", "--out", str(path), "--timeout", "2")
    assert done.returncode == 0, done.stderr
    return path


@pytest.mark.parametrize(
    ("term", "environ", "blocks"),
    [
        ("screen-256color", "COLORTERM=truecolor", "▀"),
        ("xterm", "COLORTERM=", "·"),
        ("linux", "COLORTERM=", "·"),
        ("screen", "COLORTERM= NO_COLOR=1", "·"),
        ("xterm-256color", "COLORTERM= LC_ALL=POSIX PYTHONCOERCECLOCALE=0 PYTHONUTF8=0", "."),
    ],
)
@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 50)])
def test_live(watched: str, terminal: Open, width: int, height: int, term: str, environ: str, blocks: str) -> None:
    """Everything is there, on terminals with many colours, few and none, with block characters and without."""
    screen = terminal("--socket", watched, "watch", width=width, height=height, term=term, environ=environ)
    seen = screen.wait(lambda text: "LIVE" in text and "GiB/s" in text and "this view" in text and blocks in text)
    for said in ("kdamond 0, physical memory", "working set", "4.000 GiB", "now", "100 %", "memory pressure",
                 "this view", "0 stat", "q quit"):  # fmt: skip
        assert said in seen, seen
    assert len(seen.splitlines()) == height
    if blocks == ".":
        assert seen.isascii()
    codes = {code for found in re.findall(r"\x1b\[([\d;]*)m", screen.screen(escapes=True)) for code in found.split(";")}
    assert bool(codes & {*map(str, range(30, 39)), *map(str, range(40, 49))}) is ("NO_COLOR" not in environ)
    screen.keys("q")
    screen.wait("exit status 0")


def test_a_terminal_that_shrinks_and_grows(watched: str, terminal: Open) -> None:
    """It says when it is too small, and draws again when it is not."""
    screen = terminal("--socket", watched, "watch")
    screen.wait("LIVE")
    screen.resize(50, 10)
    screen.wait("too small")
    screen.resize(120, 40)
    screen.wait("temperature")
    screen.keys("C-c")
    screen.wait("exit status 0")


def test_the_daemon_goes_and_comes(daemon: LocalDaemon, watched: str, terminal: Open) -> None:
    """Killed while watched: told; there again, with nothing running: told; something runs: shown."""
    screen = terminal("--socket", watched, "watch")
    screen.wait("LIVE")
    daemon.kill()
    screen.wait(lambda text: "NO ANSWER" in text and "trying again" in text)
    daemon.start()
    screen.wait(lambda text: "ENDED" in text and "no kdamond is running" in text)
    with Client(str(daemon.socket)) as client:
        client.call("kdamonds.start", kdamonds=SPEC, take_over=True)
    screen.wait("LIVE")
    screen.keys("q")
    screen.wait("exit status 0")


def test_nothing_runs(daemon: LocalDaemon, terminal: Open) -> None:
    """It waits, and says for what."""
    screen = terminal("--socket", str(daemon.socket), "watch")
    screen.wait(lambda text: "no kdamond is running" in text and "damoctl start paddr" in text)
    with Client(str(daemon.socket)) as client:
        client.call("kdamonds.start", kdamonds=SPEC, take_over=True)
    screen.wait("LIVE")


def test_no_daemon(terminal: Open, tmp_path: Path) -> None:
    """A sentence and an exit status, no screen."""
    screen = terminal("--socket", str(tmp_path / "none"), "watch")
    assert "no damod listens" in screen.wait("exit status 3")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 50)])
def test_a_recording(record: Path, terminal: Open, width: int, height: int) -> None:
    """From its beginning to its end; keys seek in it and play it."""
    screen = terminal("watch", "--input", str(record), width=width, height=height)
    seen = screen.wait("snapshots")
    assert "damon.data" in seen and "physical memory" in seen and "parquet" in seen and "▀" in seen
    screen.keys("Home")
    screen.wait(lambda text: text.splitlines()[0].split("memory")[1].split()[0] in ("0", "100"))
    screen.keys("Space")
    screen.wait("PLAYING")
    screen.keys("?")
    screen.wait("any key leaves it")
    screen.keys("q")
    screen.wait("exit status 0")


def test_a_place_in_a_recording(record: Path, terminal: Open) -> None:
    """--at and --window begin there; what is wrong with the words is a sentence."""
    screen = terminal("watch", "--input", str(record), "--at", "1s", "--window", "500ms")
    screen.wait(lambda text: "1.0 s of" in text)
    screen = terminal("watch", "--at", "1s")
    assert "--at needs a record" in screen.wait("exit status 2")
    screen = terminal("watch", "--input", "no-such-file")
    assert "no record no-such-file" in screen.wait("exit status 7")


def test_a_recording_by_its_name(watched: str, damoctl: Run, terminal: Open) -> None:
    """What damod records in the background is named as `damoctl record list` names it, also while it goes on."""
    assert damoctl("record", "--detach", "--name", "day").returncode == 0
    time.sleep(1.5)  # the recorder's batches are a second long
    assert damoctl("report", "wss", "--input", "day").returncode == 0
    screen = terminal("--socket", watched, "watch", "--input", "day")
    screen.wait(lambda text: " day " in text and "snapshots" in text)
    done = damoctl("report", "wss", "--input", "night")
    assert done.returncode == 7
    assert "no record night" in done.stderr


def test_rotated_segments(record: Path, terminal: Open, tmp_path: Path) -> None:
    """A directory of segments is one recording."""
    rotated = tmp_path / "rotated"
    for name in ("2026-01-01-00-00-00", "2026-01-01-01-00-00"):
        part = rotated / f"damon.data.{name}"
        part.mkdir(parents=True)
        shutil.copy(record, part / "damon.data")
    screen = terminal("watch", "--input", str(rotated))
    screen.wait(lambda text: "rotated" in text and "snapshots" in text)


def test_interactive_edit(record: Path, terminal: Open, damoctl: Run) -> None:
    """What is chosen with keys is printed as options, and these draw that part."""
    screen = terminal("report", "heatmap", "--input", str(record), "--interactive_edit")
    screen.wait("a pixel is")
    screen.keys("+", "+", "h", ">", "k")
    screen.wait("512.0 MiB shown")
    screen.keys("q")
    seen = screen.wait("exit status 0")
    words = next(line for line in seen.splitlines() if line.startswith("--time_range")).split()
    assert words[0] == "--time_range" and words[3] == "--address_range" and len(words) == 6
    assert int(words[5]) - int(words[4]) == 512 << 20
    done = damoctl("report", "heatmap", "--input", str(record), *words)
    assert done.returncode == 0, done.stderr
    assert "(512.000 MiB)" in done.stdout


def test_interactive_edit_with_a_file(record: Path, terminal: Open, tmp_path: Path) -> None:
    """With --output the chosen part is drawn there afterwards."""
    target = tmp_path / "part.png"
    screen = terminal("report", "heatmap", "--input", str(record), "--interactive_edit", "--output", str(target))
    screen.wait("a pixel is")
    screen.keys("+", "q")
    screen.wait("exit status 0", 40)
    assert target.read_bytes()[:4] == b"\x89PNG"


def test_a_signal_ends_it(watched: str, terminal: Open) -> None:
    """kill puts the terminal back, as q does."""
    screen = terminal("--socket", watched, "watch")
    screen.wait("LIVE")
    os.kill(screen.pid(), signal.SIGTERM)
    seen = screen.wait("exit status 0")
    assert "LIVE" not in seen


def test_a_bug_is_a_sentence(watched: str, terminal: Open, tmp_path: Path) -> None:
    """The terminal is as it was, and the exit status is that of a bug."""
    (tmp_path / "sitecustomize.py").write_text(
        "import damoctl.watch.model as model\nmodel.Model.tick = lambda *_: 1 / 0\n"
    )
    environ = f"COLORTERM= PYTHONPATH='{tmp_path}:{ROOT}'"
    screen = terminal("--socket", watched, "watch", environ=environ)
    seen = screen.wait("exit status 70")
    assert "a bug in damoctl: ZeroDivisionError" in seen
    assert "Traceback" not in seen


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["watch"], "stream --json"),
        (["watch", "--input", "damon.data"], "report heatmap"),
        (["report", "heatmap", "--interactive_edit"], "--time_range"),
    ],
)
def test_without_a_terminal(damoctl: Run, words: list[str], hint: str) -> None:
    """In a pipe it is an error that names what does go there."""
    done = damoctl(*words)
    assert done.returncode == 2
    assert "fills a terminal" in done.stderr
    assert hint in done.stderr
