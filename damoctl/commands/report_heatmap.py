"""`damoctl report heatmap`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from damoctl.flags import recording
from damoctl.flags.access import COLORSETS
from damoctl.flags.option import KINDS, Option, Word
from damoctl.flags.recording import Given
from damod.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from damoctl.context import Context
    from damoctl.reports import heatmap

OPTIONS = (
    Option(
        ("--output",), "format", "stdout, raw (numbers), or an image file (pdf, png, jpeg, svg).",
        (Word("output", "file"),), default="stdout",
    ),
    Option(("--kdamond_idx",), "filter", "Index of the kdamond (default: that with most memory).",
           (Word("index", "index"),)),
    Option(("--context_idx",), "filter", "Index of the context.", (Word("index", "index"),)),
    Option(("--scheme_idx",), "filter", "Index of the scheme.", (Word("index", "index"),)),
    Option(("--tid",), "filter", "Target id.", (Word("id", "int"),)),
    Option(
        ("--resol",), "format", "Pixels in time and in addresses (default: 40 80, images 500 500).",
        (Word("time", "count", most=20_000), Word("addresses", "count", most=20_000)),
    ),
    Option(
        ("--time_range",), "filter",
        "Times to draw. A third word is added to both: a time, guided (the record's start) or guided_end.",
        (Word("start"), Word("end"), Word("base")), least=2,
    ),
    Option(
        ("--draw_range",), "filter", "The range of memory that is hottest, or a map for each.",
        (Word("which", choices=("all", "hottest")),), default="hottest",
    ),
    Option(
        ("--address_range",), "filter",
        "Addresses to draw. A third word is added to both: an address, or guided (the n-th range's start). May be"
        " repeated.",
        (Word("start"), Word("end"), Word("base")), least=2, repeat=True,
    ),
    Option(("--abs_time",), "format", "Times of raw output and images on the record's clock, not from its start."),
    Option(("--abs_addr",), "format", "Addresses of raw output and images as they are, not from the range's start."),
    Option(("--guide",), "format", "Show which times and addresses the record has, in plain numbers."),
    Option(("--guide_human",), "format", "The same for people."),
    Option(("--stdout_colorset",), "format", "Colours.", (Word("set", choices=COLORSETS),), default="gray"),
    Option(("--stdout_skip_colorset_example",), "format", "Leave out the line that explains the colours."),
    Option(("--df_passed",), "filter", "Only as hot as the share of bytes that passed the scheme's filters."),
    Option(("--sort_temperature",), "format", "Order regions of each snapshot by temperature; addresses become sizes."),
    Option(
        ("--temperature_weights",), "format", "Weights of access rate (percent) and age (us) for --sort_temperature.",
        (Word("access rate"), Word("age")), default="1.0 1.0",
    ),
    Option(
        ("--interactive_edit",), "filter",
        "Choose times and addresses on the whole screen: arrows (h j k l) move, + - and > < zoom, q ends and prints the"
        " options that give the same picture.",
    ),
)  # fmt: skip
TABLES = (recording.COMMON, OPTIONS)


def run(argv: Sequence[str], ctx: Context) -> int:
    """Draw when which memory was accessed how often."""
    given = recording.read(argv, ctx, "heatmap", TABLES)
    if given is None:
        return 0
    from damoctl.reports import guide, heatmap, load

    output = given.one("output", "stdout")
    options = _options(given, output)
    if "interactive_edit" in given:
        edited = _edit(given, options, ctx)
        if output in ("stdout", "raw"):
            return 0
        options = edited
    with load.opened(given.inputs, ctx, compat=given.compat) as source:
        if "guide" in given or "guide_human" in given:
            found = guide.compute(source, compat=given.compat)
            if given.json:
                ctx.print_json([item.to_plain() for item in found])
            else:
                raw = "guide_human" not in given
                ctx.term.write(guide.render(found, raw=raw, compat=given.compat, newest=given.newest))
            return 0
        maps = heatmap.compute(source, options)
    if not given.compat and not options.by_temperature:
        from damoctl.reports import vmas

        path = given.inputs[0] if given.inputs else load.DEFAULT
        maps = [vmas.legend(drawn, vmas.read(path, drawn.series.target_id)) for drawn in maps]
    look = heatmap.Look(
        colorset=given.one("stdout_colorset", "gray"),
        skip_example="stdout_skip_colorset_example" in given,
        raw=output == "raw",
        absolute_time="abs_time" in given,
        absolute_address="abs_addr" in given,
        compat=given.compat,
    )
    if given.json:
        ctx.print_json(heatmap.to_plain(maps))
    elif output in ("stdout", "raw"):
        term = ctx.term
        ctx.term.write(heatmap.render(maps, look, term))
    else:
        from damoctl.reports import plot

        for path in plot.heatmaps(maps, look, output):
            ctx.note(f"damoctl: wrote {path}")
    return 0


def _edit(given: Given, options: heatmap.Options, ctx: Context) -> heatmap.Options:
    """Let a person choose what to draw; tells the choice as options and gives it back."""
    from dataclasses import replace

    from damoctl.commands.watch import need_terminal, show

    wrong = [name for name in ("sort_temperature", "df_passed", "json", "guide", "guide_human") if name in given]
    if wrong:
        raise UsageError(f"--interactive_edit and --{wrong[0]} do not go together")
    need_terminal(ctx, "--interactive_edit", "--time_range and --address_range choose without one")
    from damoctl.reports import guide as guides
    from damoctl.reports import heatmap, load
    from damoctl.watch.edit import chosen, words
    from damoctl.watch.model import Model, Start
    from damoctl.watch.recording import RecordSource

    with load.opened(given.inputs, ctx) as source:
        found = guides.compute(source)
    record = RecordSource(given.inputs, ctx)
    model = Model(record.name, live=False, edit=True)
    record.start(model.feed)
    guide = heatmap.chosen(found, options)
    times = None if options.time_range is None else heatmap.time_range(guide, options)
    spans = heatmap.address_ranges(guide, options, None) if options.address_ranges else []
    addresses = (min(low for low, _ in spans), max(high for _, high in spans)) if spans else None
    model.begin(Start(*guide.series, times=times, addresses=addresses))
    show(model, None, ctx)
    shown = chosen(model)
    ctx.print(" ".join(words(shown)))
    return replace(
        options,
        kdamond=shown.series.kdamond, context=shown.series.context, scheme=shown.series.scheme,
        target_id=shown.series.target_id,
        time_range=(*shown.times, 0),
        address_ranges=[(low, high, 0) for low, high in shown.addresses],
    )  # fmt: skip


def _options(given: Given, output: str) -> heatmap.Options:
    from damoctl.reports import heatmap

    resol = tuple(given.words("resol", (40, 80) if output == "stdout" else (500, 500)))
    if min(resol) < 1:
        raise UsageError(f"--resol {resol[0]} {resol[1]}: a picture has a pixel at least")
    weights = [_number(word, "--temperature_weights") for word in given.words("temperature_weights", (1.0, 1.0))]
    return heatmap.Options(
        resol=(resol[0], resol[1]),
        kdamond=given.one("kdamond_idx"),
        context=given.one("context_idx"),
        scheme=given.one("scheme_idx"),
        target_id=given.one("tid"),
        time_range=_span("--time_range", given.words("time_range"), "ns", ("guided", "guided_end")),
        address_ranges=[
            span
            for use in given.every("address_range")
            if (span := _span("--address_range", use, "bytes", ("guided",))) is not None
        ],
        draw_all=given.one("draw_range") == "all",
        df_passed="df_passed" in given,
        by_temperature="sort_temperature" in given,
        weights=(weights[0], weights[1]),
        compat=given.compat,
    )


def _number(word: Any, name: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise UsageError(f"{name}: {word!r} is not a number") from None


def _span(name: str, use: Sequence[str] | None, kind: str, bases: Sequence[str]) -> tuple[int, int, str | int] | None:
    if use is None:
        return None
    try:
        low, high = (KINDS[kind].parse(word) for word in use[:2])
        if len(use) < 3:
            return low, high, 0
        return low, high, use[2] if use[2] in bases else KINDS[kind].parse(use[2])
    except (ValueError, OverflowError) as exc:
        raise UsageError(f"{name} {' '.join(use)}: {exc}", hint=f"the base is {KINDS[kind].takes} or {bases}") from exc
