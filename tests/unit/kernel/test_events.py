import pytest

from damod.kernel import events

TEXT = """name: damon_region_aggregated
ID: 745
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:unsigned char common_flags;	offset:2;	size:1;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

	field:unsigned long target_id;	offset:8;	size:8;	signed:0;
	field:char comm[16];	offset:16;	size:16;	signed:0;
	field:__data_loc unsigned char[] probe_hits;	offset:32;	size:4;	signed:0;
	field:__data_loc unsigned long[] sizes;	offset:36;	size:4;	signed:0;

print fmt: "target_id=%lu", REC->target_id
"""


def test_parse_takes_everything_from_the_text() -> None:
    """Name, number, offsets, sizes and signedness are those of the format file."""
    form = events.parse(TEXT)
    assert (form.name, form.id) == ("damon_region_aggregated", 745)
    assert [(f.name, f.offset, f.size, f.code, f.element) for f in form.fields] == [
        ("common_type", 0, 2, "H", ""),
        ("common_flags", 2, 1, "B", ""),
        ("common_pid", 4, 4, "i", ""),
        ("target_id", 8, 8, "Q", ""),
        ("comm", 16, 16, "16s", ""),
        ("probe_hits", 32, 4, "I", "B"),
        ("sizes", 36, 4, "I", "Q"),
    ]


def test_fields_are_ordered_by_offset() -> None:
    """The order of the lines does not matter."""
    lines = TEXT.splitlines(keepends=True)
    lines[8], lines[9] = lines[9], lines[8]
    assert events.parse("".join(lines)).fields == events.parse(TEXT).fields


def test_field_by_name() -> None:
    """A field is found by its name; an unknown one is a KeyError."""
    form = events.parse(TEXT)
    assert form.field("common_pid").offset == 4
    with pytest.raises(KeyError, match="common_pip"):
        form.field("common_pip")


@pytest.mark.parametrize("text", ["", "name: x\n", TEXT.replace("ID: 745", ""), TEXT.replace("field:", "feld:")])
def test_other_text_is_refused(text: str) -> None:
    """What is not a format file is a ValueError that shows what it was."""
    with pytest.raises(ValueError, match="not the format of a trace event"):
        events.parse(text)


def test_a_record_that_does_not_begin_with_its_type_is_refused() -> None:
    """Records are told apart by common_type at offset 0, so it must be there."""
    with pytest.raises(ValueError, match="the first field is common_flags"):
        events.parse(
            TEXT.replace("unsigned short common_type;	offset:0;", "unsigned short common_type;	offset:3;")
        )
