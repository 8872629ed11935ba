from collections.abc import Iterator

import pytest

from tests.integration.gitops.trees import real_kubectl
from tests.integration.kubernetes.definitions import install_definitions
from tests.system.kube_apiserver import KubeApiserver, kube_apiserver
from zave.tools.kubectl_api import KubectlApi


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApiserver]:
    """A server that knows the tree's custom kinds; what a test leaves in it, the next one finds."""
    real_kubectl()
    with kube_apiserver(tmp_path_factory.mktemp("kube") / "server") as server:
        install_definitions(server)
        yield server


@pytest.fixture
def api(server: KubeApiserver) -> KubectlApi:
    """zave's way to the server."""
    return KubectlApi(real_kubectl(), server.kubeconfig)
