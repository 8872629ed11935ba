import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zave.errors import SpecError
from zave.spec.yaml_loader import MAX_BYTES, Mark, parse_yaml


def value_of(text: str | bytes) -> object:
    return parse_yaml(text, where="f.yaml").value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("false", False),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("Off", "Off"),
        ("'true'", "true"),
        ("null", None),
        ("~", None),
        ("'null'", "null"),
        ("''", ""),
        ("12", 12),
        ("-12", -12),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1:30:00", "1:30:00"),
        ("2026-11-23", "2026-11-23"),
        (".inf", ".inf"),
        ("=", "="),
        ("8GiB", "8GiB"),
        ("|\n  a\n  b\n", "a\nb\n"),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    read = value_of(f"key: {text}")
    assert read == {"key": value}
    assert isinstance(read, dict)
    assert type(read["key"]) is type(value)


def test_mappings_and_lists_nest_in_both_styles() -> None:
    text = "a:\n  - b: 1\n    c: [x, {d: true}]\n  - []\ne: {}\n"
    assert value_of(text) == {"a": [{"b": 1, "c": ["x", {"d": True}]}, []], "e": {}}


def test_json_is_yaml() -> None:
    assert value_of('{"a": ["\\u00e9", 1, null, false]}') == {"a": ["é", 1, None, False]}


def test_every_key_and_value_has_its_place() -> None:
    document = parse_yaml("a:\n  b: x\n  c:\n    - y\n    -   z\n", where="f.yaml")
    assert document.places["a", "b"].key == Mark(2, 3)
    assert document.places["a", "b"].value == Mark(2, 6)
    assert document.places["a", "c", 1].key is None
    assert document.places["a", "c", 1].value == Mark(5, 9)
    assert document.places["a", "b"].text == "x"
    assert document.places["a", "c"].text is None


def test_line_of_something_not_written_is_the_line_around_it() -> None:
    document = parse_yaml("# comment\na:\n  b: 1\nc: 2\n", where="f.yaml")
    assert document.line_of(("c",)) == 4
    assert document.line_of(("a", "missing", "deep")) == 2
    assert document.line_of(("missing",)) == 2


def test_text_as_it_was_written_is_kept_beside_the_number() -> None:
    document = parse_yaml("account: 012345678901\n", where="f.yaml")
    assert document.value == {"account": 12345678901}
    assert document.places[("account",)].text == "012345678901"


@pytest.mark.parametrize(
    ("text", "brief", "line"),
    [
        ("a: 1\nb: 2\na: 3\n", "duplicate key `a`, first on line 1", 3),
        ("a: {b: 1, 'b': 2}\n", "duplicate key `b`", 1),
        ("a: &x 1\n", "anchors and aliases", 1),
        ("a: *x\n", "anchors and aliases", 1),
        ("&x a: 1\n", "anchors and aliases", 1),
        ("a: 1\n<<: {b: 1}\n", "merge keys", 2),
        ("a: !!str 1\n", "tags are not supported", 1),
        ("a: !x {}\n", "tags are not supported", 1),
        ("!!map {a: 1}\n", "tags are not supported", 1),
        ("!!str a: 1\n", "tags are not supported", 1),
        ("a: 1\n---\nb: 2\n", "a second document", 2),
        ("a: 1\n...\n---\nb: 2\n", "a second document", 3),
        ("1: a\n", "a key must be a word", 1),
        ("null: a\n", "a key must be a word", 1),
        ("? [a]\n: b\n", "a key must be a word", 1),
        ("a:\n\tb: 1\n", "a tab character", 2),
        ("a: [\n", "not valid YAML", 2),
        ("a: b: c\n", "not valid YAML", 1),
        ("a: @b\n", "not valid YAML", 1),
        ('a: "\\q"\n', "not valid YAML", 1),
        ('a: 1\nb: "\\0"\n', "control character U+0000", 2),
        ('a: "\\u202e"\n', "control character U+202E", 1),
        ('"\\e[31m": 1\n', "control character U+001B", 1),
        ('a: "\\ud800"\n', "control character U+D800", 1),
        ("a: 1\nb: \u2066x\n", "control character U+2066", 2),
        ("a: 1\r\nb: \x07\r\n", "control character U+0007", 2),
        (b"a: 1\nb: \xff\n", "not UTF-8: byte 0xff", 2),
        (b"\xef\xbb\xbfa: 1\n", "byte order mark", 1),
        ("a: 1\n".encode("utf-16"), "byte order mark", 1),
        ("%YAML 99999999999999999999.1\n---\na: 1\n", "not valid YAML", 1),
    ],
)
def test_everything_outside_the_subset_is_refused_with_its_line(
    text: str | bytes, brief: str, line: int
) -> None:
    with pytest.raises(SpecError) as caught:
        parse_yaml(text, where="f.yaml")
    assert brief in caught.value.brief
    assert caught.value.where == f"f.yaml:{line}"


@pytest.mark.parametrize(
    ("text", "brief"),
    [
        ("a: " + "[" * 50_000, "nested more than 40"),
        ("a: " + "{b: " * 12_000, "nested more than 40"),
        ("- " * 30_000, "nested more than 40"),
        ("? " * 30_000, "a key must be a word"),
        ("a: [" + "b," * 20_000 + "]", "more than 5000 values"),
        ("".join(f"k{number}: 1\n" for number in range(6_000)), "more than 5000 values"),
        ("a: " + "x" * 5_000, "more than 4096 characters"),
        ("x" * 5_000 + ": 1", "more than 4096 characters"),
        ("a: " + "9" * 4_000, "more than 20 digits"),
        ("#" * (MAX_BYTES + 1), "too large"),
    ],
)
def test_bombs_are_refused_quickly(text: str, brief: str) -> None:
    start = time.process_time()
    with pytest.raises(SpecError) as caught:
        parse_yaml(text, where="f.yaml")
    assert brief in caught.value.brief
    assert time.process_time() - start < 1


def test_file_at_the_limit_is_read() -> None:
    text = "a: 1\n"
    assert value_of(text + "#" * (MAX_BYTES - len(text))) == {"a": 1}


def test_empty_document_has_no_value_and_a_first_line() -> None:
    document = parse_yaml("# nothing\n", where="f.yaml")
    assert document.value is None
    assert document.line_of(("a",)) == 1


_TOKENS = st.sampled_from(
    [
        *"[]{},'|>%#!+.~@`1é\t\r\\\"",
        "a",
        ": ",
        "- ",
        "? ",
        "\n",
        "\n  ",
        "&a",
        "*a",
        "!!x",
        "---\n",
        "...\n",
        "\\x",
        "<<",
        "0x",
    ]
)


@given(st.lists(_TOKENS, max_size=60).map("".join))
def test_hostile_text_gives_a_value_or_one_clear_error(text: str) -> None:
    try:
        parse_yaml(text, where="f.yaml")
    except SpecError as error:
        refusal = error
    else:
        return
    assert (refusal.where or "").startswith("f.yaml:")
    assert refusal.brief.isprintable()


def test_loader_cannot_construct_objects() -> None:
    code = (
        "import zave.spec.yaml_loader as m;"
        "import yaml.constructor as c;"
        "c.BaseConstructor.construct_object = None;"
        "print(m.parse_yaml('a: [1, x]', where='f').value)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "{'a': [1, 'x']}\n"
