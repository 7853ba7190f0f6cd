"""The child of test_hostile.py: forges records, limits its own memory, and shows them with reports of all kinds."""

from __future__ import annotations

import io
import json
import os
import random
import resource
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np

from damoctl.main import main
from damod.access.snapshot import Regions, Snapshot
from damod.records.schema import RecordMeta
from damod.records.writer import RecordWriter

GIB = 1 << 30
U64, I64, I32 = 2**64 - 1, 2**63 - 1, 2**31 - 1
# Processor time: the machine may have others on it.
MOST_S = 15.0
REPORTS = (
    "report heatmap --resol 3 7", "report heatmap --output raw --resol 1 5", "report heatmap --guide",
    "report heatmap --json --draw_range all --resol 2 2", "report heatmap --sort_temperature --resol 2 3",
    "report heatmap --time_range 0 max --address_range 0 max", "report heatmap --resol 2 3 --compat damo",
    "report wss", "report wss --work_time max", "report wss --json -r 0 101 10", "report nr_regions",
    "report times --access_rate 5% 50%", "report record_info", "report holistic", "report trace --count 50",
    "report access", "report access --style simple-boxes", "report access --raw_form", "report access --json",
    "report access --style temperature-sz-hist --hist_logscale --hist_cumulate", "report access --style hot",
    "report access --style recency-percentiles --percentiles_range 0 101 20", "report access --snapshot_heatmap_static",
    "report access --temperature_weights 1 1 1 --sort_regions_by temperature", "report access --compat damo",
    "report access --address 4K 1T --sz_region 1 max --age 0 max", "validate", "replay --steps", "report attrs",
)  # fmt: skip
TOO_MUCH = (
    "report heatmap --resol 20000 20000", "report heatmap --resol 2000 4000 --json", "report heatmap --resol 20000 400",
    "report wss -r 0 999999999999 1", "report wss --nr_cols_bar 1000000000",
    "report access --percentiles_range 0 99999999999999999999 1", "report access --snapshot_heatmap_width 10000",
    "report access --snapshot_heatmap_width max", "report access --min_chars_for size 99999999999",
    "report access --region_box --region_box_min_max_length 1000 1000 --region_box_min_max_height 100 100",
    "report access --region_box --region_box_min_max_height 999999999 999999999",
    "report access --temperature_weights 99999999999999999999 9 9 --sort_regions_by temperature",
    "report access --temperature 99999999999999999999 99999999999999999999999",
    "report access --style temperature-sz-hist --hist_ranges 0 max max 0",
    f"report access --format set region {'<size>' * 2000}",
)  # fmt: skip


def shot(
    start_ns: int, end_ns: int, rows: list[tuple[int, int, int, int]], *, sample_us: int = 5000, aggr_us: int = 100_000,
    target: int = 0, probe_hits: list[list[int]] | None = None, passed: list[int] | None = None,
) -> Snapshot:  # fmt: skip
    """A snapshot of (start, end, nr_accesses, age)."""
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    kinds = ("u8", "u8", "i8", "i8")
    made = Regions(*(np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)), probe_hits, passed)
    return Snapshot(0, 0, target, start_ns, end_ns, 0, sample_us, aggr_us, made, source="record")


USUAL = [(4096, 8192, 3, 1), (8192, 1 << 30, 0, 7), (1 << 40, (1 << 40) + 4096, 20, 0)]
EXTREME: dict[str, list[Snapshot]] = {
    "whole_space": [shot(0, 10**8, [(0, U64, 3, 4)])],
    "top": [shot(0, 10**8, [(I64 - 4095, I64 + 1, 3, 4), (I64 + 1, U64, 20, 0)])],
    "counts": [shot(0, 10**8, [(0, 4096, I32, I32), (4096, 1 << 40, 0, I32)])],
    "jump": [shot(0, 10**8, USUAL), shot(10**8, I64, USUAL)],
    "before": [shot(-I64, -9, USUAL), shot(-9, I64 - 9, USUAL)],
    "years": [shot(at * 10**17, at * 10**17 + 10**8, USUAL) for at in (0, 3)],
    "old": [shot(10**9, 2 * 10**9, [(0, 4096, 3, I32)], aggr_us=1 << 40)],
    "long_aggr": [shot(0, 10**8, USUAL, sample_us=1, aggr_us=I64)],
    "long_sample": [shot(0, 10**8, USUAL, sample_us=I64, aggr_us=1)],
    "no_time": [shot(5, 5, USUAL), shot(5, 5, USUAL)],
    "backwards": [shot(9, 9, USUAL), shot(3, 4, USUAL)],
    "passed": [shot(0, 10**8, [(0, 1 << 62, 3, 4)], passed=[I64])],
    "hits": [shot(0, 10**8, USUAL, probe_hits=[[I32] * 8, [5] * 8, [0] * 8])],
    "ragged": [shot(0, 10**8, USUAL, probe_hits=[[I32] * 8, [], [1]])],
    "targets": [shot(at, at + 1, USUAL, target=target) for at in (0, 1) for target in range(40)],
    "regions": [shot(0, 10**8, [(at << 13, (at << 13) + 4096, at % 20, at % 99) for at in range(20_000)])],
    "empty": [shot(at, at + 1, []) for at in range(3000)],
    "nested": [shot(0, 10**8, [(0, at << 20, at % 20, 1) for at in range(1, 1500)])],
    "none": [],
}


