"""The Kubernetes API as plain JSON: one request, or one watch. The only user of the kubernetes client.

Uses the client's login, not its typed classes: those cost a second and 30 MB at start. Knows no resource.
Never logs a body: a Secret's would be in it.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import aiohttp
from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from dora_operator.meter import NO_METER, Meter
from dora_operator.ports import ClusterUnavailableError

REQUEST_SECONDS = 15.0
WATCH_SECONDS = 30
"""The API server ends a watch after this long, with a bookmark; the next one goes on from there."""
SILENCE_SECONDS = WATCH_SECONDS + 5.0
"""A watch that has said nothing for longer is dead, though its connection may stand."""
LOGIN_SECONDS = 1.0
"""How often at most the login is read again after a 401."""
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
JSON = "application/json"
USER_AGENT = "dora-operator"
CONNECTIONS = 64
LONGEST_LINE = 4 * 2**20
"""Bytes of a watch event. The API server takes objects of up to 1.5 MiB in etcd, and more as JSON."""


class StatusError(ClusterUnavailableError):
    """The API server's answer was no success."""

    def __init__(self, code: int, what: str) -> None:
        super().__init__(f"{what}: the API server answered {code}")
        self.code = code


class KubernetesApi:
    """Requests with the login of this process."""

    def __init__(self, session: aiohttp.ClientSession, configuration: Configuration, meter: Meter = NO_METER) -> None:
        self._session = session
        self._configuration = configuration
        self._meter = meter
        self._login_read_at = -LOGIN_SECONDS

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = JSON,
    ) -> dict[str, Any]:
        """Return the answer's JSON object.

        Raises:
            StatusError: another status than success.
            ClusterUnavailableError: no answer, or none that can be read.
        """
        what = f"{method} {path}"
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                response = await self._call(method, path, query, body, content_type, REQUEST_SECONDS)
                data = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            self._meter.kubernetes(method, resource_of(path), None)
            raise ClusterUnavailableError(f"{what}: {type(error).__name__}") from error
        self._meter.kubernetes(method, resource_of(path), response.status)
        if response.status >= 400:  # noqa: PLR2004 - the first that is no success
            raise StatusError(response.status, what)
        try:
            answer: dict[str, Any] = json.loads(data)
        except ValueError as error:
            raise ClusterUnavailableError(f"{what}: the answer is not JSON") from error
        return answer

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
        """Iterate over the events of one watch, until the API server ends it.

        Raises:
            StatusError: the watch was refused.
            ClusterUnavailableError: it broke, or fell silent.
        """
        what = f"WATCH {path}"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=SILENCE_SECONDS)
        query = {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(WATCH_SECONDS)} | dict(query)
        try:
            response = await self._call("GET", path, query, None, JSON, timeout)
            async with response:
                if response.status >= 400:  # noqa: PLR2004 - the first that is no success
                    raise StatusError(response.status, what)
                async for line in response.content:
                    yield json.loads(line)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise ClusterUnavailableError(f"{what}: {type(error).__name__}") from error

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        content_type: str,
        timeout: Any,  # noqa: ANN401, ASYNC109 - handed through to aiohttp
    ) -> aiohttp.ClientResponse:
        configuration = self._configuration
        headers = {"Accept": JSON, "Content-Type": content_type, "User-Agent": USER_AGENT}
        for last in (False, True):
            login = await configuration.get_api_key_with_prefix("BearerToken")
            response = await self._session.request(
                method,
                configuration.host + path,
                params=[(name, value) for name, value in (query or {}).items() if value],
                headers=headers | {"Authorization": login} if login else headers,
                data=None if body is None else json.dumps(body, separators=(",", ":")),
                timeout=timeout,
                proxy=configuration.proxy,
                proxy_headers=configuration.proxy_headers,
                server_hostname=configuration.tls_server_name,
                allow_redirects=False,
            )
            if last or response.status != HTTPStatus.UNAUTHORIZED or not await self._log_in_again():
                break
            response.release()
        return response

    async def _log_in_again(self) -> bool:
        """Read token or kubeconfig anew: tokens are replaced while a process runs. Tell whether it is worth a try."""
        now = asyncio.get_running_loop().time()
        if now - self._login_read_at < LOGIN_SECONDS:
            return False
        self._login_read_at = now
        try:
            fresh = await load_configuration()
        except (kubernetes_config.ConfigException, OSError):
            return False
        self._configuration.api_key = fresh.api_key
        self._configuration.refresh_api_key_hook = fresh.refresh_api_key_hook
        return True


def resource_of(path: str) -> str:
    """Return the resource that a path of the API is about, without any name: `secrets`, `doradeployments/status`."""
    parts = path.split("/")
    parts = parts[3:] if parts[1] == "api" else parts[4:]
    namespaced = parts[0] == "namespaces" and len(parts) > 2  # noqa: PLR2004 - namespaces, the namespace, the resource
    resource, *rest = parts[2:] if namespaced else parts
    return f"{resource}/{rest[1]}" if len(rest) > 1 else resource


async def load_configuration() -> Configuration:
    """Return how to reach the API server: the service account inside a cluster, else the kubeconfig."""
    configuration = Configuration()
    if "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ:
        kubernetes_config.load_incluster_config(client_configuration=configuration)
    else:
        await kubernetes_config.load_kube_config(client_configuration=configuration)
    return configuration


async def load_connection() -> dict[str, Any]:
    """Return the same way in, in the words of `kopf.ConnectionInfo`. Called again when the API server answers 401."""
    configuration = await load_configuration()
    scheme, _, token = configuration.api_key.get("BearerToken", "").partition(" ")
    return {
        "server": configuration.host,
        "ca_path": configuration.ssl_ca_cert,
        "insecure": not configuration.verify_ssl,
        "certificate_path": configuration.cert_file,
        "private_key_path": configuration.key_file,
        "scheme": scheme.capitalize() or None,
        "token": token or None,
    }


@asynccontextmanager
async def open_kubernetes(meter: Meter = NO_METER) -> AsyncIterator[KubernetesApi]:
    """Open connections to the cluster that this process belongs to."""
    configuration = await load_configuration()
    # The client's way of reading certificates; its way of sending costs three times as much processor time as this.
    connector = aiohttp.TCPConnector(ssl=RESTClientObject(configuration).ssl_context, limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector, trust_env=True, read_bufsize=LONGEST_LINE) as session:
        yield KubernetesApi(session, configuration, meter)
