"""Pages of the simulated trace ring, read here by a small decoder of their own."""

import errno
import struct
import threading

import pytest

from damod.kernel.sim import facts
from damod.kernel.sim.clock import ScaledClock, SimClock
from damod.kernel.sim.ring import MISSED_EVENTS, MISSED_STORED, PADDING, PAGE, TIME_EXTEND, Event, SimTrace


def trace(version="7.3", clock=None, cpus=(0, 1)):
    changed = threading.Condition(threading.RLock())
    formats = facts.load(version).events
    return SimTrace(formats, clock or SimClock(), changed, enter=lambda: None, next_event_ns=lambda: None, cpus=cpus)


def decode(page):
    """([(stamp, payload)], number of lost events or None) of a page."""
    assert len(page) == PAGE
    stamp, commit = struct.unpack_from("<QQ", page)
    size = commit & ((1 << 27) - 1)
    lost = None
    if commit & MISSED_EVENTS:
        lost = -1
    if commit & MISSED_STORED:
        (lost,) = struct.unpack_from("<Q", page, 16 + size)
    records, at = [], 16
    while at < 16 + size:
        (head,) = struct.unpack_from("<I", page, at)
        kind, delta = head & 31, head >> 5
        at += 4
        if kind == TIME_EXTEND:
            stamp += delta + (struct.unpack_from("<I", page, at)[0] << 27)
            at += 4
            continue
        assert kind != PADDING
        length = 4 * kind
        if not kind:
            length = struct.unpack_from("<I", page, at)[0] - 4
            at += 4
        stamp += delta
        records.append((stamp, page[at : at + length]))
        at += length
    return records, lost


def emit(tracer, stamps, name="damon_aggregated", cpu=0):
    event = tracer.known[name]
    packed = [event.pack(77, 0, 5, 4096 * n, 4096 * n + 4096, n, n + 1) for n in range(len(stamps))]
    tracer.emit(event, cpu, stamps, packed)


def drain(ring, cpu=0):
    pages = []
    while page := ring.read(cpu):
        pages.append(page)
    return pages


@pytest.mark.parametrize("version", facts.VERSIONS)
def test_an_event_is_laid_out_by_its_format(version):
    """Each field is where the format text says, with the event's id and the kdamond's pid in front."""
    event = Event("damon_aggregated", facts.load(version).events["damon_aggregated"])
    assert event.fields[4:] == ("target_id", "nr_regions", "start", "end", "nr_accesses", "age")
    data = event.pack(4711, 1, 2, 3 << 40, 4 << 40, 5, 6)
    assert len(data) == 48
    assert struct.unpack("<HBBiQI4xQQII", data) == (event.id, 0, 0, 4711, 1, 2, 3 << 40, 4 << 40, 5, 6)


def test_events_come_back_in_order():
    """What was emitted is read back with its time, over as many pages as it takes."""
    tracer = trace()
    ring = tracer.open(["damon_aggregated"])
    stamps = list(range(10**12, 10**12 + 1000 * 300, 300))
    emit(tracer, stamps)
    pages = drain(ring)
    records = [record for page in pages for record in decode(page)[0]]
    assert [stamp for stamp, _ in records] == stamps
    assert len(pages) == 13
    assert [struct.unpack_from("<Q", data, 24)[0] for _, data in records] == [4096 * n for n in range(1000)]
    assert (ring.overrun(), ring.read(0), ring.read(1)) == (0, b"", b"")


def test_a_full_page_ends_in_padding():
    """Behind the commit of a full page is the padding record that Linux leaves there."""
    tracer = trace()
    ring = tracer.open(["damon_aggregated"])
    emit(tracer, list(range(100)))
    page = ring.read(0)
    commit = struct.unpack_from("<Q", page, 8)[0]
    assert commit == 78 * 52
    assert struct.unpack_from("<I", page, 16 + commit)[0] & 31 == PADDING


