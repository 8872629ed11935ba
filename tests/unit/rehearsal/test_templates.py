import re
import uuid

import pytest

from zave.rehearsal.templates import Identifiers, text
from zave.rehearsal.values import UNKNOWN
from zave.rehearsal.world import World

VALUES = {
    "name": "web",
    "url": "https://issuer.example/id/7",
    "block": [{"id": "a"}, {"id": "b"}],
    "cidr": "10.1.2.0/24",
    "zone": "us-east-1b",
    "later": UNKNOWN,
    "nothing": None,
}


@pytest.mark.parametrize(
    ("template", "result"),
    [
        ("x-{name}", "x-web"),
        ("{block.*.id}", "a"),
        ("{url|bare}", "issuer.example/id/7"),
        ("{url|last}", "7"),
        ("{cidr|host}", "10.1.2.10"),
        ("{zone|zone}", "use1-az2"),
        ("{cidr|dashes}", "10-1-2-0-24"),
        ('{"json": "stays"} ${interpolation-like}', '{"json": "stays"} ${interpolation-like}'),
        ("{later}", None),
        ("{nothing}", None),
        ("{absent}", None),
        ("{#id:17}", None),
    ],
)
def test_a_template_is_filled_in(template: str, result: str | None) -> None:
    assert text(template, VALUES) == result


def test_digits_of_one_label_are_the_same_and_of_another_differ(world: World) -> None:
    own = Identifiers("aws_vpc", world)
    first, again, other = (text(template, {}, own) for template in ("{#id:17}", "{#id:17}", "{#eni:17}"))
    assert first == again != other
    assert re.fullmatch(r"[0-9a-f]{17}", first or "")
    assert text("{#ID:17}", {}, own) == (first or "").upper()


def test_digits_have_the_form_that_is_asked_for(world: World) -> None:
    own = Identifiers("aws_eip", world)
    assert re.fullmatch(r"\d{26}", text("{#suffix:26d}", {}, own) or "")
    assert 0 <= int(text("{#net:256i}", {}, own) or "") < 256
    assert uuid.UUID(text("{~key}", {}, own) or "").version == 4


def test_each_thing_has_digits_of_its_own(world: World) -> None:
    made = {text("{#id:17}", {}, Identifiers("aws_vpc", world)) for _ in range(10)}
    assert len(made) == 10


def test_the_moment_is_the_worlds(world: World) -> None:
    world.clock.sleep(3600)
    expected = world.clock.now().strftime("%Y-%m-%dT%H:")
    assert (text("{@}", {}, Identifiers("aws_iam_role", world)) or "").startswith(expected)
