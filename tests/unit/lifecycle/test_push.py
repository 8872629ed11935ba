"""Pushing images: where each goes, what is left alone, what is refused before anything is copied."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from zave.errors import PreconditionError, StepFailedError, UsageError
from zave.lifecycle.image_names import Shipment, shipments
from zave.lifecycle.push import push
from zave.ports.registry import Authorization

SERVER = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
URLS = {name: f"{SERVER}/zave-demo/{name}" for name in ("apps", "shop")}
A, B = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


def goes_to(image: str, *, renamed: str | None = None, urls: Mapping[str, str] = URLS) -> str:
    (found,) = shipments([image], urls, renamed=renamed, instance="demo")
    return found.target.removeprefix(f"{SERVER}/zave-demo/")


@pytest.mark.parametrize(
    ("image", "target"),
    [
        ("docker.io/library/nginx:1.29", "apps:nginx-1.29"),
        ("docker://registry.example.org:5000/team/shop:1.4", "shop:1.4"),
        ("shop:1.4", "shop:1.4"),
        ("localhost:5000/shop:1", "shop:1"),
    ],
)
def test_an_image_goes_into_the_repository_of_its_name_or_the_shared_one(image: str, target: str) -> None:
    assert goes_to(image) == target


def test_an_archive_is_named_by_its_reference_or_by_as(tmp_path: Path) -> None:
    file = tmp_path / "shop.tar"
    file.touch()
    assert goes_to(f"docker-archive:{file}:example.org/shop:2") == "shop:2"
    assert goes_to(f"oci-archive:{file}", renamed="apps:mine") == "apps:mine"


@pytest.mark.parametrize(
    ("image", "renamed", "said"),
    [
        ("nginx", None, "no name with a tag"),
        (f"nginx@{A}", None, "no name with a tag"),
        (f"nginx:1@{A}", None, "both a tag and a digest"),
        ("--all", None, "not the name of an image"),
        ("user:password@example.org/nginx:1", None, "not the name of an image"),
        ("oci-archive:not-there.tar", "apps:1", "no file"),
        ("nginx:1", "apps", "not a repository with a tag"),
        ("nginx:" + "1" * 127, None, "too long"),
    ],
)
def test_a_name_that_will_not_do_is_refused(image: str, renamed: str | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        goes_to(image, renamed=renamed)


@pytest.mark.parametrize(("renamed", "urls"), [("web:1", URLS), (None, {"shop": URLS["shop"]})])
def test_without_a_repository_those_that_there_are_and_the_key_are_named(
    renamed: str | None, urls: dict[str, str]
) -> None:
    with pytest.raises(UsageError, match="no repository") as caught:
        goes_to("nginx:1", renamed=renamed, urls=urls)
    assert "shop" in (caught.value.details or "")
    assert "registry.repositories" in (caught.value.resolution or "")


def test_two_images_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="two images"):
        shipments(["a.example/nginx:1", "b.example/nginx:1"], URLS, renamed=None, instance="demo")


class Memory:
    """A registry and a copier in memory. `arrives` is what a copy ends as, if not as what was sent."""

    def __init__(self, *, there: Mapping[str, str], arrives: str | None = None, server: str = SERVER) -> None:
        self.stock = dict(there)
        self.arrives = arrives
        self.server = server
        self.copied: list[str] = []

    def authorization(self) -> Authorization:
        return Authorization(self.server, "AWS", "secret")

    def tags(self, repository: str) -> Mapping[str, str]:
        assert repository == "zave-demo/apps"
        return self.stock

    def digest(self, source: str) -> str:
        return A if "nginx" in source else B

    def copy(self, source: str, target: str, *, say: Callable[[str], None]) -> None:
        say("Copying blob")
        self.copied.append(target)
        self.stock[target.rpartition(":")[2]] = self.arrives or self.digest(source)

    def stored(self, target: str) -> str:
        return self.stock[target.rpartition(":")[2]]


def run(memory: Memory) -> list[tuple[str, str]]:
    wanted = [Shipment(f"docker://{name}", f"{URLS['apps']}:{name}-1") for name in ("nginx", "redis")]
    done = push(wanted, registry=memory, copier=memory, say=lambda _: None)
    return [(each.action, each.digest) for each in done]


def test_what_is_there_is_left_and_the_rest_is_copied() -> None:
    memory = Memory(there={"nginx-1": A})
    assert run(memory) == [("present", A), ("copied", B)]
    assert memory.copied == [f"{URLS['apps']}:redis-1"]


def test_a_tag_of_another_image_is_refused_before_anything_is_copied() -> None:
    memory = Memory(there={"redis-1": A})
    with pytest.raises(PreconditionError, match="another image") as caught:
        run(memory)
    assert memory.copied == []
    assert "--as" in (caught.value.resolution or "")


def test_a_copy_that_is_not_what_was_sent_is_a_failure() -> None:
    with pytest.raises(StepFailedError, match="another image than was sent"):
        run(Memory(there={}, arrives=B))


def test_credentials_of_another_account_are_refused() -> None:
    memory = Memory(there={}, server="999999999999.dkr.ecr.us-east-1.amazonaws.com")
    with pytest.raises(PreconditionError, match="999999999999"):
        run(memory)
    assert memory.copied == []
