"""The login to the cluster of this process, read with the loaders of the package kubernetes."""

import asyncio
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from dora_operator.clients.proxies import proxy_for

logger = logging.getLogger(__name__)

LOGIN_SECONDS = 30.0
"""Longest time for reading the login; an exec plugin may ask a server."""
RENEW_SECONDS = 1.0
"""The login is read again at most this often."""
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class LoginError(Exception):
    """There is no usable login to a cluster; the message names the fix."""


async def log_in() -> Configuration:
    """Read the login: the service account inside a cluster, else the kubeconfigs. LoginError: none can be used."""
    configuration = Configuration()
    in_cluster = "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ
    await (_from_service_account(configuration) if in_cluster else _from_kubeconfigs(configuration))
    return configuration


async def _from_service_account(configuration: Configuration) -> None:
    """Inside the cluster, the way to the API server is direct: proxies in the environment are for other hosts."""
    try:
        config.load_incluster_config(configuration)
    except (config.ConfigException, OSError) as error:
        message = f"there is no usable service account token: mount one, or set KUBECONFIG ({error})"
        raise LoginError(message) from error


async def _from_kubeconfigs(configuration: Configuration) -> None:
    paths = kubeconfigs()
    names = ", ".join(map(str, paths))
    if not any(path.is_file() for path in paths):
        raise LoginError(f"there is neither a service account nor the kubeconfig {names}: set KUBECONFIG")
    try:
        async with asyncio.timeout(LOGIN_SECONDS):
            await config.load_kube_config(
                os.pathsep.join(map(str, paths)), client_configuration=configuration, persist_config=False
            )
    except Exception as error:  # files written by hand: the package raises whatever their content leads to
        raise LoginError(f"the kubeconfig {names} cannot be used: {type(error).__name__}: {error}") from error
    if configuration.host.startswith("https:") and not (configuration.api_key or configuration.cert_file):
        raise LoginError(f"the kubeconfig {names} gives no credentials: the log says why, if it names an exec plugin")
    configuration.proxy = configuration.proxy or proxy_for(configuration.host)


def kubeconfigs() -> list[Path]:
    """Return the files that KUBECONFIG names; the package would read the variable when it is imported, not now."""
    named = os.environ.get("KUBECONFIG") or "~/.kube/config"
    return [Path(name).expanduser() for name in named.split(os.pathsep) if name.strip()]


def own_namespace() -> str:
    """Return the namespace that this process runs in; outside a cluster, `default`."""
    try:
        return NAMESPACE_FILE.read_text().strip() or "default"
    except OSError:
        return "default"


@dataclass(slots=True)
class Login:
    """The configuration that every session of this process shares. The package reads a mounted token again."""

    configuration: Configuration
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _read_at: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    async def authorization(self) -> str:
        """Return the Authorization header, empty for client certificates."""
        token = await self.configuration.get_api_key_with_prefix("BearerToken")
        return str(token or "").strip()  # a file may end with a line break

    async def renew(self) -> None:
        """Read the credentials again, because the API server has refused them."""
        async with self._lock:  # an exec plugin runs once, however many watches were refused
            now = asyncio.get_running_loop().time()
            if now - self._read_at < RENEW_SECONDS:
                return
            self._read_at = now
            try:
                fresh = await log_in()
            except LoginError as error:
                logger.warning("the login cannot be read again, the last one is used: %s", error)
                return
        self.configuration.api_key = fresh.api_key
        self.configuration.refresh_api_key_hook = fresh.refresh_api_key_hook

    def open_session(self, *middlewares: aiohttp.ClientMiddlewareType) -> aiohttp.ClientSession:
        """Open a session to the same server, for the event loop of the caller. The middlewares authorize requests."""
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=RESTClientObject(self.configuration).ssl_context),
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=self.configuration.proxy,
            trust_env=False,
            middlewares=middlewares,
        )
