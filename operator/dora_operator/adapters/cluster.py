"""The Kubernetes API: list, status, Secrets, Events. The only user of the kubernetes client.

Uses the client's transport and login with plain JSON, not its typed classes: those cost a second and 30 MB at start.
Never logs a body: a Secret's would be in it.
"""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import aiohttp
from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from dora_operator.adapters.credentials import keys_of
from dora_operator.domain.notices import WarningEvent
from dora_operator.domain.reasons import Reason
from dora_operator.domain.spec import GROUP, KIND, PLURAL, VERSION
from dora_operator.ports import ClusterUnavailableError, NoKeys, ObjectGoneError, ObjectKey, SecretView

PAGE = 500
REQUEST_SECONDS = 15.0
RESOURCES = f"/apis/{GROUP}/{VERSION}"
MERGE_PATCH = "application/merge-patch+json"
FIELD_MANAGER = "dora-operator"


class _StatusError(ClusterUnavailableError):
    """The API server's answer was no success."""

    def __init__(self, code: int, what: str) -> None:
        super().__init__(f"{what}: the API server answered {code}")
        self.code = code


class Cluster:
    """Implements `ports.ClusterPort`."""

    def __init__(self, api: ApiClient, clock: Callable[[], datetime]) -> None:
        self._api = api
        self._clock = clock

    async def list_deployments(self, namespace: str | None) -> AsyncIterator[Mapping[str, Any]]:
        """Iterate over all DoraDeployments, page by page."""
        path = f"{RESOURCES}/namespaces/{namespace}/{PLURAL}" if namespace else f"{RESOURCES}/{PLURAL}"
        token = ""
        while True:
            page = await self._request("GET", path, query={"limit": str(PAGE), "continue": token})
            for item in page["items"]:
                yield item
            token = page["metadata"].get("continue") or ""
            if not token:
                return

    async def write_status(self, key: ObjectKey, uid: str, status: Mapping[str, Any]) -> Mapping[str, Any]:
        """Write the whole status; the uid in the patch makes the API server refuse another object of the same name."""
        path = f"{RESOURCES}/namespaces/{key.namespace}/{PLURAL}/{key.name}/status"
        body = {"metadata": {"uid": uid}, "status": status}
        query = {"fieldManager": FIELD_MANAGER}
        try:
            return await self._request("PATCH", path, query=query, body=body)
        except _StatusError as error:
            if error.code in {404, 409}:
                raise ObjectGoneError(str(error)) from error
            raise

    async def read_secret(self, key: ObjectKey) -> SecretView:
        """Read a Secret; a missing or forbidden one is an answer."""
        try:
            secret = await self._request("GET", f"/api/v1/namespaces/{key.namespace}/secrets/{key.name}")
        except _StatusError as error:
            if error.code == 404:  # noqa: PLR2004
                message = (
                    f"Secret {key.name} does not exist in namespace {key.namespace}: create it with api-key and app-key"
                )
                return SecretView("", NoKeys(Reason.CREDENTIALS_NOT_FOUND, message))
            if error.code == 403:  # noqa: PLR2004
                message = f"the operator may not read Secret {key.name} in namespace {key.namespace}: extend its Role"
                return SecretView("", NoKeys(Reason.CREDENTIALS_NOT_READABLE, message))
            raise
        return SecretView(secret["metadata"]["resourceVersion"], keys_of(key.name, secret.get("data") or {}))

    async def post_warning(self, key: ObjectKey, uid: str, warning: WarningEvent) -> None:
        """Create the Event under a name made of the fact, so that a repeated fact makes no second Event."""
        body = _event(key, uid, warning, self._clock())
        try:
            await self._request("POST", f"/api/v1/namespaces/{key.namespace}/events", body=body)
        except _StatusError as error:
            if error.code != 409:  # noqa: PLR2004
                raise

    async def _request(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        headers = {"Accept": "application/json"}
        headers["Content-Type"] = MERGE_PATCH if method == "PATCH" else "application/json"
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                call = await self._api.param_serialize(
                    method,
                    path,
                    query_params=list((query or {}).items()),
                    header_params=headers,
                    body=body,
                    auth_settings=["BearerToken"],
                )
                response = await self._api.call_api(*call)
                data = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ClusterUnavailableError(f"{method} {path}: {type(error).__name__}") from error
        if response.status >= 400:  # noqa: PLR2004
            raise _StatusError(response.status, f"{method} {path}")
        try:
            answer: dict[str, Any] = json.loads(data)
        except ValueError as error:
            raise ClusterUnavailableError(f"{method} {path}: the answer is not JSON") from error
        return answer


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
async def open_cluster(clock: Callable[[], datetime]) -> AsyncIterator[Cluster]:
    """Open a client for the cluster that this process belongs to."""
    async with ApiClient(await load_configuration()) as api:
        yield Cluster(api, clock)


def _event(key: ObjectKey, uid: str, warning: WarningEvent, now: datetime) -> dict[str, Any]:
    fact = hashlib.sha256(f"{uid}\0{warning.reason}\0{warning.message}".encode()).hexdigest()[:16]
    moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{key.name[:230]}.{fact}", "namespace": key.namespace},
        "involvedObject": {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "namespace": key.namespace,
            "name": key.name,
            "uid": uid,
        },
        "type": "Warning",
        "reason": warning.reason,
        "message": warning.message,
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }
