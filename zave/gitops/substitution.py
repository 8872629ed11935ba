"""Flux's variable substitution, strict: what kustomize-controller does to each object after the build.

Rules as in the package that Flux uses (github.com/fluxcd/pkg/envsubst, read 2026-11-23) with the feature
gate `StrictPostBuildSubstitutions`, on by default since kustomize-controller 1.9: the object's YAML is
taken as text, `${name}` without a value is an error, `${name:=default}` and its like take the default
for what is unset or empty, `$$` is a dollar sign. Forms that change the value (`${name:0:3}`,
`${name/a/b}` and so on) are refused here rather than guessed at; the tree uses none.
"""

import re
from collections.abc import Iterator, Mapping

# what may be a variable's name in a ConfigMap (kustomize-controller, `varsubRegex`)
_NAME = re.compile(r"[_A-Za-z][_A-Za-z0-9]*")
# what the scanner takes for one, and what it takes as it is inside of a default
_WORD = re.compile(r"\w+")
_LITERAL = re.compile(r"(?:[^}$]|\$(?!\{))+")
_DEFAULTS = (":=", ":-", ":?", ":+", "=")


class SubstitutionError(ValueError):
    """A text that Flux would refuse. `variable` is the name that has no value, if that is the reason."""

    def __init__(self, message: str, *, variable: str | None = None) -> None:
        super().__init__(message)
        self.variable = variable


def substitute(text: str, variables: Mapping[str, str]) -> str:
    """`text` with every variable replaced, as Flux does it. Raises SubstitutionError."""
    for name in variables:
        if not _NAME.fullmatch(name):
            raise SubstitutionError(f"{name!r} cannot be the name of a variable")
    return "".join(_Scanner(text, variables).pieces())


def variables_in(text: str) -> frozenset[str]:
    """The names that `text` refers to, those inside of defaults included; nothing is evaluated."""
    scanner = _Scanner(text, None)
    try:
        for _ in scanner.pieces():
            pass
    except SubstitutionError:
        return frozenset()
    return frozenset(scanner.seen)


class _Scanner:
    """Reads a text once from left to right. Without `variables` it only notes their names."""

    def __init__(self, text: str, variables: Mapping[str, str] | None) -> None:
        self._text = text
        self._at = 0
        self._variables = variables
        self.seen: set[str] = set()

    def pieces(self) -> Iterator[str]:
        """The text between the variables, and their values."""
        while True:
            dollar = self._text.find("$", self._at)
            if dollar < 0:
                yield self._text[self._at :]
                return
            yield self._text[self._at : dollar]
            following = self._text[dollar + 1 : dollar + 2]
            if following == "{":
                self._at = dollar + 2
                yield self._expression()
            else:
                # `$$` is one dollar sign, and nothing after it is a variable any more
                self._at = dollar + (2 if following == "$" else 1)
                yield "$"

    def _expression(self) -> str:
        """What stands for the expression that begins here, behind its `${`."""
        match = _WORD.match(self._text, self._at)
        if match is None:
            raise SubstitutionError(f"unable to parse the variable's name in {self._shown()}")
        name, self._at = match[0], match.end()
        self.seen.add(name)
        if self._text.startswith("}", self._at):
            self._at += 1
            return self._value(name, default=None)
        operator = next((o for o in _DEFAULTS if self._text.startswith(o, self._at)), None)
        if operator is None:
            raise SubstitutionError(
                f"only ${{name}} and ${{name:=default}} are supported, not {self._shown()}"
            )
        self._at += len(operator)
        return self._value(name, default=self._default())

    def _default(self) -> str:
        """The text up to the closing brace; it may hold expressions, and no escapes."""
        parts = []
        while True:
            match = _LITERAL.match(self._text, self._at)
            if match is not None:
                parts.append(match[0])
                self._at = match.end()
            elif self._text.startswith("${", self._at):
                self._at += 2
                parts.append(self._expression())
            elif self._text.startswith("}", self._at):
                self._at += 1
                return "".join(parts)
            else:
                raise SubstitutionError("a closing brace is missing")

    def _value(self, name: str, *, default: str | None) -> str:
        if self._variables is None:
            return ""
        value = self._variables.get(name)
        if value is None and default is None:
            raise SubstitutionError(f"the variable {name} is not defined", variable=name)
        return value or default or ""

    def _shown(self) -> str:
        begin = self._text.rfind("${", 0, self._at)
        return self._text[begin : begin + 40].splitlines()[0]
