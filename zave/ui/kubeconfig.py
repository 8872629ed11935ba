"""A kubeconfig's path or text."""

from collections.abc import Mapping
from typing import Any

from zave.ui.style import Style


def render_kubeconfig(document: Mapping[str, Any], *, style: Style | None = None) -> str:
    """A `zave/kubeconfig/v1` document as text that a shell or kubectl can take as it is."""
    del style
    if "merged" in document:
        where = "is in" if document["merged"] else "is no longer in"
        return f"context {document['context']} {where} {document['path']}\n"
    content: str | None = document["content"]
    return f"{document['path']}\n" if content is None else content
