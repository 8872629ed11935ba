"""How a type is listed, as data: the call, the calls that complete each element, and what becomes of it.

Expressions are JMESPath, as in `aws ... --query`; in an element `here` holds region, account and partition,
and `up` what it was listed under.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from zave.aws.live.api import Api, RefusedError
from zave.clock import rfc3339

Element = Mapping[str, Any]

# what something may be called that AWS is still making, or already taking away; the rest is there
_MAKING = frozenset({"creating", "pending", "provisioning", "pendingacceptance", "launching"})
_LEAVING = frozenset({"deleting", "deleting...", "shutting-down", "terminating", "delete in progress"})
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
# of the year 5138: what is larger counts milliseconds
_LAST_SECOND = 1e11
# codes of something that went between two calls, or that has none of what was asked for
_ABSENT = frozenset(
    {
        "AWS.SimpleQueueService.NonExistentQueue",
        "LoadBalancerNotFound",
        "NoSuchBucket",
        "NoSuchEntity",
        "NoSuchTagSet",
        "NotFound",
        "NotFoundException",
        "QueueDoesNotExist",
        "RepositoryNotFoundException",
        "RepositoryPolicyNotFoundException",
        "LifecyclePolicyNotFoundException",
        "ResourceNotFoundException",
    }
)


@dataclass(frozen=True)
class Ask:
    """A call `service:operation`; what of the answer counts is at `path`.

    `given` are fixed parameters, `taken` ones whose values are expressions of the element. An answer
    that is refused with one of `unless` counts as none.
    """

    call: str
    path: str = "@"
    given: Mapping[str, Any] = field(default_factory=dict)
    taken: Mapping[str, str] = field(default_factory=dict)
    unless: frozenset[str] = _ABSENT


@dataclass(frozen=True)
class Kind:
    """One Terraform type: where its things are listed, and which attributes they have.

    `ask` lists; without a call its path leads into the element that it is `under`. `more` completes
    each element by further answers, under their names. `shape` maps Terraform's attributes to
    expressions. `keep` says which elements count; `covers` is how the tagging API calls these things.
    """

    type: str
    ask: Ask
    id: str
    shape: Mapping[str, str] = field(default_factory=dict)
    tags: str = "Tags"
    state: str = ""
    created: str = ""
    keep: str = ""
    more: Mapping[str, Ask] = field(default_factory=dict)
    under: Sequence["Kind"] = ()
    until: str = ""
    covers: str = ""


@dataclass(frozen=True)
class Found:
    """One thing as AWS tells it. `state` is an `Item`'s."""

    type: str
    id: str
    attributes: Mapping[str, str]
    tags: Mapping[str, str]
    state: str = "present"
    created_at: str | None = None


def listed(api: Api, kind: Kind, here: Mapping[str, str], up: Element | None = None) -> Iterator[Found]:
    """Everything of a kind, and of the kinds under it, which come first: they are what depends on it."""
    for raw in _elements(api, kind.ask, here, up):
        element: dict[str, Any] = {**raw, "here": here, "up": up}
        if kind.keep and not _at(kind.keep, element):
            continue
        for name, ask in kind.more.items():
            element[name] = _answer(api, ask, element)
        # what went between the list and the look at it has no identity any more
        identity = _at(kind.id, element)
        if not identity or (kind.more and kind.keep and not _at(kind.keep, element)):
            continue
        for inner in kind.under:
            yield from listed(api, inner, here, element)
        yield _found(kind, str(identity), element)


def kinds_of(kinds: Sequence[Kind]) -> Iterator[Kind]:
    """These kinds and all under them."""
    for kind in kinds:
        yield kind
        yield from kinds_of(kind.under)


def calls_of(kinds: Sequence[Kind]) -> frozenset[str]:
    """Every call that listing them takes, as `service:operation`."""
    asks = [ask for kind in kinds_of(kinds) for ask in (kind.ask, *kind.more.values())]
    return frozenset(ask.call for ask in asks if ask.call)


