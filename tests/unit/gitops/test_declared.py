"""`parity.yaml`: what it allows, and what is told when it is wrong."""

from typing import Any

import pytest

from zave.errors import SpecError
from zave.gitops.compare import ABSENT, Difference
from zave.gitops.declared import Declaration, read_declarations
from zave.gitops.manifests import Identity

BOTH = ("libvirt-k3s", "aws-eks")
TEXT = """
always:
  variables:
    - {name: domain, reason: names of its own}
platforms:
  fields:
    - {object: HelmRelease a/*, path: spec.values.service, reason: another service}
  objects:
    - {object: "* kube-system/karpenter*", only: aws-eks, reason: machines}
"""


def read(text: str, platforms: tuple[str, str] = BOTH) -> tuple[Declaration, ...]:
    return read_declarations(text.encode(), where="parity.yaml", platforms=platforms)


def test_every_entry_is_kept_with_its_line_and_its_reason() -> None:
    assert [(str(d), d.line, d.reason) for d in read(TEXT)] == [
        ("variable domain", 4, "names of its own"),
        ("HelmRelease a/* spec.values.service", 7, "another service"),
        ("* kube-system/karpenter* only in aws-eks", 9, "machines"),
    ]


def test_what_is_for_different_platforms_does_not_count_between_equal_ones() -> None:
    assert [str(d) for d in read(TEXT, ("aws-eks", "aws-eks"))] == ["variable domain"]


@pytest.mark.parametrize(
    ("identity", "path", "allowed"),
    [
        (Identity("HelmRelease", "a", "x"), ("spec", "values", "service"), True),
        (Identity("HelmRelease", "a", "x"), ("spec", "values", "service", "ports", 0), True),
        (Identity("HelmRelease", "a", "x"), ("spec", "values"), False),
        (Identity("HelmRelease", "a", "x"), ("spec", "values", "serviceAccount"), False),
        (Identity("HelmRelease", "b", "x"), ("spec", "values", "service"), False),
        (Identity("Deployment", "a", "x"), ("spec", "values", "service"), False),
    ],
)
def test_a_field_allows_itself_and_what_is_below_it(
    identity: Identity, path: tuple[Any, ...], allowed: bool
) -> None:
    assert read(TEXT)[1].allows_field(identity, Difference(path, 1, 2)) is allowed


@pytest.mark.parametrize(
    ("identity", "platform", "allowed"),
    [
        (Identity("HelmRelease", "kube-system", "karpenter-crd"), "aws-eks", True),
        (Identity("HelmRelease", "kube-system", "karpenter-crd"), "libvirt-k3s", False),
        (Identity("HelmRelease", "default", "karpenter"), "aws-eks", False),
    ],
)
def test_an_object_is_allowed_on_its_platform_only(identity: Identity, platform: str, allowed: bool) -> None:
    assert read(TEXT)[2].allows_object(identity, platform=platform) is allowed


def test_one_kind_of_entry_does_not_stand_in_for_another() -> None:
    variable, field, objects = read(TEXT)
    karpenter = Identity("HelmRelease", "kube-system", "karpenter")
    whole = Difference((), {}, ABSENT)
    assert not variable.allows_field(karpenter, whole)
    assert not variable.allows_object(karpenter, platform="aws-eks")
    assert not field.allows_object(Identity("HelmRelease", "a", "x"), platform="aws-eks")
    assert not objects.allows_field(karpenter, Difference(("spec",), 1, 2))


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("- a\n", 1, "keys with values"),
        ("sometimes: {}\n", 1, "unknown key `sometimes`"),
        ("always:\n  things: []\n", 2, "unknown key `things`"),
        ("always:\n  variables: {name: x}\n", 2, "no list"),
        ("always:\n  variables:\n    - {name: x}\n", 3, "no reason"),
        ("always:\n  variables:\n    - {name: x, reason: '  '}\n", 3, "no reason"),
        ("always:\n  variables:\n    - {name: x, reason: y, path: z}\n", 3, "unknown key `path`"),
        ("always:\n  objects:\n    - {object: x, reason: y}\n", 3, "no only"),
        ("always:\n  fields:\n    - {object: x, path: 'a[', reason: y}\n", 3, "no path"),
        ("always:\n  variables:\n    - {name: x, name: y, reason: z}\n", 3, "duplicate key"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        read(text)
    assert caught.value.where == f"parity.yaml:{line}"
