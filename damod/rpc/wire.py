"""MessagePack-RPC frames as values: encoding, and a decoder that is fed bytes and yields whole messages. No I/O.

A frame is one MessagePack array: ``[0, id, method, [params]]`` asks, ``[1, id, error, result]`` answers, and
``[2, method, [params]]`` tells. Params are one map, or nothing. What a peer sends is not trusted: the size of a frame,
of its arrays and maps, and its depth are limited, and everything that is not such a frame is a ProtocolError.

`damoctl` loads this module on each start, so it imports nothing but msgpack and the errors (`typing` alone would
cost as much as all of them).
"""

from __future__ import annotations

import msgpack  # type: ignore[import-untyped]

from damod.errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

PROTOCOL_VERSION = 1
MAX_ID = 2**32 - 1
TO_DAEMON_BYTES = 1 << 20
FROM_DAEMON_BYTES = 16 << 20
TO_DAEMON_ITEMS = 65_536
MAX_DEPTH = 32

_REQUEST, _RESPONSE, _NOTIFICATION = 0, 1, 2
_KINDS = "a frame is [0, id, method, params], [1, id, error, result] or [2, method, params]"


class Request:
    """Call `method`; the peer answers with a Response of the same `id`."""

    __slots__ = ("id", "method", "params")

    def __init__(self, id: int, method: str, params: Mapping[str, Any]) -> None:  # noqa: A002
        self.id = id
        self.method = method
        self.params = params

    def encode(self) -> bytes:
        return _pack([_REQUEST, self.id, self.method, [self.params] if self.params else []], self.method)


class Response:
    """The answer to the request `id`: an error object (`errors.DamodError.to_wire`) or a result.

    An error whose `id` is None is about the connection: the frame could not be read, or there is no room.
    """

    __slots__ = ("error", "id", "result")

    def __init__(self, id: int | None, error: Any = None, result: Any = None) -> None:  # noqa: A002
        self.id = id
        self.error = error
        self.result = result

    def encode(self) -> bytes:
        return _pack([_RESPONSE, self.id, self.error, self.result], "the answer")


class Notification:
    """Tell the peer something that it does not answer."""

    __slots__ = ("method", "params")

    def __init__(self, method: str, params: Mapping[str, Any]) -> None:
        self.method = method
        self.params = params

    def encode(self) -> bytes:
        return _pack([_NOTIFICATION, self.method, [self.params] if self.params else []], self.method)


Message = Request | Response | Notification


def _pack(frame: list[Any], what: str) -> bytes:
    # Linux names (cgroups, files) are bytes: those that are no UTF-8 travel as the bytes that they are.
    try:
        return msgpack.packb(frame, use_bin_type=True, unicode_errors="surrogateescape")  # type: ignore[no-any-return]
    except (TypeError, ValueError, OverflowError) as exc:
        raise ProtocolError(f"{what} cannot be encoded as MessagePack: {exc}") from exc


class Decoder:
    """Turns bytes, in pieces of any size, into messages. After an error it is of no more use.

    `max_items` bounds each array and map. `max_depth` is checked for what comes from untrusted peers; None trusts
    (msgpack itself stops at about a thousand levels) and saves walking through large answers.
    """

    def __init__(
        self, *, max_bytes: int = FROM_DAEMON_BYTES, max_items: int | None = None, max_depth: int | None = None
    ) -> None:
        self.max_bytes = max_bytes
        self._max_depth = max_depth
        items = max_bytes if max_items is None else max_items
        self._unpacker = msgpack.Unpacker(
            raw=False,
            unicode_errors="surrogateescape",
            strict_map_key=True,
            # Also the buffer's first size; the default of 1 MiB is much for each of hundreds of connections.
            read_size=1 << 16,
            # No limit here, as it would also count the frames that wait to be taken out; feed() counts per frame.
            max_buffer_size=0,
            max_str_len=max_bytes,
            max_bin_len=max_bytes,
            max_array_len=items,
            max_map_len=items,
            max_ext_len=0,
        )
        self._fed = 0
        self._frame_start = 0

    @property
    def pending(self) -> int:
        """Bytes of a frame that has begun and not ended."""
        return self._fed - self._frame_start

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that are complete with `data`; consume them all before feeding again.

        Raises ProtocolError at the first thing that is no frame, after the good ones before it.
        """
        self._unpacker.feed(data)
        self._fed += len(data)
        while self.pending:
            try:
                frame = self._unpacker.unpack()
            except msgpack.OutOfData:
                if self.pending > self.max_bytes:
                    raise self._too_large() from None
                return
            except msgpack.StackError:
                raise ProtocolError("a frame is nested too deeply") from None
            except (ValueError, msgpack.UnpackException) as exc:
                raise ProtocolError(f"not MessagePack, or too much of it: {exc or type(exc).__name__}") from exc
            end = self._unpacker.tell()
            if end - self._frame_start > self.max_bytes:
                raise self._too_large()
            self._frame_start = end
            if self._max_depth is not None:
                _check_depth(frame, self._max_depth)
            yield _message(frame)

    def _too_large(self) -> ProtocolError:
        return ProtocolError(f"a frame is larger than the {self.max_bytes:,} bytes allowed", max_bytes=self.max_bytes)


def _check_depth(frame: object, limit: int) -> None:
    level = [frame]
    for _ in range(limit):
        below: list[object] = []
        for item in level:
            if type(item) is list:
                below += [part for part in item if type(part) is list or type(part) is dict]
            elif type(item) is dict:
                below += [part for part in item.values() if type(part) is list or type(part) is dict]
        if not below:
            return
        level = below
    raise ProtocolError(f"a frame is nested deeper than the {limit} levels allowed", max_depth=limit)


def _message(frame: object) -> Message:
    if type(frame) is not list or not frame:
        raise ProtocolError(f"{_KINDS}, not {_shown(frame)}")
    kind = frame[0]
    if type(kind) is int:
        if kind == _REQUEST and len(frame) == 4:
            return Request(_id(frame[1]), _method(frame[2]), _params(frame[3]))
        if kind == _RESPONSE and len(frame) == 4:
            return Response(None if frame[1] is None else _id(frame[1]), frame[2], frame[3])
        if kind == _NOTIFICATION and len(frame) == 3:
            return Notification(_method(frame[1]), _params(frame[2]))
    raise ProtocolError(f"{_KINDS}, not an array of {len(frame)} that begins with {_shown(kind)}")


def _id(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MAX_ID:
        raise ProtocolError(f"a frame's id is a whole number up to {MAX_ID}, not {_shown(value)}")
    return value


def _method(value: object) -> str:
    if type(value) is not str:
        raise ProtocolError(f"a frame's method is a string, not {_shown(value)}")
    return value


def _params(value: object) -> dict[str, Any]:
    if value == []:
        return {}
    if type(value) is not list or len(value) != 1 or type(value[0]) is not dict:
        raise ProtocolError(f"params are an array with one map, or an empty array, not {_shown(value)}")
    for key in value[0]:
        if type(key) is not str:
            raise ProtocolError(f"the names of params are strings, not {_shown(key)}")
    return value[0]


def _shown(value: object) -> str:
    if isinstance(value, (list, dict)):
        return f"{'an array' if isinstance(value, list) else 'a map'} of {len(value)}"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
