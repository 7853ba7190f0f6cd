"""Methods of the socket, declared with their role and their shape: the handler's own signature is the check.

::

    @method("kdamonds.stop", needs=Role.OPERATOR)
    async def stop(call: Call[Service], *, name: str | None = None) -> Result:
        \"\"\"Stop the kdamonds of one set, or of all.\"\"\"

The decorator makes a `Method`; `Registry.of(module, ...)` collects them. Parameter types are None, bool, int, float,
str, bytes, Any, Literal, lists, dicts with string keys, and unions of these.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from damod.errors import NotAllowed, NotFound, UsageError
from damod.near import near
from damod.rpc.auth import Peer, Role
from damod.rpc.outbox import Outbox

D = TypeVar("D")
Result = Mapping[str, Any]
Handler = Callable[..., Awaitable[Result]]


@dataclass(frozen=True)
class Call(Generic[D]):
    """One request under way: who asks, the daemon to ask, open files that came along, and a way to tell more later.

    The files are closed when the method ends; who keeps one duplicates it. `then` is done once the answer is written.
    """

    daemon: D
    peer: Peer
    files: tuple[int, ...] = ()
    outbox: Outbox | None = None
    then: list[Callable[[], None]] = field(default_factory=list)


@dataclass(frozen=True)
class Param:
    """A parameter as the signature has it. `default` is `inspect.Parameter.empty` for a required one."""

    name: str
    type: Any
    default: Any

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty

    def describe(self) -> dict[str, Any]:
        shape = {"name": self.name, "type": type_name(self.type), "required": self.required}
        return shape if self.required else {**shape, "default": self.default}


@dataclass(frozen=True)
class Method:
    name: str
    needs: Role
    handler: Handler
    params: tuple[Param, ...]

    @property
    def about(self) -> str:
        """The first paragraph of the handler's docstring, as one line."""
        return " ".join((inspect.getdoc(self.handler) or "").split("\n\n")[0].split())

    def check(self, params: Mapping[str, Any]) -> None:
        """Raise UsageError with all that is wrong with `params`."""
        known = {param.name: param for param in self.params}
        problems = [f"it takes no {name!r}{near(name, known)}" for name in params if name not in known]
        for param in self.params:
            if param.name in params:
                problems += type_problems(params[param.name], param.type, param.name)
            elif param.required:
                problems.append(f"{param.name} ({type_name(param.type)}) is missing")
        if problems:
            takes = ", ".join(
                f"{p.name}: {type_name(p.type)}{'' if p.required else ' (optional)'}" for p in self.params
            )
            raise UsageError(
                f"{self.name} was called wrongly: {'; '.join(problems)}",
                hint=f"{self.name} takes {takes or 'no parameters'}",
                method=self.name,
            )

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "needs": str(self.needs),
            "about": self.about,
            "params": [param.describe() for param in self.params],
        }


def method(name: str, *, needs: Role) -> Callable[[Handler], Method]:
    """Declare a handler. It takes the Call and, by keyword, what the peer sent."""

    def declare(handler: Handler) -> Method:
        hints = get_type_hints(handler)
        params = tuple(
            Param(param.name, hints.get(param.name, Any), param.default)
            for param in inspect.signature(handler).parameters.values()
            if param.kind is inspect.Parameter.KEYWORD_ONLY
        )
        return Method(name, needs, handler, params)

    return declare


class Registry:
    """All methods of a daemon. It adds one of its own, `rpc.methods`, that describes them."""

    def __init__(self, methods: Iterator[Method] | tuple[Method, ...]) -> None:
        @method("rpc.methods", needs=Role.VIEWER)
        async def describe(_: Call[Any]) -> Result:
            """All methods with their role, parameters and purpose."""
            return {"methods": [self.methods[name].describe() for name in sorted(self.methods)]}

        self.methods: dict[str, Method] = {entry.name: entry for entry in (*methods, describe)}

    @classmethod
    def of(cls, *modules: types.ModuleType) -> Registry:
        return cls(tuple(entry for module in modules for entry in vars(module).values() if isinstance(entry, Method)))

    def find(self, name: str) -> Method:
        """The method of that name. Raises NotFound with the nearest names."""
        entry = self.methods.get(name)
        if entry is None:
            raise NotFound(
                f"damod has no method {name[:100]!r}{near(name, self.methods)}",
                hint="`rpc.methods` lists them; a newer damoctl may need a newer damod",
                method=name[:100],
            )
        return entry

    def admit(self, entry: Method, peer: Peer, role: Role) -> None:
        """Raise NotAllowed unless the peer's role suffices."""
        if role >= entry.needs:
            return
        raise NotAllowed(
            f"{entry.name} needs the role {entry.needs}; uid {peer.uid} has {role}",
            hint="the groups are `operator_group` and `viewer_group` in damod.yaml; `damod --check` shows them",
            method=entry.name,
            uid=peer.uid,
        )


_NAMES: dict[Any, str] = {
    type(None): "null",
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "string",
    bytes: "bytes",
    list: "list",
    dict: "map",
}


def type_name(kind: Any) -> str:
    """A type in the words of the protocol's documentation: ``list of string``, ``whole number or null``."""
    if kind is Any:
        return "anything"
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(type_name(arg) for arg in args)
    if origin is Literal:
        return " or ".join(repr(arg) for arg in args)
    if origin is list and args != (Any,):
        return f"list of {type_name(args[0])}"
    return _NAMES[origin or kind]


def type_problems(value: Any, kind: Any, at: str) -> list[str]:
    """What keeps `value` from being a `kind`, each with its place (``kdamonds[2]``); empty if nothing does."""
    if kind is Any:
        return []
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        tried = [type_problems(value, arg, at) for arg in args]
        return [] if [] in tried else [_mismatch(value, kind, at)]
    if origin is Literal:
        fits = any(value == arg and type(value) is type(arg) for arg in args)
        return [] if fits else [_mismatch(value, kind, at)]
    base = origin or kind
    if base is float:
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    elif base is int:
        fits = isinstance(value, int) and not isinstance(value, bool)
    else:
        fits = isinstance(value, base)
    if not fits:
        return [_mismatch(value, kind, at)]
    if base is list and args:
        return [
            problem for index, item in enumerate(value) for problem in type_problems(item, args[0], f"{at}[{index}]")
        ]
    if base is dict and args:
        keys = [f"{at} has the key {key!r}, which is no string" for key in value if not isinstance(key, str)]
        return keys + [p for key, item in value.items() for p in type_problems(item, args[1], f"{at}.{key}")]
    return []


def _mismatch(value: Any, kind: Any, at: str) -> str:
    text = repr(value)
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    return f"{at} is {shown}, not {type_name(kind)}"
