"""The thin path on a dict of files: start, commit, read back, stop."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from damod.errors import NotFound
from damod.kernel import paths, reader
from damod.kernel.control import Control
from damod.kernel.features import Features
from damod.kernel.writer import writes
from damod.spec.kdamond import Context, Intervals, Kdamond, Target
from damod.spec.scheme import Scheme


class DictTree:
    """Files by path; counts make and drop directories, whose files are those of the maximal spec below."""

    def __init__(self, slots):
        self.files = {paths.NR_KDAMONDS: str(slots)}
        for slot in range(slots):
            self.files |= {paths.state(slot): "off", paths.pid(slot): "-1", paths.nr_contexts(slot): "0"}
            self.files[f"{paths.kdamond(slot)}/refresh_ms"] = "0"

    def read(self, path):
        if path not in self.files:
            raise FileNotFoundError(2, "no such file", path)
        return self.files[path]

    def write(self, path, value):
        if path not in self.files and not re.search(r"/contexts/0/", path):
            raise FileNotFoundError(2, "no such file", path)
        if path.endswith("/state"):
            self.files[path.replace("state", "pid")] = "-1" if value == "off" else "77"
            value = {"on": "on", "off": "off"}.get(value, "on")
        if re.search(r"/nr_\w+$", path):
            self.files = {
                p: v for p, v in self.files.items() if not re.match(re.escape(path.rpartition("/")[0]) + r"/\d+/", p)
            }
        self.files[path] = value


@pytest.fixture
def kernel():
    """A kernel of two slots whose clock stands still."""
    clock = SimpleNamespace(monotonic_ns=lambda: 0, sleep=lambda s: None)
    return SimpleNamespace(damon=DictTree(2), clock=clock, release="7.3.4")


SPEC = Kdamond(contexts=(Context(targets=(Target(regions=({"start": 4096, "end": 8192},)),), schemes=(Scheme(),)),))


def test_start_commit_stop(kernel):
    """A started kdamond holds its spec, a commit writes just what changed, stop ends it."""
    control = Control(kernel, Features.known("7.3"))
    assert control.start(1, SPEC) == 77
    assert reader.kdamond(kernel, 1) == reader.normalise(SPEC)
    faster = SPEC.contexts[0].model_copy(update={"intervals": Intervals(sample_us=10_000, aggr_us=200_000)})
    changed = control.commit(1, SPEC.model_copy(update={"contexts": (faster,)}))
    assert [(write.path.rpartition("/")[2], write.value) for write in changed] == [
        ("sample_us", "10000"),
        ("aggr_us", "200000"),
    ]
    assert control.stop(1) == 77
    with pytest.raises(NotFound, match="kdamond 1 does not run"):
        control.commit(1, SPEC)


def test_counts_come_before_children():
    """Every directory is made by a count written before its first file."""
    made = set()
    for write in writes(SPEC, 0, Features.known("7.3")):
        parts = write.path.split("/")
        for index, part in enumerate(parts[2:], start=2):
            if part.isdigit():
                assert "/".join(parts[:index]) + "/" in made
        made.add(write.makes)
