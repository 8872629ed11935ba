"""What checkov found in the Terraform modules: run as a program by `make lint-modules`.

checkov itself ends well where it read nothing. So its report is looked at: every module was read, nothing
failed, and whatever is skipped has its reason on the line.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

MODULES = Path(__file__).parents[2] / "terraform-modules"


def problems(report: Mapping[str, Any], modules: Sequence[str]) -> Iterator[str]:
    """All that is wrong with a report on these modules, a line each."""
    results = report.get("results", {})
    passed, skipped = results.get("passed_checks", ()), results.get("skipped_checks", ())
    for each in results.get("failed_checks", ()):
        yield f"{_where(each)}: {each['check_id']} {each['check_name']}"
    for path in results.get("parsing_errors", ()):
        yield f"{path}: checkov cannot read it"
    for each in skipped:
        reason = each["check_result"].get("suppress_comment") or ""
        if len(reason.split()) < 3:
            yield f"{_where(each)}: {each['check_id']} is skipped without a reason on its line"
    read = {each["file_path"].split("/")[1] for each in (*passed, *skipped)}
    for name in sorted(set(modules) - read):
        yield f"{name}: checkov checked nothing in it"


def _where(found: Mapping[str, Any]) -> str:
    return f"terraform-modules{found['file_path']}:{found['file_line_range'][0]} {found['resource']}"


def main(report: str) -> int:
    """0 when nothing is wrong. `report` is the path of `checkov -o json`'s output."""
    document: Any = json.loads(Path(report).read_text())
    # modules of another provider than AWS have nothing that checkov knows
    modules = [path.name for path in MODULES.iterdir() if path.name.startswith("aws-")]
    found = list(problems(document, modules))
    counts = {name: len(document["results"][f"{name}_checks"]) for name in ("passed", "failed", "skipped")}
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    sys.stdout.write("\n".join([*found, f"checkov: {told} in {len(modules)} modules", ""]))
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
