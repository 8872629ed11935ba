import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from zave.errors import SpecError
from zave.spec.load import load_spec, parse_spec, spec_document, spec_from_document

ROOT = Path(__file__).parents[3]

Parse = Callable[[str], object]
Refused = Callable[[Parse, str], SpecError]


def test_misspelt_key_gets_line_value_and_suggestion(lab: Parse, refused: Refused) -> None:
    error = refused(lab, "nodes:\n  worker: {count: 2}\n  contrl-plane: 1\n")
    assert error.brief == "unknown key `contrl-plane` in nodes"
    assert error.where == "environment.yaml:4"
    assert error.details == "value: `1`"
    assert error.resolution == "did you mean `control-plane`?"


@pytest.mark.parametrize(
    ("text", "resolution"),
    [
        ("Image: {}\n", "did you mean `image`?"),
        ("nodes: {CONTROL_PLANE: {}}\n", "did you mean `control-plane`?"),
        ("ttl: {}\n", "`ttl` belongs to platform aws-eks, and this file is libvirt-k3s"),
        ("cidr: 10.0.0.0/24\n", "`cidr` belongs under libvirt.network"),
        ("gitops: {zzz: 1}\n", "valid keys here: branch, bigbang, variables, repository, profile, extras"),
    ],
)
def test_unknown_keys_are_led_home(lab: Parse, refused: Refused, text: str, resolution: str) -> None:
    assert refused(lab, text).resolution == resolution


def test_keys_of_the_lab_are_recognised_in_a_demo(demo: Parse, refused: Refused) -> None:
    assert "belongs to platform libvirt-k3s" in (refused(demo, "ssh: {}\n").resolution or "")


def test_wrong_choice_lists_the_valid_ones(lab: Parse, refused: Refused) -> None:
    error = refused(lab, "gitops: {profile: slm}\n")
    assert error.brief == "gitops.profile: `slm` is not one of slim, bigbang, none"
    assert error.resolution == "did you mean `slim`?"
    assert "use one of them" in (refused(lab, "gitops: {profile: zzz}\n").resolution or "")


def test_missing_key_says_what_it_is_for(refused: Refused) -> None:
    text = "platform: aws-eks\nowner: me@example.org\nnotify: {email: me@example.org}\ngitops: {}\n"
    error = refused(
        lambda eks: parse_spec(text + eks, where="environment.yaml"),
        "eks: {public_cidrs: [203.0.113.7/32]}\n",
    )
    assert error.brief == "gitops.repository is missing"
    assert error.where == "environment.yaml:4"
    assert (error.resolution or "").startswith("add `repository`: A Git repository")


def test_several_mistakes_are_one_error_in_the_order_of_the_file(lab: Parse, refused: Refused) -> None:
    error = refused(lab, "storage: {class: x}\nnodes: {worker: {count: two}}\nfoo: 1\n")
    assert error.where == "environment.yaml:2"
    assert error.brief.startswith("storage.class")
    assert error.details is not None
    assert [line.split(":")[0] for line in error.details.splitlines()] == ["line 2", "line 3", "line 4"]


def test_at_most_ten_mistakes_are_listed(lab: Parse, refused: Refused) -> None:
    error = refused(lab, "".join(f"zzz{number}: 1\n" for number in range(25)))
    assert error.details is not None
    lines = error.details.splitlines()
    assert len(lines) == 11
    assert lines[-1] == "and 15 more"


def test_refused_items_do_not_count_as_a_short_list(lab: Parse, refused: Refused) -> None:
    error = refused(lab, "ssh:\n  keys:\n    - id_rsa\n")
    assert error.where == "environment.yaml:4"
    assert "at least" not in error.brief + (error.details or "")


@pytest.mark.parametrize(
    "text", ["nodes:\n", "libvirt: {pool: }\n", "ingress: {domain: ~}\n", "ssh: {keys: [null]}\n"]
)
def test_key_without_value_is_refused_even_where_a_default_exists(
    lab: Parse, refused: Refused, text: str
) -> None:
    assert "has no value" in refused(lab, text).brief


@pytest.mark.parametrize(
    "text",
    [
        "gitops: {repository: 'https://me:hunter2@git.example.org/x.git'}\n",
        "gitops: {repository: 'https://git.example.org/x.git?access_token=hunter2'}\n",
        "libvirt: {uri: 'qemu+ssh://me:hunter2@host/system'}\n",
        "registry: {token: hunter2}\n",
        "artifacts: {url: 'https://hunter2@files.example.org/'}\n",
        "ssh: {keys: ['-----BEGIN RSA PRIVATE KEY----- hunter2']}\n",
    ],
)
def test_secrets_are_not_repeated_in_messages(lab: Parse, refused: Refused, text: str) -> None:
    error = refused(lab, text)
    assert "hunter2" not in str(error.to_document())


def test_long_and_unprintable_values_are_made_fit(lab: Parse, refused: Refused) -> None:
    error = refused(lab, f"libvirt: {{pool: {'x' * 4000}}}\n")
    assert len(error.brief) < 200
    error = refused(lab, 'libvirt: {pool: "a\\nb\\tc"}\n')
    assert error.brief.isprintable()
    assert "a\\nb\\tc" in error.brief


def every_path(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from every_path(inner, (*path, key))


@pytest.mark.parametrize("environment", ["homelab", "aws-demo"])
@pytest.mark.parametrize(
    "strange",
    [
        None,
        True,
        -1,
        10**18,
        1.5,
        "",
        "x",
        "-x",
        "\n",
        "${x}",
        [],
        [[]],
        [None],
        ["x"] * 60,
        {},
        {"x": 1},
        {"": {}},
    ],
)
def test_strange_value_anywhere_gives_a_spec_or_one_clear_error(environment: str, strange: object) -> None:
    document = spec_document(load_spec(ROOT / f"environments/{environment}/environment.yaml"))
    for path in every_path(document):
        changed = copy.deepcopy(document)
        section = changed
        for key in path[:-1]:
            section = section[key]
        section[path[-1]] = strange
        try:
            spec_from_document(changed, where="environment.yaml")
        except SpecError as error:
            refusal = error
        else:
            continue
        assert re.fullmatch(r"environment\.yaml:[0-9]+", refusal.where or ""), path
        assert path[-1] in refusal.brief or "unknown key" in refusal.brief, path
        assert refusal.resolution, path
