"""The login to a cluster: service account, kubeconfig, exec plugin; and the message without any."""

import asyncio
import ssl
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
import yaml
from kubernetes.aio.config import incluster_config

from dora_operator.clients import kubernetes, login
from dora_operator.clients.login import Login, LoginError, log_in, own_namespace

USER = {"token": "a-token"}
CLUSTER = {"server": "https://127.0.0.1:6443"}
PLUGIN = {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}


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
    for name in ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "KUBECONFIG", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def service_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Mount a service account; return the file of its token."""
    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("mounted\n")
    authority.write_text(authorities())
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "8443")
    return token


def authorities() -> str:
    """Return certificates of real authorities."""
    context = ssl.create_default_context()
    return "".join(map(ssl.DER_cert_to_PEM_cert, context.get_ca_certs(binary_form=True)[:2]))


async def header() -> str:
    """Log in and return the header."""
    return await Login(await log_in()).authorization()


async def tls_of(found: Login) -> ssl.SSLContext:
    """Return the TLS settings of another session."""
    async with found.open_session() as session:
        assert isinstance(session.connector, aiohttp.TCPConnector)
        context = session.connector._ssl
        assert isinstance(context, ssl.SSLContext)
        return context


async def test_a_token_in_a_kubeconfig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The server's certificate is verified."""
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path)))
    found = Login(await log_in())
    configuration, tls = found.configuration, await tls_of(found)
    assert (configuration.host, configuration.tls_server_name) == ("https://127.0.0.1:6443", None)
    assert configuration.proxy is None
    assert (tls.verify_mode, tls.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert await found.authorization() == "Bearer a-token"


async def test_what_else_a_kubeconfig_may_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file beside it, another name in the certificate, a proxy, no verification; several files in KUBECONFIG."""
    (tmp_path / "ca.crt").write_text(authorities())
    cluster = CLUSTER | {"tls-server-name": "kubernetes", "proxy-url": "http://proxy.example:3128"}
    path = kubeconfig(tmp_path, cluster=cluster | {"certificate-authority": "ca.crt"})
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'absent'}:{path}")
    monkeypatch.setenv("HTTPS_PROXY", "http://another.example:3128")
    found = await log_in()
    assert found.ssl_ca_cert == str(tmp_path / "ca.crt")
    assert (found.tls_server_name, found.proxy) == ("kubernetes", "http://proxy.example:3128")
    kubeconfig(tmp_path, cluster=CLUSTER | {"insecure-skip-tls-verify": True})
    found = await log_in()
    assert (await tls_of(Login(found))).verify_mode == ssl.CERT_NONE
    assert found.proxy == "http://another.example:3128"


async def test_an_exec_plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run at the login, and again when the API server has refused its token: at most once a second."""
    (tmp_path / "answer").write_text(credential("first"))
    path = kubeconfig(tmp_path, {"exec": PLUGIN | {"command": "cat", "args": [str(tmp_path / "answer")]}})
    monkeypatch.setenv("KUBECONFIG", str(path))
    found = Login(await log_in())
    assert await found.authorization() == "Bearer first"
    (tmp_path / "answer").write_text(credential("second"))
    await found.renew()
    assert await found.authorization() == "Bearer first"
    found._read_at -= 60
    await found.renew()
    assert await found.authorization() == "Bearer second"


async def test_a_login_that_cannot_be_read_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The last one is used, and the log says so."""
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path)))
    found = Login(await log_in())
    (tmp_path / "kubeconfig").write_text("{")
    found._read_at -= 60
    await found.renew()
    assert "cannot be read again" in caplog.text
    assert await found.authorization() == "Bearer a-token"


def credential(token: str) -> str:
    """Return what a plugin prints."""
    return f'{{"apiVersion":"{PLUGIN["apiVersion"]}","kind":"ExecCredential","status":{{"token":"{token}"}}}}'


@pytest.mark.parametrize(
    ("user", "why"),
    [
        pytest.param({"exec": PLUGIN | {"command": "false"}}, "exec plugin", id="a plugin that fails"),
        pytest.param({"exec": PLUGIN | {"command": "not-there"}}, "exec plugin", id="a plugin that does not exist"),
        pytest.param({}, "no credentials", id="a user without credentials"),
        pytest.param(None, "cannot be used", id="no user"),
        pytest.param({"tokenFile": "absent"}, "cannot be used", id="a token file that does not exist"),
    ],
)
async def test_a_kubeconfig_without_credentials(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, user: object, why: str
) -> None:
    """An error at the login: requests without credentials would only be refused, without a reason."""
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, user)))
    with pytest.raises(LoginError, match=why):
        await log_in()


async def test_a_kubeconfig_that_is_not_yaml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The message names the file."""
    (tmp_path / "kubeconfig").write_text("{")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    with pytest.raises(LoginError, match="kubeconfig cannot be used"):
        await log_in()


@pytest.mark.usefixtures("service_account")
async def test_a_service_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address comes from the environment: it works without DNS, as in other clients. The way is direct."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    found = await log_in()
    assert (found.host, found.proxy) == ("https://10.0.0.1:8443", None)
    assert (await header()).lower() == "bearer mounted"
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    assert (await log_in()).host == "https://[fd00::1]:8443"


async def test_a_replaced_token_of_a_service_account(service_account: Path) -> None:
    """The package reads it again once a minute; after a 401 it is read at once."""
    found = Login(await log_in())
    before = await found.authorization()
    await asyncio.to_thread(service_account.write_text, "replaced")
    assert await found.authorization() == before
    found._read_at -= 60
    await found.renew()
    assert (await found.authorization()).lower() == "bearer replaced"


async def test_nothing_to_log_in_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The message says what to set."""
    with pytest.raises(LoginError, match="set KUBECONFIG"):
        await log_in()
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    with pytest.raises(LoginError, match="absent"):
        await log_in()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.delenv("KUBECONFIG")
    with pytest.raises(LoginError, match="mount one"):
        await log_in()


def test_the_own_namespace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the Lease is, unless a setting says otherwise."""
    monkeypatch.setattr(login, "NAMESPACE_FILE", tmp_path / "namespace")
    assert own_namespace() == "default"
    (tmp_path / "namespace").write_text("operators\n")
    assert own_namespace() == "operators"


def test_the_generated_models_are_not_imported() -> None:
    """They would cost a start half a second."""
    code = f"import sys, {kubernetes.__name__} as _; print(*sys.modules)"
    names = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert len([name for name in names if ".client.models." in name]) < 10
