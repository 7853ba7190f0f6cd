"""The special-purpose DAMON modules: damon_stat, damon_reclaim, damon_lru_sort.

Their parameters are files below /sys/module. While one of them is enabled the kernel refuses to start any other
kdamond (**verified**: EBUSY with damon_stat, which Debian's kernels from 6.17 on enable by default), and the other way
round.
"""

from __future__ import annotations

from dataclasses import dataclass

from damod.errors import NotFound
from damod.kernel import paths
from damod.kernel.interface import Kernel
from damod.kernel.refusal import refused

NAMES = ("damon_stat", "damon_reclaim", "damon_lru_sort")
_ON = ("Y", "1")


@dataclass(frozen=True)
class Module:
    """One module with all its parameters as the kernel prints them."""

    name: str
    parameters: dict[str, str]

    @property
    def enabled(self) -> bool:
        return self.parameters.get("enabled", "N") in _ON

    @property
    def pid(self) -> int | None:
        """The module's kdamond, where the kernel tells (damon_stat does since 7.2)."""
        number = int(self.parameters.get("kdamond_pid", "-1"))
        return number if number > 0 else None


def modules(kernel: Kernel) -> list[Module]:
    """The modules that this kernel has."""
    return [module for name in NAMES if (module := _read(kernel, name))]


def enabled(kernel: Kernel) -> list[Module]:
    """Those that run now and so keep everybody else from starting."""
    return [module for name in NAMES if _is_on(kernel, name) and (module := _read(kernel, name)) and module.enabled]


def _is_on(kernel: Kernel, name: str) -> bool:
    try:
        return kernel.modules.read(paths.module(name, "enabled")).strip() in _ON
    except OSError:
        return False


def _read(kernel: Kernel, name: str) -> Module | None:
    try:
        names = kernel.modules.names(paths.module(name))
    except OSError:
        return None
    values: dict[str, str] = {}
    for parameter in sorted(names):
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
            hint="`damoctl status` lists the DAMON modules of this kernel",
        ) from exc
    except OSError as exc:
        raise refused(f"setting {parameter} of {name} to {value}", where, exc.errno or 0) from exc


def switch(kernel: Kernel, name: str, on: bool) -> None:
    """Enable or disable a module."""
    write(kernel, name, "enabled", "Y" if on else "N")
