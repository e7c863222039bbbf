"""The way in to a cluster: which reader a kubeconfig needs, what a service account gives, what is said without any."""

import asyncio
import ssl
import subprocess
import sys
from pathlib import Path

import kopf
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from dora_operator.adapters.kubernetes_api import CannotLogInError, KubernetesApi, Login, open_kubernetes
from dora_operator.handlers import login
from dora_operator.handlers.lifecycle import kopfs_session
from dora_operator.handlers.login import log_in

USER = {"token": "a-token"}
CLUSTER = {"server": "https://127.0.0.1:6443"}


def kubeconfig(folder: Path, user: object = USER, cluster: object = CLUSTER) -> Path:
    """Write a kubeconfig."""
    body = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(body))
    return path


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


async def test_a_token_in_a_kubeconfig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Kopf reads it."""
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path)))
    found = await log_in()
    assert (found.server, found.headers) == ("https://127.0.0.1:6443", {"Authorization": "Bearer a-token"})
    assert found.tls.verify_mode == ssl.CERT_REQUIRED
    assert found.renew_seconds is None
    assert "a-token" not in repr(found)


async def test_a_plugin_in_a_kubeconfig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The official client runs it."""
    answer = '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"from-plugin"}}'
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "echo", "args": [answer]}
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, {"exec": plugin | {"interactiveMode": "Never"}})))
    found = await log_in()
    assert found.headers == {"Authorization": "Bearer from-plugin"}
    assert found.server == "https://127.0.0.1:6443"


@pytest.mark.parametrize(
    ("user", "cluster", "plain"),
    [
        pytest.param(USER, CLUSTER, True, id="a token"),
        pytest.param(USER, CLUSTER | {"certificate-authority": "/pki/ca.crt"}, True, id="a file by its whole path"),
        pytest.param(USER, CLUSTER | {"certificate-authority": "pki/ca.crt"}, False, id="a file beside the kubeconfig"),
        pytest.param(USER, CLUSTER | {"tls-server-name": "kubernetes"}, False, id="another name in the certificate"),
        pytest.param({"exec": {"command": "aws"}}, CLUSTER, False, id="a plugin"),
        pytest.param({"auth-provider": {"name": "oidc"}}, CLUSTER, False, id="an old plugin"),
    ],
)
def test_what_kopf_can_read(tmp_path: Path, user: object, cluster: object, *, plain: bool) -> None:
    """What it would pass over in silence goes to the official client."""
    assert login._is_plain([kubeconfig(tmp_path, user, cluster)]) is plain


async def test_a_service_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside a cluster: the address from the environment, as other clients do, and a token that is read again."""
    found = kopf.ConnectionInfo(server="https://kubernetes.default.svc", token="mounted")
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: found)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "8443")
    inside = await log_in()
    assert (inside.server, inside.renew_seconds) == ("https://10.0.0.1:8443", login.RENEW_SECONDS)
    assert inside.headers == {"Authorization": "Bearer mounted"}
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    assert (await log_in()).server == "https://[fd00::1]:8443"


async def test_nothing_to_log_in_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The message says what to set."""
    with pytest.raises(CannotLogInError, match="set KUBECONFIG"):
        await log_in()
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    with pytest.raises(CannotLogInError, match="absent"):
        await log_in()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: None)
    with pytest.raises(CannotLogInError, match="mount one"):
        await log_in()


async def test_no_netrc_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither for our requests nor for kopf's: an entry for the server would end the process, or send its password."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login someone password canary\n")
    monkeypatch.setenv("NETRC", str(netrc))

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"authorization": request.headers["Authorization"]})

    app = web.Application()
    app.router.add_get("/api/v1/things", answer)
    async with TestServer(app) as server:
        found = Login(
            str(server.make_url("")).rstrip("/"), {"Authorization": "Bearer ours"}, ssl.create_default_context()
        )
        async with kopfs_session(found) as session, session.get(f"{found.server}/api/v1/things") as response:
            assert await response.json() == {"authorization": "Bearer ours"}

        async def again() -> Login:
            return found

        async with open_kubernetes(again) as api:
            assert await api.request("GET", "/api/v1/things") == {"authorization": "Bearer ours"}


async def test_many_watches_keep_nobody_waiting() -> None:
    """A watch holds its connection: with hundreds of namespaces there is still one for a status, or for the Lease."""
    many = 200
    watched = [asyncio.Event() for _ in range(many)]

    async def answer(request: web.Request) -> web.StreamResponse:
        number = request.query.get("labelSelector")
        if number is None:
            return web.json_response({"written": True})
        response = web.StreamResponse()
        await response.prepare(request)
        watched[int(number)].set()
        await asyncio.Event().wait()
        return response

    app = web.Application()
    app.router.add_get("/api/v1/things", answer)
    async with TestServer(app) as server:

        async def found() -> Login:
            return Login(str(server.make_url("")).rstrip("/"), {}, ssl.create_default_context())

        async with open_kubernetes(found) as api, asyncio.TaskGroup() as watches:
            tasks = [watches.create_task(follow(api, str(number))) for number in range(many)]
            async with asyncio.timeout(10):
                await asyncio.gather(*(each.wait() for each in watched))
                assert await api.request("GET", "/api/v1/things") == {"written": True}
            for task in tasks:
                task.cancel()


async def follow(api: KubernetesApi, number: str) -> None:
    """Watch for ever."""
    async for _ in api.watch("/api/v1/things", {"labelSelector": number}):
        pass


def test_a_start_does_not_import_the_synchronous_client() -> None:
    """Half a second and ten megabytes that nobody needs."""
    code = "import sys, dora_operator.handlers.lifecycle; print([m for m in sys.modules if m.startswith('kubernetes')])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
