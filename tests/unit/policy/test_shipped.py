"""The policies in etc/damo.d are right for the newest kernel, disabled, commented, and run where they are meant to."""

from __future__ import annotations

from pathlib import Path

import pytest

from damoctl.commands import policy as command
from damoctl.context import Context
from damod.policy.document import Guard, Policy, Record, Selector, When
from damod.policy.load import read
from tests.unit.policy.conftest import Site

SHIPPED = sorted(Path("etc/damo.d").glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_checked_on_the_newest_kernel(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`damoctl policy check` finds nothing on 7.3, and the file begins with what it is for."""
    assert command.run(["check", str(path), "--kernel", "7.3"], Context()) == 0, capsys.readouterr().out
    assert path.read_text().startswith("# ")
    document = read(str(path))
    assert document.policy is not None and not document.policy.enabled and document.policy.description


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_runs_on_the_newest_kernel(site: Site, path: Path) -> None:
    """Enabled by a drop-in, it runs beside damon_stat, or waits for the process that it names."""
    site.kernel.modules.write("damon_stat/parameters/enabled", "Y")
    site.put(path.name, path.read_text())
    site.put(f"{path.stem}.d/90-enabled.yaml", "enabled: true\n")
    site.reload()
    name = path.stem.partition("-")[2]
    assert site.stage(name) == ("waiting" if name == "interleave" else "running"), site.reason(name)


def test_all_of_them_together(site: Site) -> None:
    """Monitoring, sorting and reclaim run beside tiering; interleaving and tiering move the same memory elsewhere."""
    for path in SHIPPED:
        site.put(path.name, path.read_text().replace("enabled: false", "enabled: true"))
    site.reload()
    assert [site.stage(name) for name in ("monitor", "lru-sort", "reclaim", "tiering")] == ["running"] * 4
    assert site.stage("interleave") == "waiting"
    site.kernel.spawn("stream")
    site.after(5)
    assert site.stage("interleave") == "running" and site.stage("tiering") == "refused"
    assert "different nodes" in site.reason("tiering")


def test_the_example_of_the_documentation(site: Site) -> None:
    """The policy in docs/policies.md is right and runs."""
    text = Path("docs/policies.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    site.kernel.modules.write("damon_stat/parameters/enabled", "Y")
    site.put("50-cold.yaml", text)
    site.reload()
    assert site.stage("cold") == "running", site.reason("cold")


def test_the_documentation_has_every_key() -> None:
    """docs/policies.md names each key of a policy, each selector, condition and limit."""
    text = Path("docs/policies.md").read_text()
    names = {name for model in (Policy, Record, Selector, When, Guard) for name in model.model_fields}
    assert not {name for name in names if f"`{name}" not in text}