def _elements(api: Api, ask: Ask, here: Mapping[str, str], up: Element | None) -> Iterator[Element]:
    if not ask.call:
        yield from map(_element, _at(ask.path, up) or ())
        return
    service, _, operation = ask.call.partition(":")
    taken = {name: _at(text, up or {"here": here}) for name, text in ask.taken.items()}
    try:
        for page in api.pages(service, operation, **ask.given, **taken):
            yield from map(_element, _at(ask.path, page) or ())
    except RefusedError as error:
        if up is None or error.code not in ask.unless:
            raise


def _element(found: Any) -> Element:
    # some lists are of names alone
    return found if isinstance(found, Mapping) else {"it": found}


def _answer(api: Api, ask: Ask, element: Element) -> Any:
    service, _, operation = ask.call.partition(":")
    taken = {name: _at(text, element) for name, text in ask.taken.items()}
    if None in taken.values():
        return None
    try:
        return _at(ask.path, api.call(service, operation, **ask.given, **taken))
    except RefusedError as error:
        if error.code not in ask.unless:
            raise
        return None


def _found(kind: Kind, identity: str, element: Element) -> Found:
    attributes = {name: _text(_at(path, element)) for name, path in {"id": kind.id, **kind.shape}.items()}
    state = _state(str(_at(kind.state, element) or "")) if kind.state else "present"
    until = _moment(_at(kind.until, element)) if kind.until else None
    if until is not None:
        attributes["until"] = until
        state = "pending-deletion"
    return Found(
        type=kind.type,
        id=identity,
        attributes={name: value for name, value in attributes.items() if value},
        tags=_tags(_at(kind.tags, element) if kind.tags else None),
        state=state,
        created_at=_moment(_at(kind.created, element)) if kind.created else None,
    )


def _state(text: str) -> str:
    lower = text.lower()
    if lower in _LEAVING:
        return "deleting"
    return "creating" if lower in _MAKING else "present"


def _tags(found: Any) -> dict[str, str]:
    """Tags, however the service writes them: a map, or a list of keys and values."""
    if isinstance(found, Mapping):
        return {str(key): str(value) for key, value in found.items()}
    pairs = ({name.lower(): value for name, value in each.items()} for each in found or ())
    return {str(pair.get("key") or pair.get("tagkey")): _pair_value(pair) for pair in pairs}


def _pair_value(pair: Mapping[str, Any]) -> str:
    return str(pair.get("value") or pair.get("tagvalue") or "")


def _text(value: Any) -> str:
    """An attribute as an inventory writes it; empty for what says nothing."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ",".join(value)
    return ""


def _moment(value: Any) -> str | None:
    if isinstance(value, datetime):
        # a few services tell local time without saying so: AWS's is UTC
        return rfc3339(value if value.tzinfo else value.replace(tzinfo=UTC))
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        # CloudWatch Logs counts milliseconds, SQS seconds
        return rfc3339(datetime.fromtimestamp(value / 1000 if value > _LAST_SECOND else value, UTC))
    try:
        return _moment(datetime.fromisoformat(value)) if isinstance(value, str) else None
    except ValueError:
        return None


def _at(expression: str, element: Any) -> Any:
    compiled, options = _compiled(expression)
    return compiled.search(element, options=options)


@lru_cache(maxsize=1024)
def _compiled(expression: str) -> tuple[Any, Any]:
    import jmespath  # type: ignore[import-untyped]

    return jmespath.compile(expression), _options()


@lru_cache(maxsize=1)
def _options() -> Any:
    """JMESPath with one more function: `tail(text, separator)`, what stands after the last separator."""
    from jmespath import Options, functions

    words = {"types": ["string"]}

    class Functions(functions.Functions):  # type: ignore[misc]
        @functions.signature(words, words)  # type: ignore[untyped-decorator]
        def _func_tail(self, text: str, separator: str) -> str:
            return text.rpartition(separator)[2]

    return Options(custom_functions=Functions())
