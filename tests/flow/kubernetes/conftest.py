"""The client of Kubernetes, logged in to an API server whose answers the test sets."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from dora_operator.clients.kubernetes import KubernetesClient, open_kubernetes
from dora_operator.metrics import Metrics
from tests.support.answering import Server
from tests.support.builders import NOW


@pytest.fixture
def server() -> Server:
    """Return a server that returns one object."""
    return Server()


@pytest.fixture
def metrics() -> Metrics:
    """Return empty metrics."""
    return Metrics()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    """Return the file of a token."""
    path = tmp_path / "token"
    path.write_text("first\n")
    return path


@pytest.fixture
async def client(
    server: Server, metrics: Metrics, token: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[KubernetesClient]:
    """Open a client of that server by a kubeconfig."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    async with TestServer(app) as running:
        config = {
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": str(running.make_url("")).rstrip("/")}}],
            "users": [{"name": "u", "user": {"tokenFile": str(token)}}],
        }
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        async with open_kubernetes(metrics, lambda: NOW) as opened:
            yield opened
