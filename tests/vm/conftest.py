"""Which virtual machine tests run, and on which kernels.

They take minutes, so a developer's plain `pytest` skips them and says how to run them. In CI they are the point:
there they always run, and a machine that cannot run them fails.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def vm_tests_wanted() -> bool:
    """CI=true always wants them; elsewhere `make vm` asks with DAMOD_VM=1."""
    return os.environ.get("CI") == "true" or os.environ.get("DAMOD_VM") == "1"


def kernel_names() -> list[str]:
    """The oldest and the newest supported kernel, or what DAMOD_VM_KERNELS lists (`6.12,6.18,newest`)."""
    names = os.environ.get("DAMOD_VM_KERNELS", "6.12,newest").split(",")
    return [name.strip() for name in names if name.strip()]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if vm_tests_wanted():
        return
    skip = pytest.mark.skip(reason="boots virtual machines for minutes: `make vm`, or DAMOD_VM=1")
    for item in items:
        if item.get_closest_marker("vm") and HERE in item.path.parents:
            item.add_marker(skip)


@pytest.fixture(scope="module", params=kernel_names())
def kernel(request: pytest.FixtureRequest) -> str:
    """The name of a kernel to boot. Module-scoped, so that a module's tests share one guest per kernel."""
    return str(request.param)
