from collections.abc import Callable

import pytest

from zave.errors import SpecError
from zave.spec.load import parse_spec

AWS_BASE = """\
platform: aws-eks
owner: me@example.org
notify: {email: me@example.org}
gitops: {repository: "https://git.example.org/me/platform.git"}
eks: {public_cidrs: [203.0.113.7/32]}
"""


@pytest.fixture
def lab() -> Callable[[str], object]:
    """Parses a lab that has the given lines besides its platform, which stands on line 1."""
    return lambda text: parse_spec(f"platform: libvirt-k3s\n{text}", where="environment.yaml")


@pytest.fixture
def demo() -> Callable[[str], object]:
    """Parses an AWS demo that has the given lines besides the least that it needs, lines 1 to 5."""
    return lambda text: parse_spec(AWS_BASE + text, where="environment.yaml")


@pytest.fixture
def refused() -> Callable[[Callable[[str], object], str], SpecError]:
    """The error with which a text is refused."""

    def parse(parser: Callable[[str], object], text: str) -> SpecError:
        with pytest.raises(SpecError) as caught:
            parser(text)
        return caught.value

    return parse
