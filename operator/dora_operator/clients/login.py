"""The login to the cluster of this process: read with the loaders of the package kubernetes, and kept fresh."""

import asyncio
import logging
import os
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

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
    """Read the login: the service account inside a cluster, else the kubeconfigs.

    Raises:
        LoginError: there is none, or it cannot be used.
    """
    configuration = Configuration()
    in_cluster = "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ
    await (_from_service_account(configuration) if in_cluster else _from_kubeconfigs(configuration))
    # The package would leave this to aiohttp, which reads the environment and netrc at every request, and takes no
    # networks in NO_PROXY.
    configuration.proxy = configuration.proxy or proxy_for(configuration.host)
    return configuration


async def _from_service_account(configuration: Configuration) -> None:
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


class SessionParts(NamedTuple):
    """What another HTTP session needs for the same login."""

    server: str
    tls: ssl.SSLContext
    server_name: str | None
    """Name in the server's certificate, if it is not the host's."""
    proxy: str | None
    authorization: Callable[..., Awaitable[str]]
    """`Login.authorization`."""


@dataclass(slots=True)
class Login:
    """The credentials of one configuration, read again when they are replaced."""

    configuration: Configuration
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _read_at: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    async def authorization(self, refused: str | None = None) -> str:
        """Return the Authorization header, empty for client certificates.

        `refused` is a header that the API server has answered with 401: the login is then read again, because tokens
        are replaced while a process runs, and the package does so only once a minute.
        """
        if refused is not None:
            async with self._lock:
                if await self._header() == refused:  # else another request has renewed it
                    await self._renew()
        return await self._header()

    async def _header(self) -> str:
        try:
            token = await self.configuration.get_api_key_with_prefix("BearerToken")
        except (config.ConfigException, OSError) as error:
            logger.warning("the service account's token cannot be read, the last one is used: %s", error)
            token = self.configuration.api_key.get("BearerToken")
        return str(token or "").strip()  # a file may end with a line break

    async def _renew(self) -> None:
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


def session_parts(configuration: Configuration) -> SessionParts:
    """Return what kopf's session needs for the same login. Call it in the event loop of that session."""
    return SessionParts(
        server=configuration.host,
        tls=RESTClientObject(configuration).ssl_context,
        server_name=configuration.tls_server_name,
        proxy=configuration.proxy,
        authorization=Login(configuration).authorization,
    )
