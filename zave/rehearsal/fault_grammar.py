"""How the line is read in which a fault is written: the grammar, and each verb's words."""

import re
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatchcase

from zave.errors import UsageError
from zave.rehearsal.fault_text import ALTERED, ANY_AWS, VERBS, Fault, Verb

GRAMMAR = """\
fail create|update|delete|read TYPE [with "message"]
fail build image [with "message"]
fail join k3s [with "message"]
fail reconcile [helmrelease] NAME [with "message"]
slow create|update|delete TYPE by 10x
slow build image by 10x
slow join k3s by 10x
slow pull image by 10x
hang create|update|delete TYPE [for 60s]
hang build image [for 60s]
hang join k3s [for 60s]
crash provider [on create|update|delete|read TYPE]
leak TYPE
refuse delete TYPE [with "message"]
fill pool [NAME]
throttle TYPE|all
quota TYPE
no spot capacity
expire credentials [after N calls]
region unreachable
leave load-balancer|volume|interface|log-group|instance
lose lock
stale lock
fail destroyer [with "message"]
alter TYPE
surge by N nodes
keep finalizer KIND
silent api
each may end in: after N [calls]; once, twice, N times or always
TYPE is a Terraform type or TYPE.NAME (image.NAME and k3s.NAME, too), both with * and ?
KIND is kustomization, service, persistentvolumeclaim, nodepool or nodeclaim, or KIND.NAME"""

# what each verb may be asked to do
_ACTIONS: dict[str, tuple[str, ...]] = {
    "fail": ("create", "update", "delete", "read", "build", "join", "reconcile"),
    "slow": ("create", "update", "delete", "build", "join", "pull"),
    "hang": ("create", "update", "delete", "build", "join"),
    "crash": ("create", "update", "delete", "read"),
    "refuse": ("delete",),
}
# these happen to one kind of thing only
_ONLY_ON: dict[str, str] = {"build": "image", "join": "k3s", "pull": "image"}
_KEPT = ("kustomization", "service", "persistentvolumeclaim", "nodepool", "nodeclaim")
_LEAVINGS = ("load-balancer", "volume", "interface", "log-group", "instance")
_TAIL_WORDS = ("after", "once", "twice", "always")
_LONGEST_LINE = 500
_MOST = 1_000_000
_WORD = re.compile(r'"(?:[^"\\]|\\["\\])*"|[^\s"]+')
_QUOTED = re.compile(r'"(.*)"')
_NAME = re.compile(r"[A-Za-z0-9_*?.:@/-]{1,200}")
_TARGET = re.compile(rf"[a-z0-9_*?]{{1,80}}(?:\.{_NAME.pattern})?")
_NUMBER = re.compile(r"[0-9]{1,7}")
_DURATION = re.compile(r"([0-9]{1,7})(s|m|h)")
_FACTOR = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)x")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600}


def parse_fault(text: str) -> Fault:
    """Read one fault. Raises UsageError naming the word that does not fit, and the grammar."""
    words = _Words(text)
    verb = words.one_of(*VERBS)
    return _tail(words, _BODIES[verb](words))


