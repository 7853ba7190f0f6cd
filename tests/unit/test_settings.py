"""Settings: where each value comes from, and what is said about wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from damod import settings as settings_module
from damod.errors import UsageError
from damod.settings import SETTINGS, Settings, resolve

EXAMPLE = Path("etc/damod.yaml")


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "damod.yaml"
    path.write_text(text)
    return str(path)


def problem(tmp_path: Path, text: str) -> str:
    """What is said about a file, without its path."""
    path = written(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        resolve(path, {})
    return caught.value.message.replace(path, "damod.yaml")


def test_command_line_before_environment_before_file_before_default(tmp_path: Path) -> None:
    """Each level wins over those below it, and the origin of each value is told."""
    path = written(tmp_path, "log_level: debug\noperator_group: wheel\nviewer_group: users\n")
    found = resolve(path, {"DAMOD_LOG_LEVEL": "warning", "DAMOD_OPERATOR_GROUP": "ops"}, {"log_level": "error"})
    assert (found.settings.log_level, found.origins["log_level"]) == ("error", "--log-level")
    assert (found.settings.operator_group, found.origins["operator_group"]) == ("ops", "$DAMOD_OPERATOR_GROUP")
    assert (found.settings.viewer_group, found.origins["viewer_group"]) == ("users", f"{path}:3")
    assert found.settings.viewers == "group" and "viewers" not in found.origins
    lines = {line.split()[0]: line.split()[1:] for line in found.explain()}
    assert lines["log_level"] == ["error", "--log-level"]
    assert lines["viewers"] == ["group", "default"]
    assert set(lines) == set(SETTINGS)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sokcet: /run/x\n", "damod.yaml:1:1: there is no setting 'sokcet'; did you mean 'socket'?"),
        ("\n# c\nlog_level: loud\n", "damod.yaml:3: log_level: 'loud' is none of debug, info, warning, error"),
        ("log_level: inof\n", "'inof' is none of debug, info, warning, error; did you mean 'info'?"),
        ("viewers: all\nviewers: group\n", "damod.yaml:2:1: viewers is set twice (first in line 1)"),
        ("max_connections: 012x\n", "'012x' is not a whole number from 1 to 65,536"),
        ("max_connections: 0\n", "'0' is not a whole number from 1 to 65,536"),
        ("viewers: on\n", "'on' is none of group, all"),
        ("kernel: sims\n", "'sims' is neither linux nor sim nor sim:SCENARIO; did you mean 'sim'?"),
        ("kernel: 'linux:x'\n", "'linux:x' is neither"),
        ("operator_group: two words\n", "'two words' is no name"),
        ("socket:\n", "damod.yaml:1:8: socket wants one value"),
        ("socket: [a, b]\n", "damod.yaml:1:9: socket wants one value"),
        ("policy_dir: /etc/damo.d\n", "damod.yaml:1:13: policy_dir wants a list"),
        ("policy_dir: [[a]]\n", "policy_dir wants a list"),
        ("- a\n", "damod.yaml:1:1: settings are lines of `name: value`"),
        ("socket: 'x\n", "damod.yaml:2:1: this is no YAML"),
        ("a: b\x07\n", "this is no YAML"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    """File, line and, where something is near, what was meant."""
    assert says in problem(tmp_path, text)


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    """Who has made three mistakes reads of three."""
    found = problem(tmp_path, "sokcet: x\nlog_level: loud\nviewers: some\n")
    assert all(word in found for word in ("sokcet", "loud", "some"))


def test_yaml_has_no_ideas_of_its_own(tmp_path: Path) -> None:
    """A group called `on` or `012` is that group."""
    found = resolve(written(tmp_path, "operator_group: on\nviewer_group: 012\n"), {}).settings
    assert (found.operator_group, found.viewer_group) == ("on", "012")


def test_a_missing_or_unreadable_file_is_a_sentence(tmp_path: Path) -> None:
    """Named files have to be there; binary ones are no settings."""
    with pytest.raises(UsageError, match="cannot be read"):
        resolve(str(tmp_path / "none.yaml"), {})
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="no UTF-8"):
        resolve(str(tmp_path / "binary"), {})


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    """Only comments: all defaults."""
    assert resolve(written(tmp_path, "# nothing\n"), {}).settings == Settings()


def test_lists_come_from_every_level(tmp_path: Path) -> None:
    """A list in the file, `:` in the environment, a repeated flag; paths become absolute."""
    path = written(tmp_path, "policy_dir:\n- /a\n- /b\n")
    assert resolve(path, {}).settings.policy_dir == ("/a", "/b")
    assert resolve(path, {"DAMOD_POLICY_DIR": "/c:/d"}).settings.policy_dir == ("/c", "/d")
    assert resolve(path, {}, {"policy_dir": ["rel"]}).settings.policy_dir == (str(Path.cwd() / "rel"),)


def test_a_kernel_version_needs_the_simulated_kernel() -> None:
    """The machine's own kernel has the version that it has."""
    with pytest.raises(UsageError, match=r"kernel_version 6\.12 is set, but"):
        resolve(None, {}, {"kernel_version": "6.12", "kernel": "linux"})
    assert resolve(None, {}, {"kernel_version": "6.12", "kernel": "sim:stairs"}).settings.scenario == "stairs"


def test_defaults_are_those_of_the_calling_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root has /run/damod, others $XDG_RUNTIME_DIR, or a directory of their own in /tmp."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert (Settings().socket, Settings().state_dir) == ("/run/damod/damod.sock", "/run/damod")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert (Settings().socket, Settings().state_dir) == ("/run/user/1000/damod.sock", "/run/user/1000/damod")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert (Settings().socket, Settings().state_dir) == ("/tmp/damod-1000/damod.sock", "/tmp/damod-1000")


def test_only_root_reads_the_systems_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's own damod for trying things does not begin with the server's settings."""
    monkeypatch.setattr(settings_module, "SYSTEM_CONFIG", written(tmp_path, "viewers: all\n"))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert resolve(None, {}).settings.viewers == "all"
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert resolve(None, {}).settings.viewers == "group"


def test_the_example_file_shows_every_setting_with_its_default() -> None:
    """etc/damod.yaml changes nothing as it is, and nothing when its comments are taken away, for root."""
    assert resolve(str(EXAMPLE), {}).origins == {}
    shown = [line[1:] for line in EXAMPLE.read_text().splitlines() if line.startswith("#") and line[1:2].strip()]
    names = [line.partition(":")[0] for line in shown if not line.startswith("-")]
    assert names == list(SETTINGS)


def test_the_example_files_values_are_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uncommented, the example is what is without it, but for what has no default."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    shown = [line[1:] for line in EXAMPLE.read_text().splitlines() if line.startswith("#") and line[1:2].strip()]
    kept = [line for line in shown if not line.startswith(("kernel_version", "metrics_address", "metrics_t"))]
    assert resolve(written(tmp_path, "\n".join(kept)), {}).settings == Settings()
