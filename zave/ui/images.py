"""Images, for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from zave.ui.style import Style, one_line
from zave.ui.table import table

_MIB = 1024 * 1024


def render_images(images: Mapping[str, Any], *, style: Style | None = None) -> str:
    """A `zave/images/v1` document as text."""
    style = style or Style()
    text = ""
    if images["removed"]:
        text += style.paint(f"removed ({len(images['removed'])})", "warn") + "\n" + _rows(images["removed"])
    if not images["images"]:
        return text + "no images\n"
    return text + _rows(images["images"])


def _rows(images: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            one_line(image["name"]),
            f"{image['size'] / _MIB:.0f} MiB",
            f"{image['built_at'][:10]} {image['built_at'][11:16]}Z",
            one_line(", ".join(image["used_by"])) or "-",
            one_line(image["location"]),
        )
        for image in images
    ]
    return table(["image", "size", "built", "used by", "location"], rows)