class _Words:
    """The words of a fault, taken one after the other."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._words: list[str] = []
        if len(text) > _LONGEST_LINE:
            self._text = text[:40] + "..."
            raise self.refused(f"longer than {_LONGEST_LINE} characters")
        if not text.isprintable():
            raise self.refused("there are control characters in it")
        position = 0
        while rest := text[position:].lstrip():
            match = _WORD.match(rest)
            if match is None:
                raise self.refused("a quote is not closed")
            self._words.append(match.group())
            position = len(text) - len(rest) + match.end()

    def take(self, expected: str) -> str:
        """The next word."""
        if not self._words:
            raise self.refused(f"{expected} is missing at the end")
        return self._words.pop(0)

    def one_of(self, *choices: str) -> str:
        """The next word, which must be one of `choices`."""
        expected = " or ".join(choices)
        word = self.take(expected)
        if word not in choices:
            raise self.refused(f"{word!r} where {expected} should stand")
        return word

    def next_is(self, *choices: str) -> bool:
        """Take the next word when it is one of `choices`."""
        if not self._words or self._words[0] not in choices:
            return False
        self._words.pop(0)
        return True

    def matching(self, pattern: re.Pattern[str], expected: str) -> re.Match[str]:
        """The next word, which must match `pattern`."""
        word = self.take(expected)
        match = pattern.fullmatch(word)
        if match is None:
            raise self.refused(f"{word!r} where {expected} should stand")
        return match

    def number(self) -> int:
        """The next word as a number."""
        number = int(self.matching(_NUMBER, "a number").group())
        if not 1 <= number <= _MOST:
            raise self.refused(f"{number} is not between 1 and {_MOST}")
        return number

    def left(self) -> str | None:
        """The next word without taking it."""
        return self._words[0] if self._words else None

    def refused(self, reason: str) -> UsageError:
        """The error to raise, with the grammar in it."""
        return UsageError(
            f"cannot read the fault {self._text!r}: {reason}",
            details=GRAMMAR,
            resolution="write it as one of the lines above",
        )


def _fail(words: _Words) -> Fault:
    action = words.one_of(*_ACTIONS["fail"], "destroyer")
    if action == "destroyer":
        return _with_message(words, Fault(verb="fail", action="run", type="destroyer"))
    if action != "reconcile":
        return _with_message(words, _on("fail", action, words))
    type_ = "helmrelease" if words.next_is("helmrelease") else "kustomization"
    name = words.matching(_NAME, f"the name of a {type_}").group()
    fault = Fault(verb="fail", action=action, type=type_, name=name, count=None)
    return _with_message(words, fault)


def _slow(words: _Words) -> Fault:
    fault = _on("slow", words.one_of(*_ACTIONS["slow"]), words)
    words.one_of("by")
    factor = float(words.matching(_FACTOR, "a factor such as 10x").group(1))
    if factor == 0:
        raise words.refused("a factor of 0: nothing takes no time at all")
    return replace(fault, factor=factor)


def _hang(words: _Words) -> Fault:
    fault = _on("hang", words.one_of(*_ACTIONS["hang"]), words)
    if not words.next_is("for"):
        return fault
    number, unit = words.matching(_DURATION, "a duration such as 60s").groups()
    return replace(fault, seconds=float(int(number) * _UNIT_SECONDS[unit]))


def _crash(words: _Words) -> Fault:
    words.one_of("provider")
    if not words.next_is("on"):
        return Fault(verb="crash", action="*", type="*")
    return _on("crash", words.one_of(*_ACTIONS["crash"]), words)


def _leak(words: _Words) -> Fault:
    return _on("leak", "delete", words)


def _refuse(words: _Words) -> Fault:
    fault = _on("refuse", words.one_of(*_ACTIONS["refuse"]), words)
    return _with_message(words, replace(fault, count=None))


def _fill(words: _Words) -> Fault:
    words.one_of("pool")
    # a pool's name is no number and no word of the tail, so that `3 times` is never taken for one
    left = words.left()
    named = left is not None and left not in _TAIL_WORDS and not left.isdecimal()
    name = words.matching(_NAME, "a pool's name").group() if named else "*"
    return Fault(verb="fill", action="create", type="libvirt_volume", name=name, count=None)


def _throttle(words: _Words) -> Fault:
    if words.next_is("all"):
        return Fault(verb="throttle", action="*", type=ANY_AWS)
    return _on("throttle", "*", words)


def _quota(words: _Words) -> Fault:
    # a quota stays used up until it is raised
    return replace(_on("quota", "create", words), count=None)


def _no(words: _Words) -> Fault:
    words.one_of("spot")
    words.one_of("capacity")
    return Fault(verb="no", action="create", type=ANY_AWS, name="spot", count=None)


def _expire(words: _Words) -> Fault:
    words.one_of("credentials")
    return Fault(verb="expire", action="any", type=ANY_AWS, count=None)


def _region(words: _Words) -> Fault:
    words.one_of("unreachable")
    return Fault(verb="region", action="any", type=ANY_AWS, count=None)


def _leave(words: _Words) -> Fault:
    return Fault(verb="leave", action="leave", type=words.one_of(*_LEAVINGS))


def _lock(verb: Verb) -> Callable[[_Words], Fault]:
    def read(words: _Words) -> Fault:
        words.one_of("lock")
        return Fault(verb=verb, action="change", type=ANY_AWS)

    return read


def _surge(words: _Words) -> Fault:
    words.one_of("by")
    count = words.number()
    words.one_of("nodes", "node")
    return Fault(verb="surge", action="scale", type="cluster", factor=float(count))


def _alter(words: _Words) -> Fault:
    fault = _on("alter", "alter", words)
    if not any(fnmatchcase(each, fault.type) for each in ALTERED):
        raise words.refused(f"{fault.type!r} where the type of a standing part with settings should stand")
    return fault


def _keep(words: _Words) -> Fault:
    words.one_of("finalizer")
    kind, dot, name = words.matching(_TARGET, " or ".join(_KEPT)).group().partition(".")
    if kind not in _KEPT:
        raise words.refused(f"{kind!r} where {' or '.join(_KEPT)} should stand")
    # a finalizer that nobody releases stays
    return Fault(verb="keep", action="release", type=kind, name=name if dot else "*", count=None)


def _silent(words: _Words) -> Fault:
    words.one_of("api")
    return Fault(verb="silent", action="ask", type="api", count=None)


_BODIES: dict[str, Callable[[_Words], Fault]] = {
    "fail": _fail,
    "slow": _slow,
    "hang": _hang,
    "crash": _crash,
    "leak": _leak,
    "refuse": _refuse,
    "fill": _fill,
    "throttle": _throttle,
    "quota": _quota,
    "no": _no,
    "expire": _expire,
    "region": _region,
    "leave": _leave,
    "lose": _lock("lose"),
    "stale": _lock("stale"),
    "surge": _surge,
    "alter": _alter,
    "keep": _keep,
    "silent": _silent,
}


def _on(verb: Verb, action: str, words: _Words) -> Fault:
    type_, dot, name = words.matching(_TARGET, "a type such as libvirt_domain").group().partition(".")
    only = _ONLY_ON.get(action, type_)
    if type_ != only:
        raise words.refused(f"{type_!r} where {only} should stand")
    return Fault(verb=verb, action=action, type=type_, name=name if dot else "*")


def _with_message(words: _Words, fault: Fault) -> Fault:
    if not words.next_is("with"):
        return fault
    quoted = words.matching(_QUOTED, "a message in double quotes").group(1)
    return replace(fault, message=re.sub(r"\\(.)", r"\1", quoted))


def _tail(words: _Words, fault: Fault) -> Fault:
    """`after N` and how often, in either order, each at most once."""
    after, counted = 0, False
    while words.left() is not None:
        if not after and words.next_is("after"):
            after = words.number()
            words.next_is("calls")
        elif counted:
            raise words.refused(f"{words.left()!r} where the fault should end")
        else:
            fault, counted = replace(fault, count=_count(words)), True
    return replace(fault, after=after)


def _count(words: _Words) -> int | None:
    for word, count in (("once", 1), ("twice", 2), ("always", None)):
        if words.next_is(word):
            return count
    left = words.left()
    if left is None or not left.isdecimal():
        raise words.refused(f"{left!r} where after N, once, twice, N times or always should stand")
    number = words.number()
    words.one_of("times")
    return number
