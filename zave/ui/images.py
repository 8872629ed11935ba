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
    if images["discarded"]:
        text += style.paint(f"leftovers removed ({len(images['discarded'])})", "warn") + "\n"
        text += _leftovers(images["discarded"])
    text += _rows(images["images"]) if images["images"] else "no images\n"
    if images["leftovers"]:
        number = len(images["leftovers"])
        text += style.paint(f"leftovers, no images ({number}): --prune removes them", "warn") + "\n"
        text += _leftovers(images["leftovers"])
    return text


def render_removal(images: Mapping[str, Any]) -> str:
    """What a `zave/images/v1` document says to be removed, before it is."""
    text = _rows(images["removed"]) if images["removed"] else ""
    if images["discarded"]:
        text += "leftovers, no images:\n" + _leftovers(images["discarded"])
    return text


def _leftovers(leftovers: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            one_line(each["name"]),
            f"{each['size'] / _MIB:.0f} MiB",
            f"{each['since'][:10]} {each['since'][11:16]}Z",
            one_line(each["why"]),
            one_line(each["location"]),
        )
        for each in leftovers
    ]
    return table(["leftover", "size", "since", "what it is", "location"], rows)


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
