"""Where templates, modules, images and environments come from.

A project folder (made by `zave init`, or a clone) overrides what the package carries. The unit of
an override is what a caller asks for: a whole module, a whole template folder, one environment.
Mixing files of two origins in one folder would bring back files that the owner deleted.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from zave.errors import UsageError

ASSET_FOLDERS = ("environments", "packer-images", "templates", "terraform-modules")
"""The folders that a project may own."""

PROJECT_VARIABLE = "ZAVE_PROJECT"
"""Names the project folder when `--project` does not."""

# the folders whose children, not they themselves, are asked for
_UNIT_DEPTH = {"environments": 2, "packer-images": 2, "templates": 3, "terraform-modules": 2}


def packaged_assets() -> Path:
    """The folder of the assets that came with zave: in a wheel inside it, in a clone beside it."""
    package = Path(__file__).resolve().parent
    inside = package / "assets"
    return inside if inside.is_dir() else package.parent


@dataclass(frozen=True)
class Project:
    """The assets that are in force: `folder` (None: no project) first, then `assets`."""

    folder: Path | None = None
    assets: Path = field(default_factory=packaged_assets)

    @classmethod
    def locate(
        cls, explicit: Path | None, cwd: Path, *, environ: Mapping[str, str] = os.environ
    ) -> "Project":
        """The project in force: `explicit`, else `ZAVE_PROJECT`, else `cwd` if it has environments.

        Else the nearest folder above that is a project and the user's own. Without any of them the
        packaged assets alone. Raises UsageError when a named folder is no
        project folder.
        """
        named = explicit
        if named is None and environ.get(PROJECT_VARIABLE):
            named = Path(environ[PROJECT_VARIABLE])
        if named is None:
            return cls(cwd) if (cwd / "environments").is_dir() else cls(_project_above(cwd))
        folder = (cwd / named.expanduser()).absolute()
        makes_one = "`zave init DIR` makes one"
        if not folder.is_dir():
            raise UsageError(f"the project folder {folder} is not there", resolution=makes_one)
        if not any((folder / top).is_dir() for top in ASSET_FOLDERS):
            raise UsageError(
                f"{folder} is not a project folder",
                details=f"it has none of {', '.join(ASSET_FOLDERS)}",
                resolution=makes_one,
            )
        return cls(folder)

    def path(self, relative: str) -> Path:
        """The file or folder `relative` (as `templates/cloud-init`), the project's own first.

        Raises UsageError naming both places when neither has it, or when `relative` leaves them.
        """
        parts = _safe_parts(relative)
        places = [root.joinpath(*parts) for root in self._roots()]
        for place in places:
            if place.exists():
                return place
        raise UsageError(
            f"{relative} was not found",
            where=", ".join(str(place) for place in places),
            resolution="`zave init DIR` writes a complete project folder; --project names another one",
        )

    def lock_file(self, name: str, *, otherwise: Path) -> Path:
        """Where the lock file `name` (as `images.lock`) lives: in the project, to be kept in git.

        Without a project folder in the folder `otherwise`. The file need not be there yet.
        """
        return (self.folder or otherwise).joinpath(*_safe_parts(name))

    def environments(self) -> list[str]:
        """The names of all environments, sorted."""
        names: set[str] = set()
        for root in self._roots():
            folder = root / "environments"
            if folder.is_dir():
                names.update(e.name for e in folder.iterdir() if (e / "environment.yaml").exists())
        return sorted(names - set(self.without_spec()))

    def without_spec(self) -> list[str]:
        """The project's own folders of packaged environments that lack `environment.yaml`, sorted.

        Nobody knows what is meant by them: the package's spec must not take their place in silence.
        """
        if self.folder is None:
            return []
        packaged, own = self.assets / "environments", self.folder / "environments"
        names = [e.name for e in packaged.iterdir() if e.is_dir()] if packaged.is_dir() else []
        return sorted(n for n in names if _lacks_spec(own / n))

    def environment_file(self, name: str) -> Path:
        """The `environment.yaml` of `name`, which `zave.spec.names` has checked.

        Raises UsageError with the known environments when there is none, and for a folder of the
        project's that has none: what is meant by it is not the package's.
        """
        relative = f"environments/{name}/environment.yaml"
        parts = _safe_parts(relative)
        if len(parts) != 3 or parts[1] != name:
            raise UsageError(f"{name!r} is not the name of an environment")
        for root in self._roots():
            file = root.joinpath(*parts)
            # lexists: a broken link is shown as one when it is read, not passed over in silence
            if os.path.lexists(file):
                return file
            if _lacks_spec(file.parent):
                raise _no_spec(file)
        known = ", ".join(self.environments()) or "none"
        raise UsageError(
            f"there is no environment `{name}`",
            where=" or ".join(str(root / relative) for root in self._roots()),
            resolution=f"known environments: {known}",
        )

    def overridden(self) -> list[str]:
        """The assets that the project folder replaces, as relative paths, sorted."""
        if self.folder is None or self.folder.resolve() == self.assets.resolve():
            return []
        found: list[str] = []
        for top, depth in _UNIT_DEPTH.items():
            for entry in self.folder.glob("/".join([top, *["*"] * (depth - 1)])):
                relative = entry.relative_to(self.folder).as_posix()
                if not entry.name.startswith(".") and (self.assets / relative).exists():
                    found.append(relative)
        return sorted(found)

    def copy_to(self, destination: Path, *, overwrite: bool = False) -> list[Path]:
        """Write the packaged assets into `destination`; returns the files made, sorted.

        Raises UsageError before anything is written when a file is there already and `overwrite`
        is off.
        """
        pairs = [(source, destination / source.relative_to(self.assets)) for source in self._packaged_files()]
        taken = [target for _, target in pairs if os.path.lexists(target)]
        if taken and not overwrite:
            more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
            raise UsageError(
                f"{taken[0]}{more} would be overwritten",
                where=str(destination),
                resolution="choose an empty folder, or repeat with --force to replace these files",
            )
        for source, target in pairs:
            _copy(source, target)
        return sorted(target for _, target in pairs)

    def _roots(self) -> tuple[Path, ...]:
        return (self.assets,) if self.folder is None else (self.folder, self.assets)

    def _packaged_files(self) -> list[Path]:
        files: list[Path] = []
        for top in ASSET_FOLDERS:
            for folder, folders, names in os.walk(self.assets / top):
                # what a run of Terraform or an editor left in a clone is no asset
                folders[:] = [f for f in folders if not f.startswith(".") and f != "__pycache__"]
                files += [
                    Path(folder, name)
                    for name in names
                    if not name.startswith(".") and ".tfstate" not in name
                ]
        return sorted(files)


def _project_above(cwd: Path) -> Path | None:
    """The nearest project folder that `cwd` is in.

    More is asked of it than of `cwd`: other programs have folders called `environments`, and a folder
    that somebody else can write would decide what is made.
    """
    for folder in cwd.parents:
        environments = folder / "environments"
        if not environments.is_dir() or folder.stat().st_uid != os.geteuid():
            continue
        others = [top for top in ASSET_FOLDERS if top != environments.name]
        if any((folder / top).is_dir() for top in others) or any(environments.glob("*/environment.yaml")):
            return folder
    return None


def _lacks_spec(folder: Path) -> bool:
    return os.path.lexists(folder) and not os.path.lexists(folder / "environment.yaml")


def _no_spec(file: Path) -> UsageError:
    folder = file.parent
    there = sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
    held = f"it holds {', '.join(there[:10])}" if there else "it is empty"
    return UsageError(
        f"{folder} has no {file.name}",
        details=held if folder.is_dir() else "it is no folder",
        resolution=f"name the spec {file.name}, or remove the folder to work with zave's own {folder.name}",
    )


def _safe_parts(relative: str) -> tuple[str, ...]:
    path = PurePosixPath(relative)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in relative:
        raise UsageError(f"{relative!r} is not a path inside a project folder")
    return path.parts


def _copy(source: Path, target: Path) -> None:
    """Copy one file; a link in its place is replaced, never followed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink():
        target.unlink()
    shutil.copyfile(source, target)
    # scripts keep their execute bit, nothing else of the package's modes is carried over
    target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)
