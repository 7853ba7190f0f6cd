"""What the daemon is told before it starts: each setting once, and where its value comes from.

A field of `Settings` declares how its text is read and what it is for; the key in damod.yaml, the environment
variable (``DAMOD_`` and the name in capitals) and the command line's flag derive from it. Precedence: command line,
environment, file, default. All values come as text, also from YAML, so that none of YAML 1.1's own ideas (``on``,
``012``, ``1:30``) ever reaches a setting.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from damod.errors import UsageError
from damod.near import near
from damod.rpc.client import SYSTEM_SOCKET, user_runtime_dir
from damod.units import parse_time

SYSTEM_CONFIG = "/etc/damod.yaml"
SYSTEM_STATE_DIR = "/run/damod"
SYSTEM_RECORD_DIR = "/var/lib/damod/records"
LOG_LEVELS = ("debug", "info", "warning", "error")


def _own_socket() -> str:
    return SYSTEM_SOCKET if os.geteuid() == 0 else f"{user_runtime_dir()}/damod.sock"


def _own_state_dir() -> str:
    if os.geteuid() == 0:
        return SYSTEM_STATE_DIR
    return f"{user_runtime_dir()}/damod" if os.environ.get("XDG_RUNTIME_DIR") else user_runtime_dir()


def _own_policy_dir() -> tuple[str, ...]:
    if os.geteuid() == 0:
        return ("/usr/lib/damo.d", "/run/damo.d", "/etc/damo.d")
    return (f"{os.environ.get('XDG_CONFIG_HOME') or Path('~/.config').expanduser()}/damo.d",)


def _seconds(text: str) -> float:
    seconds = parse_time(text, "ms") / 1000
    if not 0.1 <= seconds <= 3600:
        raise ValueError(f"{text!r} is not between 100 ms and an hour")
    return seconds


def _own_record_dir() -> str:
    """For root the system's; for others beside what their desktop keeps, so that records outlive a reboot."""
    if os.geteuid() == 0:
        return SYSTEM_RECORD_DIR
    return f"{os.environ.get('XDG_STATE_HOME') or Path.home() / '.local/state'}/damod/records"


def _path(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError(f"{text!r} is no path")
    return str(Path(text).absolute())


def _word(text: str) -> str:
    if not text or text.split() != [text]:
        raise ValueError(f"{text!r} is no name")
    return text


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"{text!r} is none of {', '.join(words)}{near(text, words)}")
        return text

    return parse


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 65_536:
        raise ValueError(f"{text!r} is not a whole number from 1 to 65,536")
    return int(text)


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if text.startswith("/"):
        return _path(text)
    if not colon or not host or not port.isdigit() or int(port) > 65_535:
        raise ValueError(f"{text!r} is neither HOST:PORT (as 127.0.0.1:9721) nor the path of a socket")
    return text


def _kernel(text: str) -> str:
    backend, colon, scenario = text.partition(":")
    if backend not in ("linux", "sim") or (colon and (backend != "sim" or not scenario)):
        raise ValueError(f"{text!r} is neither linux nor sim nor sim:SCENARIO{near(backend, ('linux', 'sim'))}")
    return text


def _setting(
    parse: Callable[[str], Any],
    default: Callable[[], Any],
    about: str,
    *,
    metavar: str,
    flag: str = "",
    live: bool = False,
) -> Any:
    """`flag` is the command line's, if it has one; a `live` setting takes effect on reload (SIGHUP)."""
    return field(
        default_factory=default,
        metadata={"parse": parse, "about": about, "metavar": metavar, "flag": flag, "live": live},
    )


@dataclass(frozen=True)
class Settings:
    """The daemon's settings, checked. `Settings()` has the defaults of the calling user."""

    socket: str = _setting(_path, _own_socket, "the control socket", metavar="PATH", flag="--socket")
    state_dir: str = _setting(
        _path,
        _own_state_dir,
        "the directory that remembers, until reboot, which kdamonds are damod's",
        metavar="DIR",
        flag="--state-dir",
    )
    record_dir: str = _setting(
        _path,
        _own_record_dir,
        "the directory of records that are made in the background (`damoctl record --detach`)",
        metavar="DIR",
        flag="--record-dir",
    )
    policy_dir: tuple[str, ...] = _setting(
        _path,
        _own_policy_dir,
        "directories of policies; later ones win",
        metavar="DIR",
        flag="--policy-dir",
    )
    policy_check: float = _setting(
        _seconds,
        lambda: 5.0,
        "how often it is looked whether running policies still hold",
        metavar="TIME",
        live=True,
    )
    kernel: str = _setting(
        _kernel,
        lambda: "linux",
        "linux (this machine's DAMON) or sim[:SCENARIO] (the embedded simulated kernel)",
        metavar="KERNEL",
        flag="--kernel",
    )
    kernel_version: str | None = _setting(
        _word,
        lambda: None,
        "the release that the simulated kernel imitates",
        metavar="RELEASE",
        flag="--kernel-version",
    )
    operator_group: str = _setting(
        _word, lambda: "damod", "the group that may change things", metavar="GROUP", live=True
    )
    viewer_group: str = _setting(_word, lambda: "damod-view", "the group that may look", metavar="GROUP", live=True)
    viewers: str = _setting(
        _one_of("group", "all"), lambda: "group", "who may look: group (viewer_group), or all", metavar="WHO", live=True
    )
    max_connections: int = _setting(_count, lambda: 256, "connections at the same time", metavar="N", live=True)
    max_connections_per_user: int = _setting(
        _count, lambda: 64, "connections of one user at the same time (root has no such limit)", metavar="N", live=True
    )
    metrics_address: str | None = _setting(
        _address,
        lambda: None,
        "where Prometheus finds metrics: HOST:PORT, or the path of a Unix socket",
        metavar="ADDRESS",
    )
    metrics_textfile: str | None = _setting(
        _path, lambda: None, "a file of metrics for node_exporter (NAME.prom)", metavar="PATH"
    )
    metrics_interval: float = _setting(_seconds, lambda: 15.0, "how often metrics_textfile is written", metavar="TIME")
    log_level: str = _setting(
        _one_of(*LOG_LEVELS), lambda: "info", ", ".join(LOG_LEVELS), metavar="LEVEL", flag="--log-level", live=True
    )

    @property
    def scenario(self) -> str | None:
        """The simulated kernel's scenario, if one is named."""
        return self.kernel.partition(":")[2] or None

    def __post_init__(self) -> None:
        if self.kernel_version is not None and self.kernel == "linux":
            raise UsageError(
                f"kernel_version {self.kernel_version} is set, but the kernel is this machine's own",
                hint="add --kernel sim, or remove kernel_version",
            )


