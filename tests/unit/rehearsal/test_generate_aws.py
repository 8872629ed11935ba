"""The generator, on a package of one made-up type in the form of the published one."""

import base64
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from zave.rehearsal import generate_aws
from zave.rehearsal.generate_aws import PackageError

_DOCS = "{@link https://registry.terraform.io/providers/hashicorp/aws/6.25.0/docs/resources/toy#%s Toy#%s}"


def _member(name: str, *, block: bool = False, optional: bool = True, type_: str = "string") -> str:
    heading = f"  * {name} block\n  *\n" if block else ""
    docs = f"  * Docs at Terraform Registry: {_DOCS % (name, name)}\n"
    return f"  /**\n{heading}{docs}  */\n  readonly {name}{'?' if optional else ''}: {type_};\n"


def _hcl(name: str, storage: str, *, block: bool = False, collection: str = "simple") -> str:
    return (
        f"      {name}: {{\n        value: cdktf.x(this._{name}),\n        isBlock: {str(block).lower()},\n"
        f'        type: "{collection}",\n        storageClassType: "{storage}",\n      }},\n'
    )


def _flags(name: str, flags: str) -> str:
    words = ", ".join(
        f"{flag}: {str(flag in flags).lower()}" for flag in ("computed", "optional", "required")
    )
    return f"  // {name} - {words}\n"


def _getter(name: str, flags: str, getter: str) -> str:
    return _flags(name, flags) + f"  public get {name}() {{\n    return {getter};\n  }}\n\n"


def _child(name: str, flags: str, construction: str) -> str:
    made = f"  private _{name} = new {construction};\n"
    return _flags(name, flags) + made + f"  public get {name}() {{\n    return this._{name};\n  }}\n\n"


TOY = (
    "export interface ToyConfig extends cdktf.TerraformMetaArguments {\n"
    + _member("name", optional=False)
    + _member("ports")
    + _member("rules")
    + _member("disk", block=True)
    + _member("timeouts", block=True)
    + "}\n"
    + "export interface ToyRules {\n" + _member("port") + "}\n"
    + "export function toyRulesToHclTerraform(struct?: ToyRules): any {\n" + _hcl("port", "number") + "}\n"
    + "export class ToyRulesOutputReference extends cdktf.ComplexObject {\n"
    + _getter("port", "optional computed", "this.getNumberAttribute('port')")
    + "}\n"
    + "export interface ToyDisk {\n" + _member("size", optional=False) + "}\n"
    + "export function toyDiskToHclTerraform(struct?: ToyDisk): any {\n" + _hcl("size", "number") + "}\n"
    + "export class ToyDiskOutputReference extends cdktf.ComplexObject {\n"
    + _getter("size", "required", "this.getNumberAttribute('size')")
    + "}\n"
    + "export interface ToyTimeouts {\n" + _member("create") + "}\n"
    + "export function toyTimeoutsToHclTerraform(struct?: ToyTimeouts): any {\n"
    + _hcl("create", "string") + "}\n"
    + "export class ToyTimeoutsOutputReference extends cdktf.ComplexObject {\n"
    + _getter("create", "optional", "this.getStringAttribute('create')")
    + "}\n"
    + "export class Toy extends cdktf.TerraformResource {\n"
    + _getter("arn", "computed", "this.getStringAttribute('arn')")
    + _getter("name", "required", "this.getStringAttribute('name')")
    + _getter("ports", "optional", "cdktf.Fn.tolist(this.getListAttribute('ports'))")
    + _child("rules", "optional computed", 'ToyRulesList(this, "rules", true)')
    + _child("disk", "required", 'ToyDiskList(this, "disk", false)')
    + _child("timeouts", "optional", 'ToyTimeoutsOutputReference(this, "timeouts")')
    + "  // =========\n  // SYNTHESIS\n"
    + "  protected synthesizeHclAttributes(): { [name: string]: any } {\n    const attrs = {\n"
    + _hcl("name", "string")
    + _hcl("ports", "stringList", collection="set")
    + _hcl("rules", "ToyRulesList", block=True, collection="set")
    + _hcl("disk", "ToyDiskList", block=True, collection="list")
    + _hcl("timeouts", "ToyTimeouts", block=True, collection="struct")
    + "    };\n  }\n}\n"
)  # fmt: skip
PROVIDER = """
export interface AwsProviderConfig {
  /**
  * tags block
  *
  * Docs at Terraform Registry: {@link https://x/providers/hashicorp/aws/6.25.0/docs#tags AwsProvider#tags}
  */
  readonly tags?: AwsProviderTags[];
}
export interface AwsProviderTags {
  /**
  * Docs at Terraform Registry: {@link https://x/providers/hashicorp/aws/6.25.0/docs#all AwsProvider#all}
  */
  readonly all?: { [key: string]: string };
}
export function awsProviderTagsToHclTerraform(struct?: AwsProviderTags): any {
      all: {
        value: cdktf.x(struct!.all),
        isBlock: false,
        type: "map",
        storageClassType: "stringMap",
      },
}
export class AwsProvider extends cdktf.TerraformProvider {
  // tags - computed: false, optional: true, required: false
  private _tags?: AwsProviderTags[];
  public get tags() {
    return this._tags;
  }
  // alias - computed: false, optional: true, required: false
  private _alias?: string;
  public get alias() {
    return this._alias;
  }
  protected synthesizeHclAttributes(): { [name: string]: any } {
      alias: {
        value: cdktf.x(this._alias),
        isBlock: false,
        type: "simple",
        storageClassType: "string",
      },
      tags: {
        value: cdktf.x(this._tags),
        isBlock: true,
        type: "list",
        storageClassType: "AwsProviderTagsList",
      },
  }
}
"""
BEHAVIOUR: dict[str, Any] = {
    "version": "6.25.0",
    "resources": {"aws_toy": {"schema": {"sensitive": ["name"], "min_items": {"disk": 2}}}},
    "data_sources": {},
}


