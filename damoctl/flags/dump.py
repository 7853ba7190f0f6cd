"""Plain values as JSON or YAML text."""

from __future__ import annotations

from typing import Any


def dump(value: Any, form: str) -> str:
    """JSON indented by 4 as damo writes it, or YAML in block style; ends with a newline."""
    if form == "yaml":
        import yaml

        dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        text: str = yaml.dump(value, Dumper=dumper, sort_keys=False, default_flow_style=False, allow_unicode=True)
        return text
    import json

    return json.dumps(value, indent=4) + "\n"