SETTINGS: Mapping[str, Field[Any]] = {item.name: item for item in fields(Settings)}


@dataclass(frozen=True)
class Resolved:
    """Settings, and for each where its value is from (``/etc/damod.yaml:3``, ``$DAMOD_SOCKET``, ``--socket``)."""

    settings: Settings
    origins: Mapping[str, str]

    def explain(self) -> list[str]:
        """One line for each setting, as `damod --check` prints them."""
        rows = [(name, _shown(getattr(self.settings, name)), self.origins.get(name, "default")) for name in SETTINGS]
        wide, long = (max(len(row[column]) for row in rows) for column in (0, 1))
        return [f"{name:<{wide}}  {value:<{long}}  {origin}" for name, value, origin in rows]


def resolve(
    config: str | None, environ: Mapping[str, str], given: Mapping[str, str | Sequence[str]] | None = None
) -> Resolved:
    """Settings out of a file, the environment and the command line (`given`: name -> text or texts).

    Without `config`, root's daemon reads /etc/damod.yaml if it is there, other users' daemons no file. Raises
    UsageError with all that is wrong, each problem with its origin.
    """
    texts: dict[str, tuple[str, str | Sequence[str]]] = {}
    problems: list[str] = []
    if config is not None:
        _read_file(config, texts, problems)
    elif os.geteuid() == 0 and Path(SYSTEM_CONFIG).exists():
        _read_file(SYSTEM_CONFIG, texts, problems)
    for name, item in SETTINGS.items():
        variable = f"DAMOD_{name.upper()}"
        if environ.get(variable):
            text = environ[variable]
            texts[name] = (f"${variable}", text.split(":") if _is_list(item) else text)
    for name, value in (given or {}).items():
        texts[name] = (SETTINGS[name].metadata["flag"], value)
    values: dict[str, Any] = {}
    for name, (origin, value) in texts.items():
        parse = SETTINGS[name].metadata["parse"]
        try:
            values[name] = parse(value) if isinstance(value, str) else tuple(parse(text) for text in value)
        except ValueError as exc:
            problems.append(f"{origin}: {name}: {exc}")
    if problems:
        raise UsageError("; ".join(problems), hint="`damod --check` shows all settings; etc/damod.yaml explains them")
    return Resolved(Settings(**values), {name: origin for name, (origin, _) in texts.items()})


def _read_file(path: str, texts: dict[str, tuple[str, str | Sequence[str]]], problems: list[str]) -> None:
    import yaml

    try:
        root = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as exc:
        raise UsageError(
            f"{path} cannot be read ({exc.strerror})", hint="name an existing file with --config", path=path
        ) from exc
    except UnicodeDecodeError as exc:
        raise UsageError(f"{path} is no UTF-8 text ({exc.reason} at byte {exc.start})", path=path) from exc
    except yaml.MarkedYAMLError as exc:
        at = _place(path, exc.problem_mark) if exc.problem_mark else path
        raise UsageError(f"{at}: this is no YAML: {exc.problem}", path=path) from exc
    except yaml.YAMLError as exc:
        raise UsageError(f"{path}: this is no YAML: {exc}", path=path) from exc
    if root is None:
        return
    if not isinstance(root, yaml.MappingNode):
        problems.append(f"{_place(path, root.start_mark)}: settings are lines of `name: value`")
        return
    seen: dict[str, int] = {}
    for key, value in root.value:
        at, name = _place(path, key.start_mark), str(key.value)
        if name in seen:
            problems.append(f"{at}: {name} is set twice (first in line {seen[name]})")
        elif name not in SETTINGS:
            problems.append(f"{at}: there is no setting {name!r}{near(name, SETTINGS)}")
        else:
            text = _texts(value, _is_list(SETTINGS[name]))
            if text is None:
                wanted = "a list" if _is_list(SETTINGS[name]) else "one value"
                problems.append(f"{_place(path, value.start_mark)}: {name} wants {wanted}")
            else:
                texts[name] = (f"{path}:{key.start_mark.line + 1}", text)
        seen.setdefault(name, key.start_mark.line + 1)


def _texts(node: Any, is_list: bool) -> str | list[str] | None:
    """The text(s) of a YAML node as written; None if it has another shape."""
    if is_list and node.id == "sequence":
        return [part.value for part in node.value] if all(part.id == "scalar" for part in node.value) else None
    return node.value if not is_list and node.id == "scalar" and node.value != "" else None


def _is_list(item: Field[Any]) -> bool:
    return str(item.type).startswith("tuple")


def _place(path: str, mark: Any) -> str:
    return f"{path}:{mark.line + 1}:{mark.column + 1}"


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return ", ".join(value) if isinstance(value, tuple) else str(value)
