"""Step `render`: the Terraform root and the modules that it calls, written into the instance's folder."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zave.engine.step import Probe, StepRun, digest
from zave.project import Project
from zave.render import Renderer, write_private


@dataclass(frozen=True)
class RootTemplate:
    """A Terraform root: its template folder, the modules it calls, values, files added as they are."""

    template: str
    modules: tuple[str, ...]
    values: Mapping[str, Any]
    extra: Mapping[str, str] = field(default_factory=dict)

    def parts(self, project: Project) -> list[tuple[Path, str, Mapping[str, Any]]]:
        """(source folder, place below the root, values) of everything to be rendered.

        Modules keep the project's own relative path, so that Terraform's messages name a file that
        the user can find.
        """
        modules = [(project.path(m), m, dict[str, Any]()) for m in self.modules]
        return [(project.path(self.template), "", self.values), *modules]

    def write(self, project: Project, destination: Path) -> str:
        """Render everything below `destination`; return a digest of what stands there now."""
        renderer = Renderer(project)
        digests = {
            place: renderer.render_tree(source, destination / place, values).digest
            for source, place, values in self.parts(project)
        }
        for name, content in self.extra.items():
            write_private(destination / name, content.encode())
        return digest([digests, dict(self.extra)])

    def digest(self, project: Project) -> str:
        """What `write` would return, without writing."""
        renderer = Renderer(project)
        digests = {place: renderer.digest_of(source, values) for source, place, values in self.parts(project)}
        return digest([digests, dict(self.extra)])


class Render:
    """Writes the root; quick, so it is also done again before every teardown."""

    name = "render"
    needs: tuple[str, ...] = ()

    def __init__(self, *, project: Project, root: RootTemplate, destination: Path) -> None:
        self._project = project
        self._root = root
        self._destination = destination

    def fingerprint(self) -> str:
        """Covers every rendered file."""
        return self._root.digest(self._project)

    def probe(self, outputs: Mapping[str, Any]) -> Probe:
        """The files are there and are those that were rendered."""
        if not (self._destination / "main.tf").is_file():
            return Probe(False, "the rendered root is gone")
        return Probe(True)

    def do(self, run: StepRun) -> dict[str, Any]:
        """Render the root and its modules."""
        return {"digest": self._root.write(self._project, self._destination)}

    def undo(self, run: StepRun) -> None:
        """Nothing: the root stays beside its (empty) Terraform state, for the next `up` and for people."""
