"""An in-memory sysfs: directories that appear when a number is written, values that are refused as Linux refuses them.

A `Shape` is what a fresh directory looks like and is built from the facts of a kernel; a `Dir` is a directory that
exists. What the kernel does on a write beyond storing the value (starting a kdamond, say) is hung on a file by whoever
builds the tree, as `File.store`.

Where Linux and this differ on purpose: none of the writes is ever partial, and a number is stored in decimal. Choices
where sysfs leaves room: writing a file without write permission is EACCES even for root (sysfs checks the mode on
open), writing nothing is a no-op, numbers are read with base 0 (`0x10`, `010`), as kstrto*() do.
"""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from damod.kernel.sim.facts import Facts

Parse = Callable[[str], str]

_DIGITS = {16: re.compile("[0-9a-fA-F]+"), 10: re.compile("[0-9]+"), 8: re.compile("[0-7]+")}
# More directories than this would be refused for want of memory.
_MANY = 1 << 20
MAX_PROBES = 4


def refuse(code: int, what: str) -> OSError:
    """The OSError that Linux would give for `code`."""
    return OSError(code, os.strerror(code), what)


def number(text: str, *, low: int, high: int) -> int:
    """An integer as kstrtoint, kstrtouint and kstrtoul read it: base 0, one newline at the end, no blanks.

    EINVAL for what is no number or has a minus where none is allowed, ERANGE outside [low, high].
    """
    words = text.removesuffix("\n")
    sign = 1
    if words[:1] == "+":
        words = words[1:]
    elif words[:1] == "-" and low < 0:
        sign, words = -1, words[1:]
    if words[:2].lower() == "0x" and len(words) > 2:
        base, words = 16, words[2:]
    elif words[:1] == "0" and len(words) > 1:
        base, words = 8, words[1:]
    else:
        base = 10
    if not _DIGITS[base].fullmatch(words):
        raise refuse(errno.EINVAL, text)
    value = sign * int(words, base)
    if not low <= value <= high:
        raise refuse(errno.ERANGE, text)
    return value


def _ulong(text: str) -> str:
    return str(number(text, low=0, high=2**64 - 1))


def _uint(text: str) -> str:
    return str(number(text, low=0, high=2**32 - 1))


def _int(text: str) -> str:
    return str(number(text, low=-(2**31), high=2**31 - 1))


def _unit(text: str) -> str:
    value = _ulong(text)
    if value == "0":
        raise refuse(errno.EINVAL, text)
    return value


def boolean(text: str) -> str:
    """`Y` or `N` from what kstrtobool takes; it looks at the first one or two characters only."""
    head = text[:2].lower()
    if head[:1] in ("y", "t", "1", "e") or head == "on":
        return "Y"
    if head[:1] in ("n", "f", "0", "d") or head == "of":
        return "N"
    raise refuse(errno.EINVAL, text)


def one_of(words: Sequence[str]) -> Parse:
    """A parser that takes exactly these keywords."""

    def parse(text: str) -> str:
        word = text.removesuffix("\n")
        if word not in words:
            raise refuse(errno.EINVAL, text)
        return word

    return parse


def _text(text: str) -> str:
    return text.removesuffix("\n")


_INTS = frozenset(("pid_target", "target_nid", "nid", "damon_target_idx"))
_UINTS = frozenset(
    ("refresh_ms", "sz_permil", "nr_accesses_permil", "age_permil", "fail_charge_num", "fail_charge_denom", "id")
)
_BOOLS = frozenset(("matching", "allow", "pause", "obsolete_target"))
# Stores that turn every parse error into EINVAL, ERANGE too (`if (err) return -EINVAL;`).
_ONLY_EINVAL = frozenset(("pid_target", "ms", "bytes", "fail_charge_num", "fail_charge_denom"))


def _only_einval(parse: Parse) -> Parse:
    def strict(text: str) -> str:
        try:
            return parse(text)
        except OSError as exc:
            raise refuse(errno.EINVAL, text) from exc

    return strict


def _parser(path: Sequence[str], keywords: Mapping[str, tuple[str, ...]]) -> Parse:
    """How the file at `path` reads what is written to it."""
    name = path[-1]
    if name == "type":
        kind = "probes" if "probes" in path else path[-3]
        return one_of(keywords[kind])
    words = {"action": "action", "operations": "ops", "target_metric": "goal", "metric": "wmark"}.get(name, name)
    if words in ("action", "ops", "goal", "wmark", "goal_tuner"):
        return one_of(keywords[words])
    if name in ("path", "memcg_path"):
        return str
    if name == "weight":
        return _uint
    if name == "addr_unit":
        return _unit
    parse = _int if name in _INTS else _uint if name in _UINTS else boolean if name in _BOOLS else _ulong
    return _only_einval(parse) if name in _ONLY_EINVAL or "/".join(path[-2:]) == "quotas/reset_interval_ms" else parse


