#!/usr/bin/env python3
"""Renders a Terraform root as the author of a shell script would: `render_root.py PLAN ROOT`.

PLAN is what zave rendered, as data: templates with their values, where each result goes, and the
variables, in which `{"$rendered": N}` stands for the result of template N. Uses Jinja2, and zave's two
filters for quoting.
"""

import json
import sys
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from zave.render import hcl, yaml


def main() -> None:
    """Render everything, write the root's files and its variables."""
    plan, root = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    environments: dict[str, Environment] = {}
    results: list[str] = []
    for template in plan["templates"]:
        folder = template["folder"]
        if folder not in environments:
            environments[folder] = Environment(
                loader=FileSystemLoader(folder),
                undefined=StrictUndefined,
                autoescape=False,
                keep_trailing_newline=True,
                trim_blocks=True,
                lstrip_blocks=True,
            )
            environments[folder].filters.update(hcl=hcl, yaml=yaml)
        results.append(environments[folder].get_template(template["name"]).render(template["values"]))
        if template["place"] is not None:
            (root / template["place"]).write_text(results[-1])

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            if "$rendered" in value:
                return results[value["$rendered"]]
            return {name: filled(each) for name, each in value.items()}
        return [filled(each) for each in value] if isinstance(value, list) else value

    (root / plan["variables_file"]).write_text(json.dumps(filled(plan["variables"]), indent=2))


if __name__ == "__main__":
    main()