def text(regions: str, **facts: str) -> str:
    """A record of damo's JSON with one snapshot; `facts` are JSON."""
    known = {
        "kdamond_idx": "0", "context_idx": "0", "target_id": "0", "scheme_idx": "null", "start": '"0"',
        "end": '"100000000"', "intervals": '{"sample_us":"5000","aggr_us":"100000","ops_update_us":"0"}', **facts,
    }  # fmt: skip
    snapshot = f'{{"start_time":{known.pop("start")},"end_time":{known.pop("end")},"regions":[{regions}]}}'
    return f'[{{{",".join(f"{json.dumps(key)}:{value}" for key, value in known.items())},"snapshots":[{snapshot}]}}]'


def region(start: str = "0", end: str = "4096", samples: str = "1", age: str = "1") -> str:
    return f'{{"start":{start},"end":{end},"nr_accesses":{{"samples":{samples}}},"age":{{"aggr_intervals":{age}}}}}'


def event(time_s: str = "1.0", target: str = "0", count: str = "1", span: str = "0-4096", look: str = "1 1") -> str:
    return (
        f"kdamond.0 100 [000] {time_s}: damon:damon_aggregated: target_id={target} nr_regions={count} {span}: {look}\n"
    )


TEXTS: dict[str, str] = {
    "big": text(region("0", str(U64), str(I64), str(I64))),
    "time": text(region(), end=str(2**70)),
    "negative_time": text(region(), start=f'"{-I64}"', end="5"),
    "nan": text(region(samples="NaN")),
    "infinite": text(region(samples="1e400")),
    "digits": text(region(samples="1" + "0" * 5000)),
    "hexadecimal": text(region(samples=f'"0x{"f" * 100_000}"')),
    "long_text": text(region(samples=f'"{"1" * 3_000_000}"')),
    "index": text(region(), kdamond_idx=str(2**40)),
    "target": text(region(), target_id=str(2**70)),
    "filters": text(region(), scheme_filters='"abc"'),
    "filters_of_numbers": text(region(), scheme_filters="[1, 2]"),
    "filters_of_lists": text(region(), scheme_filters='[{"filter_type": ["x"]}]'),
    "interval": text(region(), intervals=f'{{"sample_us":"1","aggr_us":"{2**80}","ops_update_us":"0"}}'),
    "deep": "[" * 100_000,
    "deep_value": text(region(), x="[" * 900 + "]" * 900),
    "records": "[" + ",".join([text(region())[1:-1]] * 3000) + "]",
    "many_regions": event(count=str(2**40), span=f"0-{U64}"),
    "endless_count": event(count="9" * 4400),
    "endless_target": event(target="9" * 4400),
    "endless_time": event(time_s="9" * 4400 + ".0") * 2,
    "late": event(time_s=f"{2**60}.0") * 2,
    "below": event(span="-5-4096"),
    "reversed": event(span="500-1"),
    "clock": event(time_s="9.0") + event(time_s="1.0"),
    "samples": event(look=f"{2**62} {2**62}"),
    "tuned": "kdamond.0 1 [000] 1.0: damon:damon_monitor_intervals_tune: sample_us=" + "9" * 30 + "\n" + event() * 2,
    "line": "damon " + "a" * 3_000_000,
}
_LAID = (
    '                    {\n                        "start": "0",\n                        "end": "4096",\n'
    '                        "nr_accesses": {\n                            "samples": 1,\n'
    '                            "percent": null\n                        },\n                        "age": {\n'
    '                            "usec": null,\n                            "aggr_intervals": "1"\n'
    "                        }\n                    },\n"
)
# head and what is repeated until it is so many MiB
BOMBS = {
    "blanks": ("[", " " * 1000, 64),
    "zeros": ("", "\0" * 1000, 64),
    "brackets": ("", "[" * 1000, 64),
    "string": ('[{"target_id": "', "a" * 1000, 64),
    "lines": ("damon ", "a\n" * 1000, 64),
    "numbers": ('[{"target_id":0,"x":[', "1," * 1000, 64),
    "dictionaries": ('[{"target_id":0,"x":[', "{}," * 1000, 64),
    "records": ("[", '{"target_id":0,"snapshots":[]},' * 100, 30),
    "snapshots": ('[{"target_id":0,"snapshots":[', '{"start_time":"0","end_time":"1","regions":[]},' * 50, 30),
    "regions": (
        '[\n    {\n        "target_id": 0,\n        "snapshots": [\n            {\n                "start_time": "0",\n'
        '                "end_time": "1",\n                "regions": [\n',
        _LAID,
        64,
    ),
}  # fmt: skip


def forged(where: Path) -> Iterator[str]:
    """Write every absurd record; their names."""
    for name, shots in EXTREME.items():
        for sealed in (True, False):
            kind = "parquet" if sealed else "part"
            with RecordWriter(where, f"{name}.{kind}", RecordMeta(kernel="6.12", id="x")) as writer:
                for one in shots:
                    writer.append(one)
                if sealed:
                    writer.seal()
            yield f"{name}.{kind}" + ("" if sealed else ".part")
    for name, content in TEXTS.items():
        (where / f"{name}.text").write_text(content)
        yield f"{name}.text"
    for name, (head, piece, mebibytes) in BOMBS.items():
        pack, block = zlib.compressobj(1), piece * ((1 << 20) // len(piece) + 1)
        with (where / f"{name}.bomb").open("wb") as file:
            file.write(pack.compress(head.encode()))
            for _ in range(mebibytes):
                file.write(pack.compress(block.encode()))
            file.write(pack.flush())
        yield f"{name}.bomb"


def damaged(where: Path, count: int) -> Iterator[str]:
    """Write whole records of each format with bits flipped, bytes overwritten or the end gone; their names."""
    rng = random.Random(count)
    seeds = []
    shots = [shot(at * 10**8, (at + 1) * 10**8, USUAL) for at in range(4)]
    for sealed in (True, False):
        with RecordWriter(where, "seed", RecordMeta(kernel="6.12", id="x")) as writer:
            for one in shots:
                writer.append(one)
        if sealed:
            seeds.append((where / "seed.part").read_bytes())
            (where / "seed.part").unlink()
        else:
            from damod.records.writer import seal

            seal(where, "seed")
            seeds.append((where / "seed").read_bytes())
    from damod.records import convert, open_record

    for kind in ("json", "json_compressed", "perf_script"):
        with open_record(where / "seed") as record:
            convert.write(record, where / "other", kind)
        seeds.append((where / "other").read_bytes())
    seeds.append(b"PERFILE2" + rng.randbytes(500))
    for number in range(count):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(0, 4)):
            at = rng.randrange(len(data))
            if rng.random() < 0.5:
                data[at] ^= 1 << rng.randrange(8)
            else:
                data[at : at + 8] = rng.choice((b"\xff" * 8, b"\0" * 8, rng.randbytes(8), b"99999999"))
        if rng.random() < 0.4:
            del data[rng.randrange(len(data)) :]
        name = f"{number}.damaged"
        (where / name).write_bytes(data)
        yield name


class Counted(io.TextIOBase):
    """Output that is counted and dropped."""

    def __init__(self) -> None:
        self.size = 0

    def write(self, text: str) -> int:
        self.size += len(text)
        return len(text)


def run(words: list[str]) -> str:
    """What was wrong with a run of damoctl, "" if nothing was."""
    out, err = Counted(), io.StringIO()
    before = time.process_time()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            status = main(words)
        except SystemExit as exc:
            status = int(exc.code or 0)
    took = time.process_time() - before
    said = err.getvalue()
    # Without this child's limit the kernel would have ended us before Python noticed.
    if status == 70 or "Traceback" in said or "Warning" in said or "not enough memory for this" in said:
        return said[:400]
    if status and not said.startswith("damoctl: "):
        return f"status {status} without a sentence: {said[:200]}"
    if len(said) > 5000:
        return f"a message of {len(said):,} characters"
    return f"took {took:.1f} s" if took > MOST_S else ""


def cases(count: int) -> Iterator[tuple[str, str]]:
    where = Path("records")
    where.mkdir()
    rng = random.Random(count)
    for name in forged(where):
        few = name.endswith((".bomb", ".part"))
        for words in rng.sample(REPORTS, 1 if few else 4):
            yield words, name
    for words in TOO_MUCH:
        yield words, rng.choice(("years.parquet", "regions.parquet", "jump.parquet"))
    for name in damaged(where, count):
        yield rng.choice(REPORTS), name


def held_bytes() -> int:
    """What this process already has, so that the limit is what the cases may add."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmData"].split()[0]) << 10


def whole(count: int) -> None:
    limit = held_bytes() + GIB
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * GIB, 2 * GIB))
    done = 0
    for words, name in cases(count):
        first, *rest = words.split(" ")
        path = ["records/" + name] if first == "replay" else ["--input", "records/" + name]
        wrong = run([first, *rest, *path])
        if wrong:
            print("wrong:", words[:120], name, wrong, flush=True)
        done += 1
    print(done, "cases", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10, "MiB", flush=True)


if __name__ == "__main__":
    os.environ.pop("DAMOD_DEBUG", None)
    whole(int(sys.argv[1]))
