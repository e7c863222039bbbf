"""The Kubernetes API: requests. `kubernetes.aio` does the HTTP; with `login` the only user of that package.

Objects are plain dicts as the API server sends them: the generated classes of the package would cost time and memory,
and the domain parses what it needs. Bodies are never logged: they may hold a Secret.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.config import ConfigException
from pydantic_core import from_json

from dora_operator.clients.errors import ERRORS, ConflictError, KubernetesError, NotFoundError, message_of
from dora_operator.clients.lists import Page, read_page
from dora_operator.clients.login import log_in
from dora_operator.domain.events import EventNote
from dora_operator.domain.fields import GROUP, KIND, PLURAL, VERSION, ObjectKey
from dora_operator.metrics import CODE_LABELS, Metrics

PAGE = 500
REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=15, sock_connect=5)
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
JSON = "application/json"
COMPONENT = "dora-operator"
"""User agent, field manager of statuses, source of Events."""
RECORD_MANAGER = "dora-operator-rollouts"
"""Field manager of the DoraDeployments that the operator creates because of Rollouts."""
LEASES = "/apis/coordination.k8s.io/v1"

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of resource that is listed and watched."""

    group: str
    version: str
    plural: str
    kind: str
    name: str
    """Plural for people."""

    @property
    def root(self) -> str:
        return f"/apis/{self.group}/{self.version}"

    def path(self, namespace: str | None) -> str:
        """Path of the collection, in one namespace or in the whole cluster."""
        within = f"/namespaces/{namespace}" if namespace else ""
        return f"{self.root}{within}/{self.plural}"


DEPLOYMENTS = Kind(GROUP, VERSION, PLURAL, KIND, "DoraDeployments")
HISTORIES = Kind(GROUP, VERSION, "dorahistories", "DoraHistory", "DoraHistories")
ROLLOUTS = Kind("argoproj.io", "v1alpha1", "rollouts", "Rollout", "Rollouts")


@dataclass(frozen=True, slots=True)
class Subject:
    """The object that an Event is about."""

    api_version: str
    kind: str
    key: ObjectKey
    uid: str

    @classmethod
    def of(cls, kind: Kind, key: ObjectKey, uid: str) -> "Subject":
        return cls(f"{kind.group}/{kind.version}", kind.kind, key, uid)


@dataclass(frozen=True, slots=True)
class Secret:
    """A Secret as it was read."""

    resource_version: str
    data: Mapping[str, str] = field(repr=False)
    """In base64, as the API server sends it."""


