"""The memory of whose kdamond is which."""

import json

import pytest
from hypothesis import given, settings

from damod.daemon.slots import Owned, RuntimeDir, Slots, check_name
from damod.errors import UsageError
from tests.strategies import kdamonds


@settings(max_examples=25)
@given(kdamonds())
def test_saved_is_loaded(tmp_path_factory, spec):
    """Whatever runs, the next damod reads back exactly what this one wrote."""
    where = RuntimeDir(tmp_path_factory.mktemp("run"))
    item = Owned(3, "web-1", 0, spec, pid=5, pid_start=99, started_ns=10**18, targets={7: None, 8: 1})
    slots = Slots(8, {3: item}, ("damon_stat",))
    where.save(slots)
    assert where.load() == slots
    assert [path.name for path in where.path.iterdir()] == ["slots.json"]


def test_nothing_saved_is_empty(tmp_path):
    """The first start ever finds nothing."""
    assert RuntimeDir(tmp_path).load() == Slots()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", json.dumps({"version": 2}), json.dumps({"version": 1, "slots": {"0": {}}})]
)
def test_damage_is_a_sentence(tmp_path, text):
    """A file that was damaged, or written by another version, is one ValueError that names it."""
    where = RuntimeDir(tmp_path)
    where.file.write_text(text)
    with pytest.raises(ValueError, match=r"slots\.json cannot be read"):
        where.load()


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 65, "ä"])
def test_names(name):
    """Names of sets are file-name safe."""
    check_name("tiering.v2_web-1")
    with pytest.raises(UsageError):
        check_name(name)
