"""`python -m damod.recorder.seal`: turns the unfinished files of a record into whole ones, as the caller, then ends.

A process of its own, since it has to become the caller for good, may take seconds for an hour's record, and must not
make the recorder large. What cannot be sealed stays as it is: a `.part` is readable.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence

# What would be loaded later may lie where the caller cannot read.
import pyarrow.parquet  # noqa: F401

from damod.errors import Conflict, DamodError, NotFound
from damod.recorder.job import FOOTPRINT, OUTPUT_TYPES, PROC_STATS, VMAS
from damod.recorder.place import Place, part
from damod.recorder.sides import seal_side
from damod.records.convert import write
from damod.records.reader import open_record
from damod.records.writer import seal


def become(caller: Sequence[int]) -> None:
    """Be (uid, gid, *groups) from now on, if we are root and they are not."""
    uid, gid, *groups = caller
    if os.geteuid() == 0 and uid != 0:
        os.setgroups(groups)
        os.setgid(gid)
        os.setuid(uid)


def seal_all(directory: int, out: str, mode: int, output_type: str = "parquet", existing: str = "old") -> Sequence[str]:
    """Seal the record and its side files; what is missing of it.

    Raises DamodError or OSError after having tried all of them.
    """
    problems: list[Exception] = []
    warnings: Sequence[str] = ()
    for kind in (FOOTPRINT, VMAS, PROC_STATS):
        try:
            seal_side(directory, f"{out}.{kind}", mode)
        except OSError as exc:
            problems.append(exc)
    with contextlib.suppress(FileNotFoundError):
        if not os.stat(part(out), dir_fd=directory, follow_symlinks=False).st_size:
            # Its writer died before the first byte.
            os.unlink(part(out), dir_fd=directory)
    try:
        warnings = seal(directory, out, existing=existing, mode=mode).warnings
        if output_type != "parquet":
            convert(directory, out, mode, output_type)
    except NotFound:
        pass  # nothing of the accesses was recorded
    except (DamodError, OSError) as exc:
        problems.append(exc)
    if problems:
        raise problems[-1]
    return warnings


def seal_everything(
    directory: int, out: str, mode: int, output_type: str = "parquet", existing: str = "old"
) -> Sequence[str]:
    """`seal_all`, in the directory itself and in those of its segments that were not sealed when the recorder died."""
    place = Place(directory, out, mode, None)
    for segment in place.segments():
        handle = place.open_segment(segment.name)
        try:
            # Another child may be at it: it has the part's lock, and it will finish.
            with contextlib.suppress(Conflict):
                seal_all(handle, out, mode, output_type, existing)
        finally:
            os.close(handle)
    return seal_all(directory, out, mode, output_type, existing)


def convert(directory: int, out: str, mode: int, output_type: str) -> None:
    """Replace the sealed record by one of another type."""
    # We are the caller by now, so names do no harm.
    os.fchdir(directory)
    with open_record(out) as record:
        write(record, out, output_type, mode=mode)


def main(argv: Sequence[str]) -> int:
    """Seal what lies in a directory; 0, or 1 after a sentence on stderr."""
    words = argparse.ArgumentParser(prog="python -m damod.recorder.seal", description=__doc__)
    words.add_argument("--directory", type=int, required=True, help="handle of the directory")
    words.add_argument("--out", required=True, help="name of the record in it")
    words.add_argument("--mode", type=lambda text: int(text, 8), default=0o600, help="permission of the files")
    words.add_argument("--type", choices=OUTPUT_TYPES, default="parquet", help="what the record becomes")
    words.add_argument(
        "--existing", choices=("old", "replace"), default="old", help="what becomes of one that is there"
    )
    words.add_argument("--segments", action="store_true", help="what was left in segments' directories as well")
    words.add_argument("--caller", help="uid,gid,groups... to be before any file is touched")
    options = words.parse_args(argv)
    # Whoever records has the processor before who only tidies up.
    os.nice(5)
    if options.caller:
        become([int(number) for number in options.caller.split(",")])
    try:
        work = seal_everything if options.segments else seal_all
        work(options.directory, options.out, options.mode, options.type, options.existing)
    except DamodError as exc:
        print(exc.message, file=sys.stderr)
        return 1
    except OSError as exc:
        print(f"{exc.filename or options.out}: {exc.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