@dataclass
class Shape:
    """What a fresh directory holds. `many` is (name of its nr_ file, shape of each numbered child).

    `made` is called with each directory created from this shape.
    """

    files: dict[str, tuple[int, str, Parse]] = field(default_factory=dict)
    dirs: dict[str, Shape] = field(default_factory=dict)
    many: tuple[str, Shape] | None = None
    row: Shape | None = None
    most: int = _MANY
    made: Callable[[Dir], None] | None = None


class File:
    """One attribute. `show` gives the text instead of `text`; `store` acts on a write instead of `parse`.

    `waits` says that the store may wait for a kdamond, and takes the tree's lock itself when it needs it.
    """

    __slots__ = ("mode", "parse", "show", "store", "text", "waits")

    def __init__(self, mode: int, text: str = "", parse: Parse = _text) -> None:
        self.mode = mode
        self.text = text
        self.parse = parse
        self.show: Callable[[], str] | None = None
        self.store: Callable[[str], None] | None = None
        self.waits = False


class Dir:
    """A directory. It stays usable for who holds it after its removal, and knows that it is gone."""

    __slots__ = ("dirs", "files", "parent", "removed", "serial", "shape")

    def __init__(self, parent: Dir | None, shape: Shape) -> None:
        self.parent = parent
        self.removed = False
        # For who numbers the rows below (see Facts.odd_rows).
        self.serial = 0
        self.shape = shape
        self.dirs: dict[str, Dir] = {}
        self.files = {name: File(*values) for name, values in shape.files.items()}
        for name, sub in shape.dirs.items():
            self.dirs[name] = Dir(self, sub)
        if shape.many:
            self.files[shape.many[0]].store = self.count
        if shape.made:
            shape.made(self)

    def count(self, text: str) -> None:
        """What a write to the nr_ file does."""
        count = number(text, low=-(2**31), high=2**31 - 1)
        if not 0 <= count <= self.shape.most:
            raise refuse(errno.ENOMEM if count >= _MANY else errno.EINVAL, text)
        self.populate(count)

    def populate(self, count: int) -> None:
        """Replace the numbered children by `count` fresh ones."""
        if self.shape.many is None:
            raise ValueError("this directory has no numbered children")
        name, child = self.shape.many
        self.clear()
        for index in range(count):
            self.dirs[str(index)] = Dir(self, child)
        self.files[name].text = str(count)

    def clear(self) -> None:
        """Remove the numbered children."""
        for name in [name for name in self.dirs if name.isdecimal()]:
            self.dirs.pop(name).removed = True

    def is_gone(self) -> bool:
        """Whether this directory or one above it was removed."""
        here: Dir | None = self
        while here:
            if here.removed:
                return True
            here = here.parent
        return False

    def add_row(self, name: int, values: Mapping[str, int]) -> Dir:
        """A numbered child that the kernel makes on its own (a tried region)."""
        if self.shape.row is None:
            raise ValueError("this directory has no rows")
        child = Dir(self, self.shape.row)
        for key, value in values.items():
            if key in child.files:
                child.files[key].text = str(value)
        self.dirs[str(name)] = child
        return child

    def children(self) -> list[Dir]:
        """The numbered children in order."""
        return [self.dirs[name] for name in sorted((n for n in self.dirs if n.isdecimal()), key=int)]

    def dir(self, path: str) -> Dir | None:
        """A directory below, None if this kernel has none there."""
        here: Dir | None = self
        for name in path.split("/"):
            here = here.dirs.get(name) if here else None
        return here

    def text(self, path: str, default: str = "") -> str:
        """What a file below holds; `default` if this kernel has none there."""
        head, _, name = path.rpartition("/")
        where = self.dir(head) if head else self
        return where.files[name].text if where and name in where.files else default

    def value(self, path: str, default: int = 0) -> int:
        """The number in a file below; `default` if this kernel has none there."""
        return int(self.text(path, str(default)))

    def set(self, path: str, value: object) -> None:
        """Let the kernel itself change what a file below shows; nothing happens where there is none."""
        head, _, name = path.rpartition("/")
        where = self.dir(head) if head else self
        if where and name in where.files:
            where.files[name].text = str(value)


