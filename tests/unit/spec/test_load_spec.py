import json
import os
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from zave.errors import ExitCode, SpecError, UsageError
from zave.spec.load import (
    PLATFORMS,
    load_spec,
    parse_spec,
    spec_document,
    spec_from_document,
    spec_schema,
)
from zave.spec.yaml_loader import parse_yaml

ROOT = Path(__file__).parents[3]
VALID = sorted((ROOT / "tests/specs/valid").glob("*.yaml"))
SHIPPED = sorted(ROOT.glob("environments/*/environment.yaml"))
ACCEPTED = [pytest.param(path, id=f"{path.parent.name}/{path.stem}") for path in VALID + SHIPPED]


def refusal(path: Path) -> SpecError:
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert caught.value.exit_code == ExitCode.USAGE
    return caught.value


def test_both_environments_are_shipped() -> None:
    assert [path.parent.name for path in SHIPPED] == ["aws-demo", "homelab"]


@pytest.mark.parametrize("path", ACCEPTED)
def test_valid_environments_load_and_survive_a_record(path: Path) -> None:
    spec = load_spec(path)
    document = json.loads(json.dumps(spec_document(spec)))
    assert spec_from_document(document, where="record") == spec
    assert spec_document(spec_from_document(document, where="record")) == document


def test_a_record_is_not_held_to_what_values_together_must_be_by_now(tmp_path: Path) -> None:
    """What was accepted once must come down, also where a later zave asks for more; single values count."""
    document = spec_document(parse_spec(SHIPPED[0].read_text(), where="x"))
    document["gitops"]["extras"] = ["external-dns"]
    text = json.dumps(document)
    with pytest.raises(SpecError, match="external-dns"):
        parse_spec(text, where="x")
    for _ in range(2):
        assert spec_document(spec_from_document(document, where="record", kept=tmp_path)) == document
    file = tmp_path / "environment.yaml"
    file.write_text(json.dumps(document, indent=1))
    with pytest.raises(SpecError, match="external-dns"):
        load_spec(file, kept=tmp_path)
    with pytest.raises(SpecError):
        spec_from_document(document | {"ttl": {"default": "never"}}, where="record")


@pytest.mark.parametrize("path", ACCEPTED)
def test_valid_environments_and_their_documents_satisfy_the_schema(path: Path) -> None:
    spec = load_spec(path)
    validator = Draft202012Validator(spec_schema(spec.platform))
    validator.validate(parse_yaml(path.read_bytes(), where="f").value)
    validator.validate(spec_document(spec))


@pytest.mark.parametrize("kind", PLATFORMS)
def test_schema_describes_every_key_and_shows_defaults_as_written(kind: str) -> None:
    schema = spec_schema(kind)
    Draft202012Validator.check_schema(schema)
    sections = [schema, *schema["$defs"].values()]
    for section in sections:
        assert section["additionalProperties"] is False
        for key, field in section["properties"].items():
            # a section's own description serves when the field's says the same
            inner = schema["$defs"].get(field.get("$ref", "").rpartition("/")[2], {})
            told = field.get("description") or inner.get("description")
            assert told, key
            if key in section.get("required", []):
                assert "Required" in told, key
            else:
                assert inner or "Default:" in told, key


def test_schema_default_is_what_the_file_would_say() -> None:
    worker = spec_schema("libvirt-k3s")["$defs"]["Worker"]["properties"]
    assert (worker["memory"]["default"], worker["count"]["default"]) == ("8GiB", 2)
    ttl = spec_schema("aws-eks")["$defs"]["Ttl"]["properties"]
    assert (ttl["default"]["default"], ttl["warn"]["default"]) == ("48h", ["6h", "1h"])


def test_schema_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="is not a platform kind"):
        spec_schema("kubernetes")


def test_document_is_the_same_however_values_were_written() -> None:
    one = parse_spec("platform: libvirt-k3s\nnodes: {worker: {memory: 8GiB}}\n", where="a")
    two = parse_spec("nodes: {worker: {memory: 8192MiB}}\nplatform: libvirt-k3s\n", where="b")
    assert json.dumps(spec_document(one)) == json.dumps(spec_document(two))
    assert spec_document(one)["nodes"]["control-plane"]["memory"] == "8GiB"
    assert spec_document(one)["storage"] == {"class": "local-path"}


def test_file_saved_on_windows_is_read_and_its_lines_are_counted() -> None:
    text = "platform: libvirt-k3s\r\nnodes:\r\n  worker: {count: 1}\r\n"
    assert spec_document(parse_spec(text, where="a"))["nodes"]["worker"]["count"] == 1
    with pytest.raises(SpecError) as caught:
        parse_spec(text + "nods: {}\r\n", where="a")
    assert caught.value.where == "a:4"


def test_words_that_older_yaml_reads_as_booleans_stay_words() -> None:
    spec = load_spec(ROOT / "tests/specs/valid/lab-yaml-1.2-words.yaml")
    assert spec_document(spec)["libvirt"]["pool"] == "on"


def test_record_that_was_changed_by_hand_is_refused_by_its_name() -> None:
    document = spec_document(parse_spec("platform: libvirt-k3s\n", where="a"))
    with pytest.raises(SpecError) as caught:
        spec_from_document({**document, "libvirt": {"pool": "../x"}}, where="record of homelab")
    assert (caught.value.where or "").startswith("record of homelab:")


def test_error_names_the_file_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "environments/lab/environment.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("platform: libvirt-k3s\nnods: {}\n")
    assert refusal(path).where == f"{path}:2"
    monkeypatch.chdir(tmp_path)
    assert refusal(path).where == "environments/lab/environment.yaml:2"


def test_missing_file_and_dangling_link_are_told_apart(tmp_path: Path) -> None:
    assert refusal(tmp_path / "environment.yaml").brief == "there is no environment file"
    (tmp_path / "link.yaml").symlink_to(tmp_path / "gone")
    assert "a link to a file that is not there" in refusal(tmp_path / "link.yaml").brief


def test_link_to_a_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link.yaml").symlink_to(SHIPPED[1])
    assert load_spec(tmp_path / "link.yaml").platform == "libvirt-k3s"


def test_folders_pipes_and_devices_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", Path("/dev/zero"), Path("/dev/null")):
        assert refusal(path).brief == "the environment file is not a regular file"


def test_link_loops_and_files_below_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_text("")
    for path in (
        tmp_path / "loop",
        tmp_path / "file" / "environment.yaml",
        Path("a\0b"),
        tmp_path / ("a" * 300),
    ):
        assert refusal(path).brief.startswith("the environment file cannot be opened")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_is_refused_with_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "environment.yaml"
    path.write_text("platform: libvirt-k3s\n")
    path.chmod(0)
    assert "Permission denied" in refusal(path).brief


def test_gigabyte_is_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "environment.yaml"
    with path.open("wb") as file:
        file.truncate(10**9)
    error = refusal(path)
    assert "too large" in error.brief
    assert error.where == f"{path}:1"


def test_hostile_file_name_cannot_reach_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m\nb"
    path.write_text("platform: x\n")
    assert (refusal(path).where or "").isprintable()
