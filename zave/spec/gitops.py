"""What Flux is given, as far as both platforms say it alike."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field, Strict

from zave.spec.extras import BIGBANG_PACKAGES, WANTED_VARIABLES, complaints, parse_variable
from zave.spec.models import Parsed, Problem, Section, duplicates
from zave.spec.places import parse_branch, parse_repository

Repository = Annotated[str, Parsed(parse_repository, example="https://git.example.org/me/platform.git")]

_Package = Literal["alloy", "argocd", "bbctl", "gitlab", "kiali", "kyverno", "loki", "neuvector", "tempo"]


class GitOps(Section):
    """Where the platform's desired state is kept."""

    branch: Annotated[str, Parsed(parse_branch, example="main")] = Field(
        default="main", description="Branch that Flux follows. Default: main."
    )
    bigbang: Annotated[tuple[_Package, ...], Strict(False)] = Field(
        default=(),
        max_length=len(BIGBANG_PACKAGES),
        description="With profile bigbang: what it installs beyond Istio, monitoring and Grafana. gitlab "
        "wants 8 vCPU and 30 GB more. Default: [].",
    )
    variables: dict[str, Annotated[str, Parsed(parse_variable, example="10.17.3.240-10.17.3.250")]] = Field(
        default={},
        max_length=64,
        description="Values for the variables that extras want, and for those of pieces of your own. "
        "Default: {}.",
    )

    def __hash__(self) -> int:
        """Of every field, as pydantic has it; a mapping has no hash of its own."""
        values = {**self.__dict__, "variables": tuple(sorted(self.variables.items()))}
        return hash(tuple(values.values()))


def gitops_problems(gitops: GitOps, *, profile: str, extras: Sequence[str]) -> Iterator[Problem]:
    """What does not fit together in the section `gitops`."""
    yield from _without_flux(gitops, profile, extras)
    for key, items in (("extras", extras), ("bigbang", gitops.bigbang)):
        for index in duplicates(items):
            yield Problem(
                ("gitops", key, index), f"gitops.{key} names {items[index]} twice", "remove one of them"
            )
    if gitops.bigbang and profile == "slim":
        yield Problem(
            ("gitops", "bigbang"),
            "gitops.bigbang says what Big Bang installs, and gitops.profile is slim",
            "remove it, or set profile: bigbang",
        )
    for index, extra in enumerate(extras):
        for name in WANTED_VARIABLES.get(extra, ()):
            if name not in gitops.variables:
                yield Problem(
                    ("gitops", "extras", index),
                    f"the extra {extra} wants gitops.variables.{name}",
                    "add it; docs/parity.md says what each variable is",
                )
    for name, complaint in complaints(gitops.variables, extras):
        yield Problem(
            ("gitops", "variables", name), f"gitops.variables: {complaint.brief}", complaint.resolution
        )


def _without_flux(gitops: GitOps, profile: str, extras: Sequence[str]) -> Iterator[Problem]:
    """A bare cluster has nobody who would install anything."""
    if profile == "none":
        for key, value in (("extras", extras), ("bigbang", gitops.bigbang), ("variables", gitops.variables)):
            if value:
                yield Problem(
                    ("gitops", key),
                    f"gitops.{key} is for Flux, and gitops.profile none leaves it out",
                    "remove it, or set profile: slim",
                )
