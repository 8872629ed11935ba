"""Kubernetes objects out of YAML text, as Flux's controllers read it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from zave.errors import UsageError
from zave.gitops.substitution import SubstitutionError, substitute

_SUBSTITUTE = "kustomize.toolkit.fluxcd.io/substitute"
_NEXT = re.compile(r"^---[ \t]*$", re.MULTILINE)
# PyYAML's C parser recurses; no object of Kubernetes' is as deep
_DEEPEST = 200

_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Parser):  # type: ignore[misc]
    """The parser with the plain scalars of Go's YAML: no dates, no base 60; `y` and `no` are booleans."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


_RESOLVED = (
    (
        "bool",
        r"y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF",
        "yYnNtTfFoO",
    ),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+",
        "-+0123456789.",
    ),
    ("int", r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]+|0|[1-9][0-9_]*)", "-+0123456789"),
    ("null", r"~|null|Null|NULL|", "~nN"),
)
for _tag, _pattern, _first in _RESOLVED:
    _tag_name, _whole = f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$")
    _Loader.add_implicit_resolver(_tag_name, _whole, [*_first, ""])


def _boolean(loader: Any, node: Any) -> bool:
    return str(node.value)[0] in "yYtT" or str(node.value) in ("on", "On", "ON")


_Loader.add_constructor("tag:yaml.org,2002:bool", _boolean)


@dataclass(frozen=True, order=True)
class Identity:
    """Which object: the API group without its version, kind, namespace (empty: none) and name."""

    kind: str
    namespace: str
    name: str
    group: str = ""

    def __str__(self) -> str:
        """As people name it: `HelmRelease istio-ingress/gateway`, `Namespace argocd`."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Undefined:
    """A text in an object that Flux would refuse: where in it, and why."""

    path: str
    text: str
    problem: str


@dataclass(frozen=True)
class Manifest:
    """One object of one environment.

    `raw` is what kustomize built, `value` what the cluster gets: with Flux's variables replaced. `layer`
    names the Flux Kustomization that applies it.
    """

    identity: Identity
    layer: str
    raw: Mapping[str, Any]
    value: Mapping[str, Any]
    undefined: tuple[Undefined, ...] = field(default=())


def read_manifests(text: str, *, layer: str, variables: Mapping[str, str] | None) -> Iterator[Manifest]:
    """The objects in `text`. Without `variables` (None) nothing is replaced.

    Raises UsageError for what is no Kubernetes object.
    """
    for document in _NEXT.split(text):
        raw = _load(document, layer)
        if raw is None:
            continue
        value: Mapping[str, Any] = raw
        undefined: tuple[Undefined, ...] = ()
        if variables is not None and "$" in document and not _spared(raw):
            value, undefined = _replaced(document, raw, layer, variables)
        # of what was replaced: a variable may stand in a name
        yield Manifest(_identity(value, layer), layer, raw, value, undefined)


def _replaced(
    document: str, raw: Mapping[str, Any], layer: str, variables: Mapping[str, str]
) -> tuple[Mapping[str, Any], tuple[Undefined, ...]]:
    try:
        value = _load(substitute(document, variables), layer)
    except SubstitutionError:
        return raw, tuple(_refused(raw, variables))
    if value is None:
        raise UsageError(f"an object of {layer} is empty once its variables are replaced")
    return value, ()


def _refused(value: Any, variables: Mapping[str, str], path: str = "") -> Iterator[Undefined]:
    """The texts in `value` that cannot be replaced."""
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from _refused(child, variables, f"{path}.{key}" if path else str(key))
            yield from _refused(str(key), variables, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _refused(child, variables, f"{path}[{index}]")
    elif isinstance(value, str):
        try:
            substitute(value, variables)
        except SubstitutionError as error:
            yield Undefined(path, value, str(error))


def _load(document: str, layer: str) -> Mapping[str, Any] | None:
    if re.search(rf"^ {{{2 * _DEEPEST},}}|[\[{{]{{{_DEEPEST},}}", document, re.MULTILINE):
        raise UsageError(f"an object of {layer} is nested more than {_DEEPEST} levels deep")
    try:
        value = yaml.load(document, Loader=_Loader)  # noqa: S506 - a safe loader of our own
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(
            f"an object of {layer} is no YAML once its variables are replaced",
            details=str(error),
            resolution="a variable's value must fit where it is used; see the ConfigMap of variables",
        ) from error
    if value is None:
        return None
    if not isinstance(value, dict):
        raise UsageError(f"{layer} holds something that is no Kubernetes object", details=str(value)[:200])
    return value


def _identity(value: Mapping[str, Any], layer: str) -> Identity:
    metadata = value.get("metadata")
    version, kind = value.get("apiVersion"), value.get("kind")
    if not (isinstance(metadata, dict) and isinstance(version, str) and isinstance(kind, str)):
        raise UsageError(f"{layer} holds an object without apiVersion, kind or metadata")
    group = version.rpartition("/")[0]
    return Identity(kind, str(metadata.get("namespace") or ""), str(metadata.get("name") or ""), group)


def _spared(raw: Mapping[str, Any]) -> bool:
    """Whether the object asks Flux to leave its dollars alone."""
    metadata = raw.get("metadata") or {}
    marks = (metadata.get("labels") or {}, metadata.get("annotations") or {})
    return any(mark.get(_SUBSTITUTE) == "disabled" for mark in marks)
