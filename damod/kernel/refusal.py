"""errno -> sentence: what the kernel's answers mean for DAMON, and what to do about them."""

from __future__ import annotations

import errno
import os

from damod.errors import DamodError, KernelRefused, NotAllowed

_HINTS: dict[int, str] = {
    errno.EINVAL: "the kernel takes no such value or combination here; `damoctl features` shows what it knows",
    errno.EBUSY: "something else uses DAMON now; `damoctl status` shows what",
    # **verified** on 7.3: a memcg path that does not exist is ENOMEM in filters and goals, EINVAL in probes.
    errno.ENOMEM: "a memory cgroup that the spec names does not exist, or the kernel is short of memory",
    errno.EPERM: "the kernel does not allow this now (for `off`: the kdamond does not run any more)",
    errno.EACCES: "damod needs root, or CAP_SYS_ADMIN and write access to /sys/kernel/mm/damon",
    errno.ENODEV: "there is no such device or NUMA node",
    errno.ENOENT: "the kernel has no such file, or the slots were changed by somebody else; see `damoctl status`",
    errno.ERANGE: "the number is larger than the kernel can hold here",
    errno.ESRCH: "the process is gone",
}


def refused(attempt: str, where: str, code: int, *, hint: str = "") -> DamodError:
    """The error for an errno of the kernel: what was attempted, on what, what came back."""
    cls: type[DamodError] = NotAllowed if code == errno.EACCES else KernelRefused
    return cls(
        f"{attempt}: the kernel answered {os.strerror(code)} ({errno.errorcode.get(code, code)})",
        hint=hint or _HINTS.get(code, "see the kernel's log (dmesg)"),
        errno=code,
        path=where,
    )