def test_long_silence_needs_a_time_extend():
    """Times further apart than 27 bits of nanoseconds come back exactly, also over a half-read page."""
    tracer = trace()
    ring = tracer.open(["damon_aggregated"])
    emit(tracer, [10**9, 4 * 10**9])
    assert [stamp for stamp, _ in decode(ring.read(0))[0]] == [10**9, 4 * 10**9]
    emit(tracer, [9 * 10**9])
    assert [stamp for stamp, _ in decode(ring.read(0))[0]] == [9 * 10**9]


def test_time_does_not_go_back():
    """An event that claims to be older than the last one of its CPU counts as simultaneous."""
    tracer = trace()
    ring = tracer.open(["damon_aggregated"])
    emit(tracer, [2000, 1000])
    assert [stamp for stamp, _ in decode(ring.read(0))[0]] == [2000, 2000]


def test_overwriting_counts_what_is_lost():
    """A full buffer drops its oldest pages; overrun() and the next page say how many events those had."""
    tracer = trace()
    ring = tracer.open(["damon_aggregated"], buffer_kb=8)
    emit(tracer, list(range(1000)))
    pages = drain(ring)
    assert len(pages) == 2
    records, lost = decode(pages[0])
    assert lost == ring.overrun() > 0
    left = len(records) + len(decode(pages[1])[0])
    assert left + lost == 1000
    assert decode(pages[1])[1] is None


def test_dynamic_arrays():
    """Probe hits lie behind the fixed part, found by the field that tells their place and length."""
    tracer = trace()
    ring = tracer.open(["damon_region_aggregated"])
    event = tracer.known["damon_region_aggregated"]
    tracer.emit(event, 0, [5], [event.pack(1, 0, 0, 4096, 1, 20, 3, event.size | 3 << 16) + bytes([7, 8, 9])])
    [(_, data)], _ = decode(ring.read(0))
    where = struct.unpack_from("<I", data, 44)[0]
    assert data[where & 0xFFFF :][: where >> 16] == bytes([7, 8, 9])


def test_a_large_record_has_its_length_in_a_word():
    """Payloads above 112 bytes use the second form of a record."""
    tracer = trace()
    ring = tracer.open(["damon_aggregated"])
    payload = bytes(range(130)) + b"xy"
    tracer.emit(tracer.known["damon_aggregated"], 1, [5], [payload])
    assert decode(ring.read(1)) == ([(5, payload)], None)


def test_only_the_events_asked_for():
    """A ring gets what it was opened for, on any CPU; nothing is packed for nobody."""
    tracer = trace()
    assert tracer.wanted("damon_aggregated") is None
    ring = tracer.open(["damos_before_apply"])
    emit(tracer, [1])
    assert not ring.wait(0)
    assert tracer.wanted("damos_before_apply")
    ring.close()
    assert tracer.wanted("damos_before_apply") is None


def test_an_event_that_this_kernel_lacks():
    """Opening it is ENOENT, as of a file that is not there."""
    with pytest.raises(OSError) as caught:
        trace("6.12").open(["damon_region_aggregated"])
    assert caught.value.errno == errno.ENOENT


def test_waiting_takes_its_time():
    """Without data wait() returns False when its time on the kernel's clock is over."""
    clock = SimClock()
    ring = trace(clock=clock).open(["damon_aggregated"])
    before = clock.monotonic_ns()
    assert not ring.wait(1.5)
    assert clock.monotonic_ns() - before == 1_500_000_000


def test_close_ends_a_wait():
    """A reader that sleeps in wait() comes back when the ring is closed."""
    ring = trace(clock=ScaledClock()).open(["damon_aggregated"])
    reader = threading.Thread(target=ring.wait, args=(30,))
    reader.start()
    ring.close()
    reader.join(5)
    assert not reader.is_alive()


def test_header_page_describes_the_pages():
    """The layout text names what the pages have."""
    text = trace().header_page()
    assert "field: u64 timestamp;\toffset:0;\tsize:8;" in text
    assert "field: char data;\toffset:16;\tsize:4080;" in text
