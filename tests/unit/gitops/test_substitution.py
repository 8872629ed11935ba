"""Flux's strict substitution. Each expected text was given by Flux's own package (envsubst 1.8.0) as well."""

import pytest

from zave.gitops.substitution import SubstitutionError, substitute, variables_in

VARIABLES = {"name": "lab", "empty": "", "text": "a: {b}", "dollar": "${name}"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("no variables, $5 and $ alone", "no variables, $5 and $ alone"),
        ("${name}", "lab"),
        ("x-${name}-${name}.y", "x-lab-lab.y"),
        ("${empty}|", "|"),
        # taken as it is: what a value holds is not looked at again
        ("${dollar}", "${name}"),
        ("k: ${text}", "k: a: {b}"),
        # two dollars are one, and end what would have been a variable
        ("$${name}", "${name}"),
        ("$$${name}", "$lab"),
        ("a$$b", "a$b"),
        ("$$", "$"),
        # defaults, for what is unset or empty
        ("${other:=x}", "x"),
        ("${other:-x}", "x"),
        ("${other=x}", "x"),
        ("${empty:=x}", "x"),
        ("${name:=x}", "lab"),
        ("${other:=}", ""),
        ("${other:=${name}}", "lab"),
        ("${other:=a $b c}", "a $b c"),
    ],
)
def test_text_becomes_what_flux_makes_of_it(text: str, expected: str) -> None:
    assert substitute(text, VARIABLES) == expected


@pytest.mark.parametrize("text", ["${other}", "${other:=${unknown}}", "a ${name} b ${other} c"])
def test_a_variable_without_value_and_default_is_refused(text: str) -> None:
    with pytest.raises(SubstitutionError) as caught:
        substitute(text, VARIABLES)
    assert caught.value.variable in {"other", "unknown"}


@pytest.mark.parametrize("text", ["${", "${}", "${name", "${ name}", "${name-x}", "${other:=x"])
def test_what_flux_cannot_parse_is_refused(text: str) -> None:
    with pytest.raises(SubstitutionError) as caught:
        substitute(text, VARIABLES)
    assert caught.value.variable is None


@pytest.mark.parametrize("text", ["${name:1:2}", "${name/a/b}", "${name^^}", "${#name}", "${name%b}"])
def test_forms_that_change_values_are_refused_rather_than_guessed(text: str) -> None:
    with pytest.raises(SubstitutionError):
        substitute(text, VARIABLES)


def test_a_name_that_flux_would_refuse_is_refused() -> None:
    with pytest.raises(SubstitutionError, match="a-b"):
        substitute("nothing", {"a-b": "x"})


def test_names_are_found_without_values() -> None:
    assert variables_in("${a} $${b} ${c:=${d}}") == {"a", "c", "d"}
    assert variables_in("${broken") == frozenset()
