"""Spec -> writes, without any kernel."""

from hypothesis import given, settings

from damod.kernel.features import Features
from damod.kernel.writer import differences, notes, resolve, writes
from damod.spec.kdamond import parse_kdamonds
from tests.strategies import kdamonds

NEW, OLD = Features.known("7.3"), Features.known("6.12")


def context(**fields):
    return parse_kdamonds([{"contexts": [fields]}])[0]


def values(spec, features, below="kdamonds/0/contexts/0/"):
    return {item.path.removeprefix(below): item.value for item in writes(spec, 0, features)}


@settings(max_examples=50)
@given(kdamonds())
def test_counts_come_before_children(spec):
    """Every numbered directory is made by a count before anything is written into it, and nothing is written twice."""
    made, paths = set(), []
    for write in writes(spec, 0, NEW):
        parts = write.path.split("/")
        for index, part in enumerate(parts[2:], start=2):
            if part.isdigit():
                assert "/".join(parts[:index]) + "/" in made
        made.add(write.makes)
        paths.append(write.path)
    assert len(paths) == len(set(paths))


def test_bounds_are_counted_on_the_intervals():
    """Rates become samples and ages aggregation intervals: lower bounds rounded up, upper ones down, max is u32 max."""
    pattern = {"nr_accesses": {"min": "11%", "max": "49%"}, "age": {"min": "250ms", "max": "max"}}
    spec = context(intervals={"sample_us": "5ms", "aggr_us": "100ms"}, schemes=[{"access_pattern": pattern}])
    files = values(spec, NEW, "kdamonds/0/contexts/0/schemes/0/access_pattern/")
    assert (files["nr_accesses/min"], files["nr_accesses/max"]) == ("3", "9")
    assert (files["age/min"], files["age/max"]) == ("3", str(2**32 - 1))
    assert files["sz/max"] == str(2**64 - 1)


def test_filters_go_where_the_kernel_has_them():
    """Core filters and page filters have directories of their own since 6.15; before that there is one for all."""
    mixed = [{"filter_type": "anon"}, {"filter_type": "addr", "address_range": {"start": 0, "end": 9}}]
    spec = context(schemes=[{"filters": mixed}])
    new, old = (values(spec, which, "kdamonds/0/contexts/0/schemes/0/") for which in (NEW, OLD))
    assert (new["core_filters/0/type"], new["ops_filters/0/type"], new["filters/nr_filters"]) == ("addr", "anon", "0")
    assert (old["filters/0/type"], old["filters/1/type"], old["filters/1/addr_end"]) == ("anon", "addr", "9")
    assert not [path for path in old if "core_" in path or "ops_" in path or path.endswith("/allow")]
    assert "before those by page" in notes(spec, NEW)[0]


def test_differences_leave_unchanged_counts_alone():
    """A count that stands in the tree already is not written, since writing it would throw its children away."""
    before = context(schemes=[{}, {"action": "cold"}])
    after = context(schemes=[{}, {"action": "pageout"}])
    tree = {item.path: item.value for item in writes(before, 0, NEW)}
    assert differences(writes(before, 0, NEW), tree.__getitem__) == []
    (only,) = differences(writes(after, 0, NEW), tree.__getitem__)
    assert (only.path, only.value) == ("kdamonds/0/contexts/0/schemes/1/action", "pageout")


def test_differences_rewrite_below_a_changed_count():
    """A changed count makes its directories anew, so all below it is written, and nothing beside it."""
    before, after = context(schemes=[{}]), context(schemes=[{}, {}])
    tree = {item.path: item.value for item in writes(before, 0, NEW)}
    needed = differences(writes(after, 0, NEW), tree.__getitem__)
    below = "kdamonds/0/contexts/0/schemes/"
    assert needed[0].path == below + "nr_schemes"
    assert needed == [item for item in writes(after, 0, NEW) if item.path.startswith(below)]


class Ram:
    """A machine with two ranges of memory."""

    def system_ram(self):
        return [(4096, 8192), (2**32, 2**33)]


def test_paddr_watches_the_largest_range():
    """A paddr target without regions gets the largest range, in address units; given regions are kept."""
    (target,) = resolve(context(addr_unit=4096), Ram()).contexts[0].targets
    assert [(one.start, one.end) for one in target.regions] == [(2**20, 2**21)]
    given_regions = context(targets=[{"regions": [{"start": 0, "end": 1}]}])
    assert resolve(given_regions, Ram()) == given_regions


def test_notes_warn_of_what_does_nothing():
    """Accepted by the kernel but without effect: said before it is started, by release where it matters."""
    moving = {"action": "migrate_hot", "target_nid": 1}
    vaddr = context(ops="vaddr", targets=[{"pid": 1}], schemes=[moving])
    assert "before Linux 6.17" in notes(vaddr, OLD)[0]
    assert notes(vaddr, NEW) == []
    narrow = context(schemes=[{"access_pattern": {"nr_accesses": {"min": "1%", "max": "4%"}}}])
    assert "nothing can match" in notes(narrow, NEW)[0]
