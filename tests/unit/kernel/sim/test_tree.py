"""The in-memory sysfs: directories that come and go, values and refusals."""

import errno
import threading

import pytest

from damod.kernel.sim import facts
from damod.kernel.sim.tree import Dir, SimTree, boolean, damon_shape, number, one_of

KDAMOND = "kdamonds/0"
CONTEXT = f"{KDAMOND}/contexts/0"
SCHEME = f"{CONTEXT}/schemes/0"
COUNTS = [
    "nr_" + name
    for name in ("kdamonds", "contexts", "targets", "regions", "schemes", "filters", "goals", "dests", "probes")
]


def tree(version="7.3", full=False):
    """The tree of a kernel without what happens behind it; `full` has one of everything."""
    root = SimTree(
        Dir(None, damon_shape(facts.load(version))),
        threading.RLock(),
        enter=lambda: None,
        check=lambda kind, path, value: None,
    )
    if full:
        counts = [path for path in facts.load(version).tree if path.rpartition("/")[2] in COUNTS]
        for path in sorted(counts, key=lambda path: path.count("/")):
            root.write(path, "1")
    return root


def walk(at, path=""):
    for name in at.names(path):
        here = f"{path}/{name}".lstrip("/")
        try:
            at.names(here)
        except NotADirectoryError:
            yield here
        else:
            yield from walk(at, here)


def refusal(at, path, value):
    with pytest.raises(OSError) as caught:
        at.write(path, value)
    return caught.value.errno


@pytest.mark.parametrize("version", facts.VERSIONS)
def test_the_tree_is_that_of_the_kernel(version):
    """With one of everything there are exactly the files of the listing, with their defaults."""
    listed = {
        path: default
        for path, (_, default) in facts.load(version).tree.items()
        if "tried_regions/0" not in path and "probes/0/filters/0" not in path
    }
    one = tree(version, full=True)
    shown = {path: one.read(path) for path in walk(one) if "probes/0/filters/0" not in path}
    # The listing was made with an empty filter list in the probe.
    listed |= {path: "1" for path in listed if path.endswith("probes/0/filters/nr_filters")}
    assert shown == listed


@pytest.mark.parametrize("version", facts.VERSIONS)
def test_every_attribute_keeps_what_is_written(version):
    """Each writable file takes another value of its kind and shows it; each read-only one is EACCES."""
    one, known = tree(version, full=True), facts.load(version)
    for path, (mode, default) in known.tree.items():
        name = path.rpartition("/")[2]
        if "tried_regions/0" in path or name in ("state",) or (name.startswith("nr_") and mode == 0o600):
            continue
        if mode == 0o400:
            assert refusal(one, path, "1") == errno.EACCES
            continue
        if path.endswith("core_filters/0/type"):
            # Linux shows a default here that it does not take.
            default = "addr"
        value = "/some" if "path" in name else "Y" if default == "N" else "7"
        if default and not default.lstrip("-").isdecimal() and default != "N":
            value = default
            assert refusal(one, path, "bogus") == errno.EINVAL
        one.write(path, value if "path" in name else value + "\n")
        assert one.read(path) == value


@pytest.mark.parametrize("version", facts.VERSIONS)
def test_keywords(version):
    """Each keyword file takes what this kernel knows and nothing else."""
    one, keywords = tree(version, full=True), facts.load(version).keywords
    files = {
        f"{SCHEME}/action": "action",
        f"{CONTEXT}/operations": "ops",
        f"{SCHEME}/filters/0/type": "filters",
        f"{SCHEME}/core_filters/0/type": "core_filters",
        f"{SCHEME}/ops_filters/0/type": "ops_filters",
        f"{SCHEME}/quotas/goals/0/target_metric": "goal",
        f"{SCHEME}/quotas/goal_tuner": "goal_tuner",
        f"{SCHEME}/watermarks/metric": "wmark",
    }
    for path, kind in files.items():
        assert one.exists(path) == (kind in keywords)
        for word in keywords.get(kind, ()):
            one.write(path, word)
            assert one.read(path) == word
        if kind in keywords:
            assert refusal(one, path, "bogus") == errno.EINVAL
            assert one.read(path) == keywords[kind][-1]


def test_counts_make_and_remake_directories():
    """Writing a count makes children with defaults; writing it again makes them anew."""
    one = tree()
    one.write("kdamonds/nr_kdamonds", "2")
    one.write(f"{KDAMOND}/contexts/nr_contexts", "1")
    one.write(f"{CONTEXT}/operations", "paddr")
    one.write(f"{KDAMOND}/contexts/nr_contexts", "1")
    assert one.read(f"{CONTEXT}/operations") == "vaddr"
    one.write("kdamonds/nr_kdamonds", "0")
    assert one.names("kdamonds") == ["nr_kdamonds"]


