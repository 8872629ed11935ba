"""Where assets come from: the project folder first, then the package."""

import stat
from pathlib import Path

import pytest

from zave.errors import UsageError
from zave.project import ASSET_FOLDERS, Project, packaged_assets


def write(path: Path, text: str = "x\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    root = tmp_path / "assets"
    write(root / "environments/homelab/environment.yaml", "packaged\n")
    write(root / "environments/aws-demo/environment.yaml")
    write(root / "templates/terraform/libvirt-k3s/main.tf.j2", "packaged\n")
    write(root / "terraform-modules/libvirt-vm/domain.tf")
    write(root / "terraform-modules/k3s-cluster/nodes.tf")
    write(root / "packer-images/k3s-base/scripts/harden.sh").chmod(0o755)
    return root


def test_packaged_assets_hold_every_folder_that_a_project_may_own() -> None:
    assert [top for top in ASSET_FOLDERS if not (packaged_assets() / top).is_dir()] == []


def test_a_project_replaces_a_packaged_folder_as_a_whole(assets: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    write(own / "terraform-modules/libvirt-vm/machine.tf")
    project = Project(own, assets)

    assert project.path("terraform-modules/libvirt-vm") == own / "terraform-modules/libvirt-vm"
    assert project.path("terraform-modules/k3s-cluster") == assets / "terraform-modules/k3s-cluster"
    with pytest.raises(UsageError):
        project.path("terraform-modules/libvirt-vm/domain.tf/x")


def test_a_missing_asset_names_both_places(assets: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        Project(tmp_path / "own", assets).path("templates/nowhere")
    assert str(tmp_path / "own/templates/nowhere") in str(caught.value.where)
    assert str(assets / "templates/nowhere") in str(caught.value.where)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "templates/../../x", "", "a\0b", "."])
def test_an_asset_cannot_leave_the_folders(assets: Path, name: str) -> None:
    with pytest.raises(UsageError):
        Project(None, assets).path(name)


def test_environments_are_those_of_the_project_and_of_the_package(assets: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    write(own / "environments/mine/environment.yaml")
    write(own / "environments/homelab/environment.yaml", "own\n")
    (own / "environments/empty").mkdir()
    project = Project(own, assets)

    assert project.environments() == ["aws-demo", "homelab", "mine"]
    assert project.environment_file("homelab").read_text() == "own\n"
    assert project.environment_file("aws-demo") == assets / "environments/aws-demo/environment.yaml"


def test_an_unknown_environment_lists_the_known_ones(assets: Path) -> None:
    with pytest.raises(UsageError) as caught:
        Project(None, assets).environment_file("homlab")
    assert "aws-demo, homelab" in str(caught.value.resolution)


@pytest.mark.parametrize("name", ["..", "a/b", "../homelab", "", "/etc"])
def test_an_environment_cannot_be_a_path(assets: Path, name: str) -> None:
    with pytest.raises(UsageError):
        Project(None, assets).environment_file(name)


def test_a_broken_link_is_not_passed_over_for_the_packaged_environment(assets: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    (own / "environments/homelab").mkdir(parents=True)
    link = own / "environments/homelab/environment.yaml"
    link.symlink_to(tmp_path / "gone")
    assert Project(own, assets).environment_file("homelab") == link


def test_overridden_lists_what_the_project_replaces(assets: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    write(own / "terraform-modules/libvirt-vm/domain.tf")
    write(own / "terraform-modules/new-one/main.tf")
    write(own / "templates/terraform/libvirt-k3s/main.tf.j2")
    write(own / "environments/homelab/environment.yaml")

    assert Project(own, assets).overridden() == [
        "environments/homelab",
        "templates/terraform/libvirt-k3s",
        "terraform-modules/libvirt-vm",
    ]
    assert Project(None, assets).overridden() == []
    assert Project(assets, assets).overridden() == []


def test_copy_makes_a_project_that_needs_nothing_else(assets: Path, tmp_path: Path) -> None:
    write(assets / "terraform-modules/libvirt-vm/.terraform/providers/big")
    write(assets / "terraform-modules/libvirt-vm/terraform.tfstate")
    made = Project(None, assets).copy_to(tmp_path / "mine")

    assert tmp_path / "mine/packer-images/k3s-base/scripts/harden.sh" in made
    assert all(file.is_file() for file in made)
    assert not [file for file in made if ".terraform" in file.parts or "tfstate" in file.name]
    assert stat.S_IMODE((tmp_path / "mine/packer-images/k3s-base/scripts/harden.sh").stat().st_mode) == 0o755
    copy = Project(tmp_path / "mine", tmp_path / "no-package")
    assert copy.environments() == ["aws-demo", "homelab"]


def test_copy_overwrites_nothing_unless_told(assets: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    edited = write(mine / "templates/terraform/libvirt-k3s/main.tf.j2", "edited\n")
    with pytest.raises(UsageError, match=r"main\.tf\.j2 would be overwritten"):
        Project(None, assets).copy_to(mine)
    assert edited.read_text() == "edited\n"
    assert [p for p in mine.rglob("*") if p.is_file()] == [edited]

    Project(None, assets).copy_to(mine, overwrite=True)
    assert edited.read_text() == "packaged\n"


def test_copy_replaces_a_link_and_leaves_its_target_alone(assets: Path, tmp_path: Path) -> None:
    target = write(tmp_path / "precious", "mine\n")
    link = tmp_path / "mine/terraform-modules/libvirt-vm/domain.tf"
    link.parent.mkdir(parents=True)
    link.symlink_to(target)
    Project(None, assets).copy_to(tmp_path / "mine", overwrite=True)
    assert target.read_text() == "mine\n"
    assert not link.is_symlink()


def test_locate_prefers_the_flag_then_the_variable_then_the_working_directory(tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("flag", "variable", "cwd")}
    for folder in folders.values():
        (folder / "environments").mkdir(parents=True)
    environ = {"ZAVE_PROJECT": str(folders["variable"])}

    assert Project.locate(folders["flag"], folders["cwd"], environ=environ).folder == folders["flag"]
    assert Project.locate(None, folders["cwd"], environ=environ).folder == folders["variable"]
    assert Project.locate(None, folders["cwd"], environ={}).folder == folders["cwd"]
    assert Project.locate(None, tmp_path, environ={}).folder is None
    assert Project.locate(Path("flag"), tmp_path, environ={}).folder == folders["flag"]


def test_locate_refuses_a_folder_that_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not there"):
        Project.locate(tmp_path / "gone", tmp_path, environ={})
    with pytest.raises(UsageError, match="is not a project folder"):
        Project.locate(tmp_path, tmp_path, environ={})


def test_a_folder_of_the_users_own_without_a_spec_is_refused_not_replaced(
    assets: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    write(own / "environments/homelab/environment.yml", "own\n")
    (own / "environments/aws-demo").mkdir()
    project = Project(own, assets)

    with pytest.raises(UsageError, match=r"has no environment\.yaml") as caught:
        project.environment_file("homelab")
    assert str(own / "environments/homelab") in caught.value.brief
    assert "environment.yml" in str(caught.value.details)
    with pytest.raises(UsageError) as empty:
        project.environment_file("aws-demo")
    assert "it is empty" in str(empty.value.details)
    assert project.without_spec() == ["aws-demo", "homelab"]
    assert project.environments() == []


def test_the_project_is_found_from_anywhere_inside_it(tmp_path: Path) -> None:
    lab, inside = tmp_path / "lab", tmp_path / "lab/environments/homelab"
    write(inside / "environment.yaml")
    assert Project.locate(None, inside, environ={}).folder == lab
    assert Project.locate(None, lab / "environments", environ={}).folder == lab


def test_a_project_whose_spec_is_misnamed_is_found_as_well(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    write(lab / "environments/homelab/environment.yml")
    (lab / "templates").mkdir()
    assert Project.locate(None, lab / "environments/homelab", environ={}).folder == lab


def test_an_unrelated_folder_called_environments_is_no_project_above(tmp_path: Path) -> None:
    write(tmp_path / "environments/production.rb")
    (tmp_path / "deep/er").mkdir(parents=True)
    assert Project.locate(None, tmp_path / "deep/er", environ={}).folder is None
