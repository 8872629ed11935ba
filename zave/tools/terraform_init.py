"""Whether `terraform init` has to run again: what it read and what it installed, as one digest."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from zave.render import write_private
from zave.tools.terraform_engine import Engine

_RECORD = Path(".terraform", "zave-init")
_LOCK = ".terraform.lock.hcl"
_SUFFIXES = (".tf", ".tf.json", ".tofu", ".tofu.json")


class InitRecord:
    """Remembers the last init of `root`; `config` is Terraform's CLI configuration, if any."""

    def __init__(self, root: Path, *, engine: Engine, config: Path | None) -> None:
        self._root = root
        self._engine = engine
        self._config = config

    def current(self) -> bool:
        """Whether all that init read and made is as it was then. In doubt it is not."""
        try:
            return (self._root / _RECORD).read_text() == self._digest()
        except (OSError, ValueError):
            return False

    def write(self) -> None:
        """Remember that init has just succeeded."""
        write_private(self._root / _RECORD, self._digest().encode())

    def _digest(self) -> str:
        digest = hashlib.sha256(f"{self._engine.argv} {self._engine.version}".encode())
        for path in self._read():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"\n{path} {content}".encode())
        for path in self._installed():
            # follows the link into the mirror or cache: raises when it points nowhere
            stat = path.stat()
            digest.update(f"\n{path} {stat.st_size} {stat.st_mtime_ns}".encode())
        return digest.hexdigest()

    def _read(self) -> Iterator[Path]:
        """The configuration of the root and of every module below it, the lock, the CLI's own."""
        for folder, folders, names in os.walk(self._root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            yield from (Path(folder, name) for name in sorted(names) if name.endswith(_SUFFIXES))
        lock = self._root / _LOCK
        if lock.exists():
            yield lock
        if self._config is not None:
            yield self._config

    def _installed(self) -> Iterator[Path]:
        """The providers' programs and the list of modules."""
        made = self._root / ".terraform"
        # host/namespace/name/version/platform/program
        yield from sorted(made.glob("providers/*/*/*/*/*/terraform-provider-*"))
        yield from sorted(made.glob("modules/modules.json"))
