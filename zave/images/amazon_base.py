"""The vendor's AMI that an image is built on: whose it is, what it is called, which is the newest."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# what the template of an image asks for as well; its owner and its name come from the variable file
_KIND = {
    "architecture": "x86_64",
    "root-device-type": "ebs",
    "virtualization-type": "hvm",
    "state": "available",
}
_LIMIT = 256 * 1024


@dataclass(frozen=True)
class VendorAmi:
    """All AMIs of `owner` whose name fits `name`, which may hold wildcards."""

    owner: str
    name: str

    @classmethod
    def of(cls, variables: Path) -> "VendorAmi | None":
        """The one that a variable file names; None when it names none, or cannot be read."""
        try:
            with variables.open(encoding="utf-8", errors="replace") as file:
                text = file.read(_LIMIT)
        except OSError:
            return None
        owner, name = _value(text, "ami_owner"), _value(text, "ami_name_filter")
        return cls(owner, name) if owner and name else None

    def newest(self, ec2: Any) -> str | None:
        """Its id; None when the vendor lists none. Raises botocore's errors."""
        filters = {**_KIND, "name": self.name}
        images: Sequence[Any] = ec2.describe_images(
            Owners=[self.owner],
            Filters=[{"Name": name, "Values": [value]} for name, value in filters.items()],
        )["Images"]
        # RFC 3339 in UTC, so the latest is the greatest
        newest = max(images, key=lambda image: str(image.get("CreationDate", "")), default=None)
        return None if newest is None else str(newest["ImageId"])


def _value(text: str, name: str) -> str | None:
    """What a line `name = "..."` gives it; a variable file has nothing that would need more of HCL."""
    found = re.search(rf'^\s*{name}\s*=\s*"([^"\\$%]+)"\s*(?:(?:#|//).*)?$', text, re.MULTILINE)
    return None if found is None else found[1]
