"""The special-purpose DAMON modules: damon_stat, damon_reclaim, damon_lru_sort, and what else has a damon_ name.

Their parameters are files below /sys/module. While one of them is enabled the kernel refuses to start any other
kdamond (**verified**: EBUSY with damon_stat, which Debian's kernels from 6.17 on enable by default), and the other way
round. What the parameters mean is in `parameters`.
"""

from __future__ import annotations

from dataclasses import dataclass

from damod.errors import NotFound
from damod.kernel import parameters, paths
from damod.kernel.interface import Kernel
from damod.kernel.refusal import refused

_ON = ("Y", "1")


@dataclass(frozen=True)
class Module:
    """One module with all its parameters as the kernel prints them."""

    name: str
    parameters: dict[str, str]

    @property
    def enabled(self) -> bool:
        return self.parameters.get(parameters.ENABLED, "N") in _ON

    @property
    def committing(self) -> bool:
        """Whether it was told to read its parameters again and has not done so yet. Nothing may be written then."""
        return self.enabled and self.parameters.get(parameters.COMMIT, "N") in _ON

    @property
    def pid(self) -> int | None:
        """The module's kdamond, where the kernel tells (damon_stat does since 7.2)."""
        number = int(self.parameters.get(parameters.PID, "-1"))
        return number if number > 0 else None


def names(kernel: Kernel) -> list[str]:
    """The modules that this kernel has, those of every kernel first."""
    try:
        found = {name for name in kernel.modules.names() if name.startswith(parameters.PREFIX)}
    except OSError:
        return []
    known = [name for name in parameters.ABOUT if name in found]
    others = sorted(found - set(known))
    return known + [name for name in others if kernel.modules.exists(paths.module(name, parameters.ENABLED))]


def modules(kernel: Kernel) -> list[Module]:
    """The modules that this kernel has, with their parameters."""
    return [module for name in names(kernel) if (module := _read(kernel, name))]


def module(kernel: Kernel, name: str) -> Module:
    """One of them by its full name or without ``damon_``. Raises NotFound."""
    found = _read(kernel, parameters.full_name(name)) if name.isidentifier() else None
    if found is None:
        there = ", ".join(names(kernel))
        raise NotFound(
            f"this kernel ({kernel.release}) has no module {parameters.full_name(name)}",
            hint=f"it has {there}" if there else "it was built without DAMON's modules",
        )
    return found


def enabled(kernel: Kernel) -> list[Module]:
    """Those that run now and so keep everybody else from starting."""
    return [
        module for name in names(kernel) if _is_on(kernel, name) and (module := _read(kernel, name)) and module.enabled
    ]


def _is_on(kernel: Kernel, name: str) -> bool:
    try:
        return kernel.modules.read(paths.module(name, parameters.ENABLED)).strip() in _ON
    except OSError:
        return False


def _read(kernel: Kernel, name: str) -> Module | None:
    try:
        files = kernel.modules.names(paths.module(name))
    except OSError:
        return None
    values: dict[str, str] = {}
    for parameter in sorted(files):
        try:
            values[parameter] = kernel.modules.read(paths.module(name, parameter)).strip()
        except OSError:
            continue  # write-only, or in use just now
    return Module(name, values)


def write(kernel: Kernel, name: str, parameter: str, value: str) -> None:
    """Set one parameter. Raises NotFound without such a module or parameter, KernelRefused, NotAllowed."""
    where = paths.module(name, parameter)
    try:
        kernel.modules.write(where, value)
    except FileNotFoundError as exc:
        raise NotFound(
            f"setting {parameter} of {name}, but this kernel ({kernel.release}) has no such parameter",
            hint="`damoctl module list` lists the DAMON modules of this kernel",
        ) from exc
    except OSError as exc:
        raise refused(f"setting {parameter} of {name} to {value}", where, exc.errno or 0) from exc


def switch(kernel: Kernel, name: str, on: bool) -> None:
    """Enable or disable a module."""
    write(kernel, name, parameters.ENABLED, "Y" if on else "N")