class KubernetesClient:
    """What the operator reads and writes in Kubernetes.

    `before_write` raises NotLeaderError when this process may not write. The Lease is written without asking it.
    """

    def __init__(
        self, api: ApiClient, metrics: Metrics, clock: Callable[[], datetime], before_write: Callable[[], None]
    ) -> None:
        self.configuration = api.configuration
        """The login; its credentials may be replaced while requests are made."""
        self._api = api
        self._metrics = metrics
        self._clock = clock
        self._before_write = before_write

    async def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        content_type: str = JSON,
    ) -> Body:
        """Send any request. KubernetesError: the answer is an error, or no JSON object."""
        data = await self._send(method, path, body, query, content_type)
        try:
            answer = from_json(data)
        except ValueError as error:
            raise KubernetesError(f"{method} {path}: the answer is not JSON") from error
        if not isinstance(answer, dict):
            raise KubernetesError(f"{method} {path}: the answer is not an object")
        return answer

    async def pages(self, path: str, query: Mapping[str, str]) -> AsyncGenerator[Page]:
        """List any collection page by page. The next one is requested while the caller handles the one before it."""
        page = await self._page(path, query)
        while page.token:
            following = asyncio.create_task(self._page(path, query, page.token))
            try:
                yield page
                page = await following
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
        yield page

    def list_pages(self, kind: Kind, namespace: str | None, selector: str) -> AsyncGenerator[Page]:
        """List all objects of a kind, page by page. ExpiredError: it took too long, list again from the start."""
        return self.pages(kind.path(namespace), {"labelSelector": selector})

    async def check(self, kind: Kind, namespace: str | None) -> None:
        """List one object, to see whether objects can be listed. NotFoundError: the kind is not installed."""
        await self._page(kind.path(namespace), {"limit": "1"})

    async def write_status(self, key: ObjectKey, uid: str, status: Mapping[str, Any]) -> Body:
        """Write the whole status and return the object as stored.

        With the uid in the patch the API server refuses another object of the same name: NotFoundError, ConflictError.
        """
        path = f"{DEPLOYMENTS.path(key.namespace)}/{key.name}/status"
        stored = await self._write("PATCH", path, {"metadata": {"uid": uid}, "status": status}, MERGE_PATCH, COMPONENT)
        if (stored.get("metadata") or {}).get("uid") != uid:
            raise KubernetesError(f"PATCH {path}: the answer is not the object")
        return stored

    async def apply_record(self, manifest: Mapping[str, Any]) -> Body:
        """Apply a record, without force. ConflictError: a user has taken over a field, and keeps it."""
        metadata = manifest["metadata"]
        path = f"{DEPLOYMENTS.path(metadata['namespace'])}/{metadata['name']}"
        return await self._write("PATCH", path, manifest, APPLY_PATCH, RECORD_MANAGER)

    async def apply_history(self, manifest: Mapping[str, Any]) -> Body:
        """Write a DoraHistory as a whole. Only the operator writes them."""
        metadata = manifest["metadata"]
        path = f"{HISTORIES.path(metadata['namespace'])}/{metadata['name']}"
        return await self._write("PATCH", path, manifest, APPLY_PATCH, COMPONENT, force=True)

    async def delete_record(self, key: ObjectKey, uid: str) -> None:
        """Delete exactly this DoraDeployment, if it is still there."""
        path = f"{DEPLOYMENTS.path(key.namespace)}/{key.name}"
        try:
            await self._write("DELETE", path, {"preconditions": {"uid": uid}})
        except (NotFoundError, ConflictError):
            return

    async def read_secret(self, key: ObjectKey) -> Secret:
        """NotFoundError, ForbiddenError: a user has to create the Secret, or grant access to it."""
        path = f"/api/v1/namespaces/{key.namespace}/secrets/{key.name}"
        secret = await self.request("GET", path)
        return Secret(_metadata(secret, path).get("resourceVersion") or "", secret.get("data") or {})

    async def read_annotations(self, namespace: str) -> Mapping[str, str]:
        path = f"/api/v1/namespaces/{namespace}"
        annotations: Mapping[str, str] = _metadata(await self.request("GET", path), path).get("annotations") or {}
        return annotations

    async def list_replica_sets(self, namespace: str, labels: Mapping[str, str]) -> list[Body]:
        """List the ReplicaSets of Rollouts that have these labels; only those have a pod template hash of that name."""
        selector = ",".join(["rollouts-pod-template-hash", *(f"{name}={value}" for name, value in labels.items())])
        pages = self.pages(f"/apis/apps/v1/namespaces/{namespace}/replicasets", {"labelSelector": selector})
        return [item async for page in pages for item in page.items]

    async def post_event(self, subject: Subject, note: EventNote) -> None:
        """Create an Event. Its name is made of the fact, so that a repeated fact makes no second Event."""
        body = _event(subject, note, self._clock())
        try:
            await self._write("POST", f"/api/v1/namespaces/{subject.key.namespace}/events", body)
        except ConflictError:
            return

    async def read_lease(self, key: ObjectKey) -> Body:
        """NotFoundError: there is none."""
        path = f"{LEASES}/namespaces/{key.namespace}/leases/{key.name}"
        lease = await self.request("GET", path)
        _metadata(lease, path)
        return lease

    async def create_lease(self, key: ObjectKey, body: Mapping[str, Any]) -> Body:
        """ConflictError, as of `replace_lease`: another process was faster."""
        return await self.request("POST", f"{LEASES}/namespaces/{key.namespace}/leases", body)

    async def replace_lease(self, key: ObjectKey, body: Mapping[str, Any]) -> Body:
        return await self.request("PUT", f"{LEASES}/namespaces/{key.namespace}/leases/{key.name}", body)

    async def _page(self, path: str, query: Mapping[str, str], token: str = "") -> Page:
        data = await self._send("GET", path, None, {"limit": str(PAGE), "continue": token, **query})
        try:
            return read_page(data)
        except ValueError as error:
            raise KubernetesError(f"GET {path}: the answer is not a list") from error

    async def _write(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any],
        content_type: str = JSON,
        manager: str = "",
        *,
        force: bool = False,
    ) -> Body:
        self._before_write()
        query = {"fieldManager": manager, "force": "true" if force else ""}
        return await self.request(method, path, body, query, content_type)

    async def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        query: Mapping[str, str] | None,
        content_type: str = JSON,
    ) -> bytes:
        what, url = f"{method} {path}", f"{self.configuration.host}{path}{_encoded(query)}"
        headers = {"Accept": JSON, "Content-Type": content_type, "User-Agent": COMPONENT}
        code: int | None = None
        try:
            if authorization := await self.configuration.get_api_key_with_prefix("BearerToken"):
                headers["Authorization"] = authorization.strip()  # a file may end with a line break
            response = await self._api.call_api(method, url, headers, body, _request_timeout=REQUEST_TIMEOUT)
            data: bytes = await response.read()
            code = response.status
        except (TimeoutError, aiohttp.ClientError, ApiException, ConfigException, OSError) as error:
            raise KubernetesError(f"{what}: {type(error).__name__}") from error
        finally:
            self._metrics.kubernetes_requests.labels(method, resource_of(path), CODE_LABELS[code]).inc()
        if code >= HTTPStatus.BAD_REQUEST:
            message = f"{what}: the API server answered {code}"
            raise ERRORS.get(code, KubernetesError)(message, code, message_of(data))
        return data