def damon_shape(facts: Facts) -> Shape:
    """The shape of .../mm/damon/admin on a kernel."""
    root = Shape()
    for path, (mode, default) in facts.tree.items():
        parts = path.split("/")
        here = root
        for depth, name in enumerate(parts[:-1]):
            if name != "0":
                here = here.dirs.setdefault(name, Shape())
                continue
            if "tried_regions" in parts[:depth]:
                here.row = here.row or Shape()
                here = here.row
                continue
            nr_name = _nr_name(parts[depth - 1])
            here.many = here.many or (nr_name, Shape())
            here = here.many[1]
        name = parts[-1]
        if name.startswith("nr_") and mode == 0o600 and name in _NR_FILES:
            here.files[name] = (mode, "0", _text)
            here.many = here.many or (name, Shape())
            here.most = {"nr_contexts": 1, "nr_probes": MAX_PROBES}.get(name, _MANY)
        else:
            here.files[name] = (mode, default, _parser(parts, facts.keywords))
    return root


def _nr_name(parent: str) -> str:
    return "nr_filters" if parent.endswith("filters") else f"nr_{parent}"


_NR_FILES = frozenset(
    f"nr_{name}"
    for name in ("kdamonds", "contexts", "targets", "regions", "schemes", "filters", "goals", "dests", "probes")
)


class SimTree:
    """The `Tree` of the kernel seam over a `Dir`.

    `enter` runs before each access (the kernel catches up with its clock); `check(kind, path, value)` may raise what
    a test wants to see, with `kind` "read" or "write" and the path from the root of the tree.
    """

    def __init__(
        self,
        root: Dir,
        lock: threading.RLock,
        *,
        enter: Callable[[], None],
        check: Callable[[str, str, str], None],
        prefix: str = "",
    ) -> None:
        self._root = root
        self._lock = lock
        self._enter = enter
        self._check = check
        self._prefix = prefix

    def _full(self, path: str) -> str:
        return "/".join(part for part in (self._prefix, path) if part)

    def _find(self, path: str) -> Dir | File:
        if self._root.is_gone():
            raise refuse(errno.ENOENT, self._full(path))
        here: Dir | File = self._root
        for name in filter(None, path.split("/")):
            if isinstance(here, File):
                raise refuse(errno.ENOTDIR, self._full(path))
            found = here.dirs.get(name) or here.files.get(name)
            if found is None:
                raise refuse(errno.ENOENT, self._full(path))
            here = found
        return here

    def _file(self, path: str, mode: int) -> File:
        found = self._find(path)
        if isinstance(found, Dir):
            raise refuse(errno.EISDIR, self._full(path))
        if not found.mode & mode:
            raise refuse(errno.EACCES, self._full(path))
        return found

    def _dir(self, path: str) -> Dir:
        found = self._find(path)
        if isinstance(found, File):
            raise refuse(errno.ENOTDIR, self._full(path))
        return found

    def read(self, path: str) -> str:
        with self._lock:
            self._enter()
            file = self._file(path, 0o400)
            self._check("read", self._full(path), "")
            return file.show() if file.show else file.text

    def write(self, path: str, value: str) -> None:
        with self._lock:
            self._enter()
            file = self._file(path, 0o200)
            self._check("write", self._full(path), value)
            if not value:
                return
            if not file.waits:
                self._store(file, path, value)
                return
        # A reader of the ring must not wait with us.
        self._store(file, path, value)

    def _store(self, file: File, path: str, value: str) -> None:
        try:
            if file.store:
                file.store(value)
            else:
                file.text = file.parse(value)
        except OSError as exc:
            raise refuse(exc.errno or errno.EINVAL, self._full(path)) from exc

    def names(self, path: str = "") -> list[str]:
        with self._lock:
            self._enter()
            found = self._dir(path)
            return [*found.files, *found.dirs]

    def exists(self, path: str) -> bool:
        with self._lock:
            try:
                self._find(path)
            except OSError:
                return False
            return True

    def at(self, path: str) -> SimTree:
        with self._lock:
            found = self._dir(path)
            return SimTree(found, self._lock, enter=self._enter, check=self._check, prefix=self._full(path))

    def read_rows(self, path: str, names: Sequence[str]) -> list[list[str]]:
        with self._lock:
            self._enter()
            self._check("read", self._full(path), "")
            try:
                return [[child.files[name].text for name in names] for child in self._dir(path).children()]
            except KeyError as exc:
                raise refuse(errno.ENOENT, f"{self._full(path)}/*/{exc.args[0]}") from exc

    def close(self) -> None:
        """Nothing is held."""