@pytest.mark.parametrize(
    ("path", "value", "answer"),
    [
        (f"{KDAMOND}/contexts/nr_contexts", "2", errno.EINVAL),
        (f"{KDAMOND}/contexts/nr_contexts", "-1", errno.EINVAL),
        (f"{KDAMOND}/contexts/nr_contexts", "x", errno.EINVAL),
        (f"{CONTEXT}/targets/nr_targets", "-1", errno.EINVAL),
        (f"{CONTEXT}/targets/nr_targets", str(2**31), errno.ERANGE),
        (f"{CONTEXT}/targets/nr_targets", str(2**30), errno.ENOMEM),
        (f"{CONTEXT}/monitoring_attrs/probes/nr_probes", "5", errno.EINVAL),
        (f"{CONTEXT}/monitoring_attrs/intervals/sample_us", "-1", errno.EINVAL),
        (f"{CONTEXT}/monitoring_attrs/intervals/sample_us", "5 ms", errno.EINVAL),
        (f"{CONTEXT}/monitoring_attrs/intervals/sample_us", str(2**64), errno.ERANGE),
        (f"{SCHEME}/quotas/bytes", str(2**64), errno.EINVAL),
        (f"{SCHEME}/quotas/weights/sz_permil", str(2**32), errno.ERANGE),
        (f"{KDAMOND}/refresh_ms", str(2**32), errno.ERANGE),
        (f"{CONTEXT}/targets/0/pid_target", str(2**31), errno.EINVAL),
        (f"{CONTEXT}/pause", "maybe", errno.EINVAL),
        (f"{CONTEXT}/addr_unit", "0", errno.EINVAL),
        (f"{CONTEXT}/nothing", "1", errno.ENOENT),
        (CONTEXT, "1", errno.EISDIR),
        (f"{CONTEXT}/operations/deeper", "1", errno.ENOTDIR),
        (f"{KDAMOND}/pid", "1", errno.EACCES),
    ],
)
def test_refusals(path, value, answer):
    """What Linux refuses is refused with its errno, and an error names the file."""
    one = tree(full=True)
    with pytest.raises(OSError) as caught:
        one.write(path, value)
    assert (caught.value.errno, caught.value.filename) == (answer, path)


@pytest.mark.parametrize(
    ("text", "value"), [("10\n", 10), ("0x10", 16), ("010", 8), ("+7", 7), ("0", 0), ("-5", -5), ("0xffff", 65535)]
)
def test_numbers_have_base_zero(text, value):
    """Numbers are read as kstrtoint(buf, 0) reads them."""
    assert number(text, low=-100, high=2**20) == value


@pytest.mark.parametrize("text", ["", " 1", "1 ", "1\n\n", "08", "0x", "1_000", "--1", "+-1", "½", "٣"])
def test_no_numbers(text):
    """Blanks, a second newline, digits of another base or script make no number."""
    with pytest.raises(OSError) as caught:
        number(text, low=-100, high=100)
    assert caught.value.errno == errno.EINVAL


def test_booleans_are_read_by_their_first_letters():
    """kstrtobool takes y, t, 1, e, on and their opposites, and looks no further."""
    assert [boolean(text) for text in ("y", "Yes\n", "true", "1", "on", "enable")] == ["Y"] * 6
    assert [boolean(text) for text in ("n", "No", "false", "0", "OFF", "disable")] == ["N"] * 6
    for text in ("", "maybe", "oh", "2"):
        with pytest.raises(OSError):
            boolean(text)


def test_keyword_parsers_want_the_whole_word():
    """A prefix or a second word is no keyword."""
    parse = one_of(["cold", "pageout"])
    assert parse("cold\n") == "cold"
    for text in ("col", "cold pageout", "", "cold\n\n"):
        with pytest.raises(OSError):
            parse(text)


def test_a_handle_survives_what_it_points_to():
    """A handle on a removed directory answers ENOENT, even when a new one has its name."""
    one = tree()
    one.write("kdamonds/nr_kdamonds", "1")
    handle = one.at(KDAMOND)
    inner = handle.at("contexts")
    assert handle.read("state") == "off"
    one.write("kdamonds/nr_kdamonds", "1")
    for gone in (handle, inner):
        with pytest.raises(FileNotFoundError):
            gone.names()
        assert not gone.exists("state")
    assert one.at(KDAMOND).read("state") == "off"


def test_an_empty_write_is_nothing():
    """write(2) of no bytes does not reach the kernel's store function."""
    one = tree(full=True)
    one.write(f"{CONTEXT}/operations", "")
    assert one.read(f"{CONTEXT}/operations") == "vaddr"


def test_rows():
    """read_rows gives the asked files of each numbered directory, in the order of the numbers."""
    one = tree()
    one.write("kdamonds/nr_kdamonds", "12")
    assert one.read_rows("kdamonds", ["state", "pid"]) == [["off", "-1"]] * 12
    with pytest.raises(FileNotFoundError):
        one.read_rows("kdamonds", ["nothing"])