@asynccontextmanager
async def open_kubernetes(
    metrics: Metrics, clock: Callable[[], datetime], before_write: Callable[[], None] = lambda: None
) -> AsyncIterator[KubernetesClient]:
    """Open connections to the cluster that this process belongs to. LoginError: there is no usable login."""
    configuration = await log_in()
    # The number of requests is bounded elsewhere; a limit here could make the renewal of the Lease wait.
    configuration.connection_pool_maxsize = 0
    configuration.client_session_kwargs = {"trust_env": False, "cookie_jar": aiohttp.DummyCookieJar()}
    async with ApiClient(configuration) as api:
        yield KubernetesClient(api, metrics, clock, before_write)


def resource_of(path: str) -> str:
    """Return the resource that a path is about, without any name: `secrets`, `doradeployments/status`."""
    parts = path.split("/")
    parts = parts[3:] if parts[1] == "api" else parts[4:]
    if not parts:
        return "apis"
    namespaced = parts[0] == "namespaces" and len(parts) > 2  # noqa: PLR2004 - namespaces, the namespace, the resource
    resource, *rest = parts[2:] if namespaced else parts
    return f"{resource}/{rest[1]}" if len(rest) > 1 else resource


def _encoded(query: Mapping[str, str] | None) -> str:
    pairs = [f"{name}={quote(value, safe='')}" for name, value in (query or {}).items() if value]
    return "?" + "&".join(pairs) if pairs else ""


def _metadata(found: Body, path: str) -> Body:
    metadata = found.get("metadata")
    if not isinstance(metadata, dict):
        raise KubernetesError(f"GET {path}: the answer has no metadata")
    return metadata


def _event(subject: Subject, note: EventNote, now: datetime) -> Body:
    fact = hashlib.sha256(f"{subject.uid}\0{note.reason}\0{note.message}\0{note.fact}".encode()).hexdigest()[:16]
    time = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{subject.key.name[:230].rstrip('-.')}.{fact}", "namespace": subject.key.namespace},
        "involvedObject": {
            "apiVersion": subject.api_version,
            "kind": subject.kind,
            "namespace": subject.key.namespace,
            "name": subject.key.name,
            "uid": subject.uid,
        },
        "type": note.type,
        "reason": note.reason,
        "message": note.message,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }
