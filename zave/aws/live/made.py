"""What Terraform made of the standing parts, by its state in the bucket: what was altered differs from it."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from zave.aws.keys import ACCOUNT_STATE
from zave.aws.live.api import Api
from zave.aws.live.bucket import S3Bucket
from zave.aws.live.parts import Parts
from zave.aws.state import state_of
from zave.errors import NoBucketError
from zave.tools.terraform_plan import HeldResource

# an account may be named by its root, and AWS writes the one for the other
_ROOT = re.compile(r"arn:[a-z-]+:iam::(\d{12}):root")


@dataclass(frozen=True)
class Made:
    """The resources of the account's state.

    None: there is no whole one. With what is not `known`, as it may not be read, nothing is compared.
    """

    resources: tuple[HeldResource, ...] | None
    known: bool = True

    def altered(self, kind: str, live: Mapping[str, Any], /, **having: str) -> bool:
        """Whether the resource of `kind` with these attributes is not `live`, or was never made."""
        if not self.known:
            return False
        made = self._of(kind, having)
        return made is None or any(not _same(made.get(name), value) for name, value in live.items())

    def altered_policy(self, kind: str, name: str, live: object, /, **having: str) -> bool:
        """The same for the policy in attribute `name`: order and spelling do not matter."""
        if not self.known:
            return False
        made = self._of(kind, having)
        return made is None or not same_policy(made.get(name), live)

    def one(self, kind: str, /, **having: str) -> Mapping[str, Any]:
        """Attributes of the first such resource; none where there is none."""
        return self._of(kind, having) or {}

    def _of(self, kind: str, having: Mapping[str, str]) -> Mapping[str, Any] | None:
        for each in self.resources or ():
            if each.type == kind and all(each.values.get(name) == value for name, value in having.items()):
                return each.values
        return None


def read_made(api: Api, parts: Parts) -> Made:
    """From the bucket. Raises what `S3Bucket.get` raises, but for a bucket that is not there."""
    try:
        content = S3Bucket(api, name=parts.bucket, account=parts.account).get(ACCOUNT_STATE)
    except NoBucketError:
        return Made(None, known=False)
    state = state_of(content)
    # without one only this is told, and not each part that is compared with it
    return Made(state.held) if state.kind == "whole" else Made(None, known=False)


def same_policy(one: object, other: object) -> bool:
    """Whether two policies say the same; each a document or its text, also encoded as in a URL.

    By the IAM user guide's reference of policy elements: lists are sets, services and actions have no case,
    nor have the keys of conditions; numbers and booleans may be quoted; an `Id` says nothing of rights.
    """
    return _document(one) == _document(other)


def _document(policy: object) -> object:
    if isinstance(policy, str):
        for text in (policy, unquote(policy)):
            try:
                return _policy(json.loads(text))
            except (ValueError, RecursionError):
                continue
    return _policy(policy or None)


def _policy(document: object) -> object:
    if not isinstance(document, Mapping):
        return document
    rest = {name: value for name, value in document.items() if name not in ("Id", "Statement")}
    return {**rest, "Statement": _set(map(_statement, _flat(document.get("Statement"))))}


def _statement(statement: object) -> object:
    if not isinstance(statement, Mapping):
        return statement
    plain: dict[str, object] = {}
    for name, value in statement.items():
        if name == "Condition":
            # an empty one holds always, as none does
            plain |= {name: _condition(value)} if value else {}
        elif name in ("Action", "NotAction"):
            plain[name] = _set(str(each).lower() for each in _flat(value))
        elif isinstance(value, Mapping):
            plain[name] = {kind: _set(map(_word, _flat(who))) for kind, who in value.items()}
        else:
            plain[name] = _set(map(_word, _flat(value)))
    return plain


def _condition(condition: object) -> object:
    if not isinstance(condition, Mapping):
        return condition
    return {
        operator: {str(key).lower(): _set(map(_quoted, _flat(value))) for key, value in keys.items()}
        if isinstance(keys, Mapping)
        else keys
        for operator, keys in condition.items()
    }


def _flat(value: object) -> Iterator[object]:
    """One word and a list of this word are the same to IAM."""
    if isinstance(value, list | tuple):
        for each in value:
            yield from _flat(each)
    else:
        yield value


def _set(words: Iterable[object]) -> list[str]:
    return sorted(set(map(_text, words)))


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _word(value: object) -> object:
    return _ROOT.sub(r"\1", value) if isinstance(value, str) else value


def _quoted(value: object) -> object:
    """A value of a condition: true, 1 and their texts are the same."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:g}"
    return _word(value)


def _same(made: object, live: object) -> bool:
    if isinstance(made, list) and isinstance(live, list):
        # of sets, both: Terraform and AWS tell them in orders of their own
        return _set(made) == _set(live)
    # what Terraform has as 0, "" or an empty list AWS leaves out
    return made == live or (not made and not live)
