"""What is on disk: reading and writing records of monitoring results.

`from damod.records import open_record` reads any of them. Nothing is imported until that is asked for.
"""


def __getattr__(name: str):  # type: ignore[no-untyped-def]
    if name != "open_record":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from damod.records.reader import open_record

    return open_record
