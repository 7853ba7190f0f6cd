"""One kdamond's life on every simulated kernel: start, commit, stop, and all that can go wrong between."""

import errno

import pytest

from damod.errors import Conflict, KernelRefused, NoDamon, NotAllowed, NotFound
from damod.kernel import modules, paths, reader, tried
from damod.kernel.control import Control, need_damon
from damod.kernel.features import Features
from damod.kernel.writer import resolve
from damod.spec.kdamond import Kdamond, parse_kdamonds

SCHEME = {"action": "stat", "access_pattern": {"age": {"min": "1s"}}}


def spec_for(kernel, **fields):
    return resolve(parse_kdamonds([{"contexts": [fields]}])[0], kernel.proc)


@pytest.fixture
def control(kernel):
    """The hands on a kernel with two empty slots."""
    kernel.damon.write("kdamonds/nr_kdamonds", "2")
    return Control(kernel, Features.known(kernel.release))


def test_start_holds_the_spec(kernel, control):
    """A started kdamond runs with exactly its spec, whatever was staged in the slot before."""
    kernel.damon.write("kdamonds/0/contexts/nr_contexts", "1")
    kernel.damon.write("kdamonds/0/contexts/0/operations", "fvaddr")
    kernel.damon.write("kdamonds/0/contexts/0/schemes/nr_schemes", "3")
    spec = spec_for(kernel, schemes=[SCHEME])
    pid = control.start(0, spec)
    assert reader.life(kernel, 0) == reader.Life(0, True, pid)
    assert reader.kdamond(kernel, 0) == reader.normalise(spec, control.features)


def test_commit_writes_what_differs(kernel, control):
    """A commit writes the changed files alone, and the kdamond goes on under its pid."""
    pid = control.start(0, spec_for(kernel, schemes=[SCHEME]))
    changed = spec_for(kernel, schemes=[SCHEME], intervals={"sample_us": "10ms", "aggr_us": "200ms"})
    files = [write.path.partition("contexts/0/")[2] for write in control.commit(0, changed)]
    assert files == [
        "monitoring_attrs/intervals/sample_us",
        "monitoring_attrs/intervals/aggr_us",
        "schemes/0/access_pattern/age/min",  # 1 s is fewer aggregation intervals now
    ]
    assert reader.life(kernel, 0).pid == pid
    assert control.commit(0, changed) == []


def test_stop(kernel, control):
    """A stopped kdamond is off when stop returns, stopping it again is nothing, and its neighbour runs on."""
    first, second = control.start(0, spec_for(kernel)), control.start(1, spec_for(kernel))
    assert control.stop(0) == first
    assert control.stop(0) is None
    assert [life.pid for life in reader.lives(kernel)] == [None, second]


def test_refused_write_names_file_and_value(kernel, control):
    """When the kernel refuses a staged value the start ends with what, where and errno; the slot is empty and off."""
    kernel.fail(errno.EINVAL, path="schemes/0/action")
    with pytest.raises(KernelRefused, match=r"writing 'stat' to kdamonds/0/.*/action .*EINVAL") as info:
        control.start(0, spec_for(kernel, schemes=[SCHEME]))
    assert info.value.facts["errno"] == errno.EINVAL and info.value.hint
    assert not reader.life(kernel, 0).on
    assert kernel.damon.read("kdamonds/0/contexts/nr_contexts") == "0"
    assert control.start(0, spec_for(kernel, schemes=[SCHEME]))


def test_refused_commit_puts_the_files_back(kernel, control):
    """A commit that the kernel refuses leaves files and kdamond as they were."""
    pid = control.start(0, spec_for(kernel, schemes=[SCHEME]))
    before = reader.kdamond(kernel, 0)
    kernel.fail(errno.EINVAL, path="state", value="commit")
    with pytest.raises(KernelRefused, match="to commit") as info:
        control.commit(0, spec_for(kernel, schemes=[SCHEME, {"action": "pageout"}]))
    assert info.value.facts["pid"] == pid == reader.life(kernel, 0).pid
    assert reader.kdamond(kernel, 0) == before


def test_half_staged_commit_is_put_back(kernel, control):
    """A refusal in the middle of the writes undoes those before it."""
    control.start(0, spec_for(kernel))
    before = reader.kdamond(kernel, 0)
    kernel.fail(errno.ENOMEM, path="schemes/nr_schemes")
    with pytest.raises(KernelRefused, match="ENOMEM"):
        control.commit(0, spec_for(kernel, intervals={"sample_us": 7000}, schemes=[SCHEME]))
    assert reader.kdamond(kernel, 0) == before


