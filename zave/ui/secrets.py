"""Secrets without their values, for people."""

from collections.abc import Mapping
from typing import Any

from zave.ui.style import Style, one_line
from zave.ui.table import table


def render_secrets(document: Mapping[str, Any], *, style: Style | None = None) -> str:
    """A `zave/secrets/v1` document as text."""
    style = style or Style()
    key = document["recipient"] or "none yet"
    lines = [f"{one_line(document['instance'])}: encrypted for {key}"]
    rows = [
        (
            each["name"],
            each["state"],
            "yes" if each["wanted"] else "no",
            ", ".join(each["fields"]),
            one_line(each["reason"]),
        )
        for each in document["secrets"]
    ]
    if rows:
        lines += table(("secret", "state", "wanted", "fields", ""), rows).splitlines()
    else:
        lines.append("  its platform wants no secrets")
    for each in document["in_plain_text"]:
        where = f"{one_line(each['path'])}:{each['line']}"
        lines.append(f"{style.paint('in plain text', 'bad')}: {where}: {one_line(each['what'])}")
    return "\n".join(lines) + "\n"
