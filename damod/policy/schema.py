"""The JSON Schema of a policy file, from the models, so that editors complete and check it."""

from __future__ import annotations

from typing import Any

from damod.policy.document import Policy
from damod.spec.diff import STATUS_FIELDS


def schema() -> dict[str, Any]:
    """What a policy file may contain; numbers with a unit may also be text (``4 KiB``), as everywhere."""
    found = Policy.model_json_schema()
    found["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    found["title"] = "damod policy"
    # The file's name is the policy's.
    found["required"] = [name for name in found["required"] if name != "name"]
    # Defaults of nested models are long and say nothing to an editor.
    for item in (found, *found["$defs"].values()):
        for name, field in item.get("properties", {}).items():
            if isinstance(field.get("default"), (dict, list)):
                del field["default"]
            if any(model.__name__ == item.get("title") and name == key for model, key in STATUS_FIELDS):
                field["readOnly"] = True
    return found
