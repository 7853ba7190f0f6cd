"""The JSON Schema that editors use: it agrees with damod on what is right, and on most of what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from damoctl.commands import policy as command
from damoctl.context import Context
from damod.policy.load import of_texts

SHIPPED = sorted(Path("etc/damo.d").glob("*.yaml"))
MINIMAL = "kdamonds: [{contexts: [{ops: paddr}]}]\n"
SCHEME = "kdamonds:\n- contexts:\n  - schemes:\n    - "


@pytest.fixture
def validator(capsys: pytest.CaptureFixture[str]) -> jsonschema.Draft202012Validator:
    """A validator of what `damoctl policy schema` prints, which is a right schema itself."""
    assert command.run(["schema"], Context()) == 0
    schema: dict[str, Any] = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_shipped_policies_are_valid(validator: jsonschema.Draft202012Validator) -> None:
    """Every file in etc/damo.d, and the example of docs/policies.md."""
    example = Path("docs/policies.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    for text in (example, MINIMAL, *(path.read_text() for path in SHIPPED)):
        assert [error.message for error in validator.iter_errors(yaml.safe_load(text))] == []


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "kdamonds: []\n",
        MINIMAL + "descripton: x\n",
        MINIMAL + "enabled: maybe\n",
        MINIMAL + "priority: 5000\n",
        MINIMAL + "on_missing: ignore\n",
        MINIMAL + "when: {nodes: 2}\n",
        MINIMAL + "guard: {probation: -1}\n",
        MINIMAL + "targets: [{}]\n",
        MINIMAL + "targets: [{paddr: all, numa_node: 0}]\n",
        MINIMAL + "targets: [{paddr: some}]\n",
        "kdamonds: [{contexts: [{ops: padr}]}]\n",
        SCHEME + "action: pagout\n",
        SCHEME + "quotas: {size: 1M}\n",
        SCHEME + "quotas: {goals: [{metric: psi, target_value: 1}]}\n",
        SCHEME + "filters: [{filter_type: annon}]\n",
        SCHEME + "access_pattern: {nr_accesses: {most: 1}}\n",
    ],
)
def test_wrong_policies_are_not(validator: jsonschema.Draft202012Validator, text: str) -> None:
    """What an editor marks, damod refuses too."""
    assert list(validator.iter_errors(yaml.safe_load(text)))
    assert of_texts("p", [("p.yaml", text)]).problems