def package(folder: Path, **sources: str) -> Path:
    path = folder / "package.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in sources.items():
            mapped = base64.b64encode(json.dumps({"sourcesContent": [text]}).encode()).decode()
            content = f"code\n//# sourceMappingURL=data:application/json;base64,{mapped}\n".encode()
            member = tarfile.TarInfo(f"package/lib/{name.replace('_', '-')}/index.js")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def made(folder: Path, text: str = TOY) -> dict[str, Any]:
    document = generate_aws.catalogue(
        package(folder, toy=text, provider=PROVIDER), BEHAVIOUR, date="2026-11-23"
    )
    schemas: dict[str, Any] = document["provider_schemas"][generate_aws.ADDRESS]
    return schemas


def test_attributes_have_their_flags_and_types(tmp_path: Path) -> None:
    attributes = made(tmp_path)["resource_schemas"]["aws_toy"]["block"]["attributes"]
    assert attributes == {
        "arn": {"type": "string", "computed": True},
        "name": {"type": "string", "required": True, "sensitive": True},
        "ports": {"type": ["set", "string"], "optional": True},
        # no block by its documentation, so a structure that is a type
        "rules": {"type": ["set", ["object", {"port": "number"}]], "optional": True, "computed": True},
    }


def test_blocks_have_their_nesting_and_numbers(tmp_path: Path) -> None:
    blocks = made(tmp_path)["resource_schemas"]["aws_toy"]["block"]["block_types"]
    assert blocks["disk"] == {
        "nesting_mode": "list",
        "min_items": 2,
        "block": {"attributes": {"size": {"type": "number", "required": True}}},
    }
    assert blocks["timeouts"]["nesting_mode"] == "single"
    assert "max_items" not in blocks["timeouts"]


def test_the_providers_blocks_have_no_classes_and_its_alias_is_left_out(tmp_path: Path) -> None:
    block = made(tmp_path)["provider"]["block"]
    assert block["attributes"] == {}
    assert block["block_types"]["tags"]["block"] == {
        "attributes": {"all": {"type": ["map", "string"], "optional": True}}
    }


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        pytest.param(
            "this.getStringAttribute('name')",
            "this.getNumberAttribute('name')",
            "Toy.name: number when read, string when written",
            id="contradiction",
        ),
        pytest.param("this.getStringAttribute('arn')", "something(new)", "Toy.arn", id="unknown getter"),
        pytest.param("  * disk block\n", "  * snag block\n", "not all", id="lost block"),
        pytest.param("docs/resources", "docs/resources", "snag", id="wrong path"),
    ],
)
def test_what_cannot_be_read_with_certainty_is_an_error(
    tmp_path: Path, old: str, new: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if words == "snag":
        monkeypatch.setitem(BEHAVIOUR["resources"], "aws_toy", {"schema": {"sensitive": ["snag"]}})
    assert old in TOY
    with pytest.raises(PackageError, match=words):
        made(tmp_path, TOY.replace(old, new))


def test_a_missing_type_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BEHAVIOUR["data_sources"], "aws_ghost", {})
    with pytest.raises(PackageError, match=r"data\.aws_ghost"):
        made(tmp_path)


def test_another_provider_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"6\.25\.0.*6\.99\.0"):
        generate_aws.catalogue(
            package(tmp_path, toy=TOY, provider=PROVIDER), {**BEHAVIOUR, "version": "6.99.0"}, date="d"
        )


def test_the_script_writes_what_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "aws.json"
    assert generate_aws.main([str(package(tmp_path, toy=TOY)), "--output", str(output)]) == 1
    assert "the package has no aws_" in capsys.readouterr().err
    assert not output.exists()


def test_the_text_has_a_line_for_each_attribute(tmp_path: Path) -> None:
    document = made(tmp_path)
    text = generate_aws.text({"provider_schemas": {generate_aws.ADDRESS: document}})
    assert json.loads(text)["provider_schemas"][generate_aws.ADDRESS] == document
    assert '\n"name":{"required":true,"sensitive":true,"type":"string"}' in text