def test_impossible_values_never_end_a_kdamond(kernel, control):
    """Values that our models would refuse, forced in: 6.12 kills the kdamond, and it is started again as it was."""
    spec = spec_for(kernel, schemes=[SCHEME])
    pid = control.start(0, spec)
    before = reader.kdamond(kernel, 0)
    context = spec.contexts[0]
    impossible = context.model_copy(update={"nr_regions": context.nr_regions.model_copy(update={"min": 2000})})
    with pytest.raises(KernelRefused) as info:
        control.commit(0, spec.model_copy(update={"contexts": (impossible,)}))
    alive = reader.life(kernel, 0)
    assert alive.on and alive.pid == info.value.facts["pid"]
    assert (alive.pid == pid) != kernel.release.startswith("6.12")
    assert reader.kdamond(kernel, 0) == before


def test_busy_state_is_waited_out(kernel, control):
    """EBUSY on reading `state` is not an absent kdamond: reading goes on until it answers."""
    pid = control.start(0, spec_for(kernel))
    kernel.busy_reads = 5
    assert reader.life(kernel, 0).pid == pid
    kernel.busy_reads = 10**6
    before = kernel.clock.monotonic_ns()
    with pytest.raises(KernelRefused, match="EBUSY"):
        reader.life(kernel, 0)
    assert (kernel.clock.monotonic_ns() - before) / 1e9 < 2 * reader.BUSY_S


def test_commands_to_a_dead_kdamond(kernel, control):
    """A kdamond that died is not found, rather than refused with the kernel's EINVAL."""
    control.start(0, spec_for(kernel, schemes=[SCHEME]))
    kernel.kill_kdamond(0)
    with pytest.raises(NotFound, match="kdamond 0"):
        control.update_stats(0)
    with pytest.raises(NotFound, match="kdamond 0"):
        control.commit(0, Kdamond())


def test_stats_and_tried_regions(kernel, control):
    """Statistics move while the kdamond works, and the tried regions are listed on request."""
    spec = spec_for(kernel, schemes=[{}])
    control.start(0, spec)
    kernel.clock.advance(1)
    control.update_stats(0)
    (context,) = reader.with_stats(kernel, 0, spec).contexts
    assert context.schemes[0].stats.nr_tried > 0
    control.update_tried_regions(0)
    regions = tried.read(kernel.damon, paths.tried_regions(0, 0))
    assert len(regions) >= 10 and reader.tried_bytes(kernel, 0, 0) in (regions.total_bytes(), 0)


def test_a_module_in_the_way(kernel, control):
    """A start beside an enabled DAMON module is a conflict with the way out; switched off, it works."""
    if "damon_stat" not in kernel.modules.names():
        pytest.skip("this release has no damon_stat")
    modules.switch(kernel, "damon_stat", True)
    assert [module.name for module in modules.enabled(kernel)] == ["damon_stat"]
    with pytest.raises(Conflict, match="EBUSY") as info:
        control.start(0, spec_for(kernel))
    assert "--take_over" in info.value.hint
    modules.switch(kernel, "damon_stat", False)
    assert control.start(0, spec_for(kernel))


def test_module_parameters(kernel):
    """Parameters are read as the kernel prints them and written one by one; an unknown one is not found."""
    (reclaim,) = [module for module in modules.modules(kernel) if module.name == "damon_reclaim"]
    assert not reclaim.enabled and reclaim.parameters["min_age"] == "120000000" and reclaim.pid is None
    modules.write(kernel, "damon_reclaim", "min_age", "5000000")
    assert kernel.modules.read("damon_reclaim/parameters/min_age") == "5000000"
    with pytest.raises(NotFound, match="no such parameter"):
        modules.write(kernel, "damon_reclaim", "colour", "red")


def test_no_damon_and_no_permission(kernel):
    """A kernel without DAMON and a caller without permission are two different sentences."""
    kernel.fail(errno.EACCES, kind="read", path="nr_kdamonds")
    with pytest.raises(NotAllowed) as info:
        need_damon(kernel)
    assert "root" in info.value.hint
    kernel.fail(errno.ENOENT, kind="read", path="nr_kdamonds")
    with pytest.raises(NoDamon):
        need_damon(kernel)
