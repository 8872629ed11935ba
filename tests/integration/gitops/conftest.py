from collections.abc import Callable
from functools import cache

import pytest

from tests.integration.gitops.trees import build
from zave.gitops.kustomize import Built

Trees = Callable[[str], Built]


@pytest.fixture(scope="session")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Trees:
    """Builds a variant, each once in a session."""

    @cache
    def built(variant: str) -> Built:
        return build(variant, tmp_path_factory.mktemp("tree") / variant)

    return built
