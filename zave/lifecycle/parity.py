"""Whether an environment is still the same platform as the one beside it: asked by `plan`.

What a comparison found is kept in the instance's folder under a digest of everything that it was made
from, so that only a plan after a change pays for one (some seconds of kubectl and YAML).
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zave import __version__
from zave.errors import ZaveError
from zave.gitops.declared import PARITY_FILE
from zave.gitops.kustomize import Kustomize
from zave.lifecycle.place import Place
from zave.project import Project
from zave.render import write_private
from zave.spec.load import load_spec

if TYPE_CHECKING:
    from zave.spec import AwsSpec, LibvirtSpec

_KEPT = "parity.json"


def parity_of(place: Place, *, find: Callable[[], Kustomize]) -> dict[str, Any] | None:
    """The part `parity` of a `zave/plan/v1` document; None where there is nothing to compare with.

    `find` gives what builds the trees. A comparison that cannot be made is told with its reason: a plan
    does not fail because of the environment beside it.
    """
    name, project = place.journal.environment, place.site.project
    if place.spec.gitops.profile == "none":
        return None
    try:
        other = _other(project, name, platform=place.spec.platform)
        if other is None:
            return None
    except ZaveError as error:
        return _unknown(None, error)
    try:
        return _compared(place, (name, place.spec), other, find)
    except ZaveError as error:
        return _unknown(other[0], error)


def _other(project: Project, name: str, *, platform: str) -> "tuple[str, LibvirtSpec | AwsSpec] | None":
    """The environment to compare with: one of the same folder, of another platform if there is one.

    The environments that come with zave are examples to who has a project of his own.
    """
    here = project.environment_file(name).parent
    beside = sorted(file.parent.name for file in here.parent.glob("*/environment.yaml"))
    found = [(each, load_spec(project.environment_file(each))) for each in beside if each != here.name]
    with_tree = [each for each in found if each[1].gitops.profile != "none"]
    return min(with_tree, key=lambda each: each[1].platform == platform, default=None)


def _compared(
    place: Place,
    own: "tuple[str, LibvirtSpec | AwsSpec]",
    other: "tuple[str, LibvirtSpec | AwsSpec]",
    find: Callable[[], Kustomize],
) -> dict[str, Any]:
    from zave.gitops.rendered import compare_environments, digest_of_trees

    project, kept = place.site.project, place.site.folder.root / _KEPT
    digest = hashlib.sha256(
        json.dumps(
            [
                __version__,
                _code(),
                digest_of_trees(project, own, other),
                hashlib.sha256(project.path(PARITY_FILE).read_bytes()).hexdigest(),
            ]
        ).encode()
    ).hexdigest()
    known = _known(kept, digest)
    if known is not None:
        return known
    document = compare_environments(project, own, other, kustomize=find()).document()
    found = {
        "with": other[0],
        "in_parity": document["in_parity"],
        "undeclared": len(document["undeclared"]),
        "undefined": len(document["undefined"]),
        "unused": len(document["unused"]),
        "problem": None,
    }
    write_private(kept, json.dumps({"digest": digest, "parity": found}).encode())
    return found


def _known(kept: Path, digest: str) -> dict[str, Any] | None:
    """What was found before for the same; whatever is wrong with the file, it is only made again."""
    try:
        content = json.loads(kept.read_bytes())
        found: dict[str, Any] | None = content["parity"] if content["digest"] == digest else None
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return found


def _code() -> list[tuple[str, int, int]]:
    """What compares: a developer changes it without a new version."""
    import zave.gitops

    folder = Path(str(zave.gitops.__file__)).parent
    return sorted((f.name, f.stat().st_mtime_ns, f.stat().st_size) for f in folder.glob("*.py"))


def _unknown(other: str | None, error: ZaveError) -> dict[str, Any]:
    return {
        "with": other,
        "in_parity": None,
        "undeclared": 0,
        "undefined": 0,
        "unused": 0,
        "problem": error.brief,
    }
