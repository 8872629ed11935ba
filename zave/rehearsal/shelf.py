"""Where the catalogues are. Apart from reading them, which most commands need not do."""

from pathlib import Path

FOLDER = Path(__file__).parent / "catalogue"


def names(*, folder: Path = FOLDER) -> list[str]:
    """The catalogues that are there."""
    ending = ".behaviour.json"
    return sorted(path.name.removesuffix(ending) for path in folder.glob(f"*{ending}"))
