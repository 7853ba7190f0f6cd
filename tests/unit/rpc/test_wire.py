"""Frames in, frames out: whole, in pieces, damaged, too large, random."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damod.errors import ProtocolError
from damod.rpc.wire import MAX_DEPTH, Decoder, Message, Notification, Request, Response

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)
_PARAMS = st.dictionaries(st.text(), _VALUES, max_size=4)
_MESSAGES = st.one_of(
    st.builds(Request, st.integers(0, 2**32 - 1), st.text(), _PARAMS),
    st.builds(Response, st.integers(0, 2**32 - 1) | st.none(), _VALUES, _VALUES),
    st.builds(Notification, st.text(), _PARAMS),
)


def fields(message: Message) -> tuple[Any, ...]:
    return (type(message), *(getattr(message, name) for name in message.__slots__))


def decode(data: bytes, **limits: Any) -> list[Message]:
    return list(Decoder(**limits).feed(data))


@settings(max_examples=200)
@given(st.lists(_MESSAGES, max_size=5), st.integers(1, 50))
def test_what_is_encoded_is_decoded_in_pieces_of_any_size(messages: list[Message], piece: int) -> None:
    """The same messages come out, however the bytes were cut."""
    stream = b"".join(message.encode() for message in messages)
    decoder = Decoder()
    found = [m for at in range(0, len(stream), piece) for m in decoder.feed(stream[at : at + piece])]
    assert [fields(m) for m in found] == [fields(m) for m in messages]
    assert decoder.pending == 0


@settings(max_examples=500)
@given(st.binary(max_size=200))
def test_any_bytes_are_messages_or_one_sentence(data: bytes) -> None:
    """Garbage raises nothing but ProtocolError, and its message is one line."""
    try:
        decode(data, max_bytes=100, max_items=50, max_depth=8)
    except ProtocolError as exc:
        assert exc.message and "\n" not in exc.message


@settings(max_examples=300)
@given(_VALUES)
def test_any_msgpack_value_is_a_message_or_one_sentence(value: Any) -> None:
    """Well-formed MessagePack that is no frame raises nothing but ProtocolError."""
    for frame in (value, [0, 1, "m", value], [2, "m", [value]], [value, 1, None, None]):
        try:
            decode(msgpack.packb(frame), max_depth=MAX_DEPTH)
        except ProtocolError as exc:
            assert exc.message


def test_good_frames_before_a_bad_one_are_delivered() -> None:
    """The error comes after the messages that were whole."""
    messages = Decoder().feed(Request(1, "a", {}).encode() + b"\xc1")
    assert fields(next(messages)) == (Request, 1, "a", {})
    with pytest.raises(ProtocolError):
        next(messages)


def test_params_may_be_left_out() -> None:
    """No parameters travel as an empty array, and an empty map means the same."""
    assert Request(1, "m", {}).encode() == msgpack.packb([0, 1, "m", []])
    assert fields(*decode(msgpack.packb([0, 1, "m", [{}]]))) == (Request, 1, "m", {})


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (71, "not 71"),
        ("GET / HTTP/1.1", "not 'GET / HTTP/1.1'"),
        ([], "not an array of 0"),
        ({}, "not a map of 0"),
        ([3, 1, "m", []], "begins with 3"),
        ([True, "m", []], "begins with True"),
        ([0, 1, "m"], "an array of 3 that begins with 0"),
        ([0, -1, "m", []], "not -1"),
        ([0, 2**32, "m", []], "not 4294967296"),
        ([0, True, "m", []], "not True"),
        ([0, 1, 7, []], "method is a string, not 7"),
        ([0, 1, "m", {"a": 1}], "params are an array with one map"),
        ([0, 1, "m", [1, 2]], "params are an array with one map"),
        ([0, 1, "m", [{b"a": 1}]], "names of params are strings, not b'a'"),
        ([2, None, []], "method is a string, not None"),
    ],
)
def test_wrong_frames_are_named(frame: object, says: str) -> None:
    """The sentence says what was there."""
    with pytest.raises(ProtocolError) as caught:
        decode(msgpack.packb(frame))
    assert says in caught.value.message


def test_a_frame_of_exactly_the_limit_passes_and_one_byte_more_does_not() -> None:
    """The size limit counts whole frames."""
    frame = Request(1, "m", {"a": "x" * 50}).encode()
    assert len(decode(frame, max_bytes=len(frame))) == 1
    with pytest.raises(ProtocolError, match=f"larger than the {len(frame) - 1} bytes"):
        decode(frame, max_bytes=len(frame) - 1)


def test_many_small_frames_are_not_one_large_one() -> None:
    """The limit is for each frame, not for what arrives at once."""
    frame = Request(1, "m", {}).encode()
    assert len(decode(frame * 1000, max_bytes=len(frame))) == 1000


def test_an_unfinished_frame_is_refused_as_soon_as_it_is_too_large() -> None:
    """No more than the limit is ever kept of a frame that does not end."""
    decoder = Decoder(max_bytes=1000, max_items=10_000)
    list(decoder.feed(b"\x94\x00\x01\xa1m\xdc\x27\x10" + b"\x00" * 900))
    with pytest.raises(ProtocolError, match="larger"):
        list(decoder.feed(b"\x00" * 200))


@pytest.mark.parametrize(
    ("claim", "what"),
    [
        (b"\xdd\xff\xff\xff\xff", "max_array_len"),
        (b"\xdf\xff\xff\xff\xff", "max_map_len"),
        (b"\xd4\x01\x00", "max_ext_len"),
    ],
)
def test_a_claimed_number_of_items_is_refused_before_they_come(claim: bytes, what: str) -> None:
    """Five bytes cannot make us allocate gigabytes."""
    with pytest.raises(ProtocolError, match=what):
        decode(b"\x94\x00\x01\xa1m" + claim, max_bytes=1 << 20, max_items=65_536)


def nested(levels: int) -> bytes:
    return b"\x94\x00\x01\xa1m\x91\x81\xa1a" + b"\x91" * levels + b"\x00"


def test_nesting_is_limited() -> None:
    """The frame, params and the map are three levels; deeper than the limit is refused, also where msgpack gives up."""
    assert len(decode(nested(MAX_DEPTH - 3), max_depth=MAX_DEPTH)) == 1
    with pytest.raises(ProtocolError, match="nested deeper than the 32 levels"):
        decode(nested(MAX_DEPTH - 2), max_depth=MAX_DEPTH)
    with pytest.raises(ProtocolError, match="nested too deeply"):
        decode(nested(100_000))


def test_bytes_that_are_no_text_come_back_as_they_were() -> None:
    """A cgroup's name need not be UTF-8; it survives the way there and back."""
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert fields(*decode(Notification("m", {"path": name}).encode()))[2] == {"path": name}


@pytest.mark.parametrize("value", [2**64, object(), "\ud800"])
def test_what_msgpack_cannot_hold_is_said(value: object) -> None:
    """Encoding never raises msgpack's own exceptions."""
    with pytest.raises(ProtocolError, match=r"kdamonds\.start cannot be encoded"):
        Request(1, "kdamonds.start", {"a": value}).encode()
