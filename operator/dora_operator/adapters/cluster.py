"""DoraDeployments, Secrets, Events, ReplicaSets: what the operator reads and writes in Kubernetes.

Translates between ports and the API server's paths; decides nothing.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from math import inf
from typing import Any

from dora_operator.adapters.credentials import keys_of
from dora_operator.adapters.kubernetes_api import APPLY_PATCH, MERGE_PATCH, KubernetesApi, StatusError
from dora_operator.adapters.stream import Watched
from dora_operator.adapters.watching import watch
from dora_operator.domain.notices import EventNote
from dora_operator.domain.object_key import ObjectKey
from dora_operator.domain.reasons import Reason
from dora_operator.domain.rollout import reading
from dora_operator.domain.spec import GROUP, PLURAL, VERSION
from dora_operator.ports import ClusterUnavailableError, NoKeys, NotOursError, ObjectGoneError, SecretView, Subject
from dora_operator.sightings import Sighting

PAGE = 500
RESOURCES = f"/apis/{GROUP}/{VERSION}"
ROLLOUTS = "/apis/argoproj.io/v1alpha1"
FORGOTTEN_SPEC = frozenset({"template", "strategy", "analysis"})
"""Large parts of a Rollout that no decision reads: templates are read from ReplicaSets."""
FIELD_MANAGER = "dora-operator"
RECORD_MANAGER = "dora-operator-rollouts"
"""Field manager of specs that the operator writes itself, from what Rollouts do."""


class Cluster:
    """Implements `ports.ClusterPort`."""

    def __init__(self, api: KubernetesApi, clock: Callable[[], datetime], relist_seconds: float = inf) -> None:
        self._api = api
        self._clock = clock
        self._relist_seconds = relist_seconds

    def watch_deployments(self, namespace: str | None, selector: str) -> AsyncIterator[Sighting]:
        """See `adapters.watching`."""
        path = f"{RESOURCES}{_within(namespace)}/{PLURAL}"
        return watch(self._api, Watched("DoraDeployments", path, selector, relist_seconds=self._relist_seconds))

    def watch_rollouts(self, namespace: str | None, selector: str) -> AsyncIterator[Sighting]:
        """See `adapters.watching`."""
        path = f"{ROLLOUTS}{_within(namespace)}/rollouts"
        return watch(
            self._api, Watched("Rollouts", path, selector, _slim_rollout, self._relist_seconds, may_be_absent=True)
        )

    async def write_status(self, key: ObjectKey, uid: str, status: Mapping[str, Any]) -> Mapping[str, Any]:
        """Write the whole status; the uid in the patch makes the API server refuse another object of the same name."""
        path = f"{RESOURCES}/namespaces/{key.namespace}/{PLURAL}/{key.name}/status"
        body = {"metadata": {"uid": uid}, "status": status}
        query = {"fieldManager": FIELD_MANAGER}
        try:
            stored = await self._api.request("PATCH", path, query=query, body=body, content_type=MERGE_PATCH)
        except StatusError as error:
            if error.code in {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}:
                raise ObjectGoneError(str(error)) from error
            raise
        if not isinstance(stored, dict) or reading.text(stored, "metadata", "uid") != uid:
            raise ClusterUnavailableError(f"PATCH {path}: the answer is not the object")
        return stored

    async def read_secret(self, key: ObjectKey) -> SecretView:
        """Read a Secret; a missing or forbidden one is an answer."""
        try:
            secret = await self._api.request("GET", f"/api/v1/namespaces/{key.namespace}/secrets/{key.name}")
        except StatusError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                message = (
                    f"Secret {key.name} does not exist in namespace {key.namespace}: create it with api-key and app-key"
                )
                return SecretView("", NoKeys(Reason.CREDENTIALS_NOT_FOUND, message))
            if error.code == HTTPStatus.FORBIDDEN:
                message = f"the operator may not read Secret {key.name} in namespace {key.namespace}: extend its Role"
                return SecretView("", NoKeys(Reason.CREDENTIALS_NOT_READABLE, message))
            raise
        return SecretView(secret["metadata"]["resourceVersion"], keys_of(key.name, secret.get("data") or {}))

    async def post_event(self, about: Subject, note: EventNote) -> None:
        """Create the Event under a name made of the fact, so that a repeated fact makes no second Event."""
        body = _event(about, note, self._clock())
        try:
            await self._api.request("POST", f"/api/v1/namespaces/{about.key.namespace}/events", body=body)
        except StatusError as error:
            if error.code != HTTPStatus.CONFLICT:
                raise

    async def list_replica_sets(self, namespace: str, labels: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        """List by label: only Rollouts' ReplicaSets have a pod template hash of that name."""
        selector = ",".join(["rollouts-pod-template-hash", *(f"{name}={value}" for name, value in labels.items())])
        path = f"/apis/apps/v1/namespaces/{namespace}/replicasets"
        return await self._all(path, {"labelSelector": selector})

    async def list_events(self, about: Subject) -> Sequence[Mapping[str, Any]]:
        """List by the object's uid."""
        path = f"/api/v1/namespaces/{about.key.namespace}/events"
        return await self._all(path, {"fieldSelector": f"involvedObject.uid={about.uid}"})

    async def read_annotations(self, namespace: str) -> Mapping[str, str]:
        """Read the Namespace."""
        found = await self._api.request("GET", f"/api/v1/namespaces/{namespace}")
        annotations: Mapping[str, str] = found["metadata"].get("annotations") or {}
        return annotations

    async def apply_record(self, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
        """Apply without force: a field that a user has taken over is a conflict, and stays the user's."""
        metadata = manifest["metadata"]
        path = f"{RESOURCES}/namespaces/{metadata['namespace']}/{PLURAL}/{metadata['name']}"
        query = {"fieldManager": RECORD_MANAGER}
        try:
            return await self._api.request("PATCH", path, query=query, body=manifest, content_type=APPLY_PATCH)
        except StatusError as error:
            if error.code == HTTPStatus.CONFLICT:
                raise NotOursError(str(error)) from error
            raise

    async def delete_record(self, key: ObjectKey, uid: str) -> None:
        """Delete with the uid as precondition."""
        path = f"{RESOURCES}/namespaces/{key.namespace}/{PLURAL}/{key.name}"
        try:
            await self._api.request("DELETE", path, body={"preconditions": {"uid": uid}})
        except StatusError as error:
            if error.code not in {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}:
                raise

    async def _all(self, path: str, query: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        items: list[Mapping[str, Any]] = []
        token = ""
        while True:
            page = await self._api.request("GET", path, query={"limit": str(PAGE), "continue": token} | dict(query))
            items += page["items"]
            token = page["metadata"].get("continue") or ""
            if not token:
                return items


def _within(namespace: str | None) -> str:
    return f"/namespaces/{namespace}" if namespace else ""


def _slim_rollout(body: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
    spec = {name: value for name, value in (body.get("spec") or {}).items() if name not in FORGOTTEN_SPEC}
    return {"metadata": metadata, "spec": spec, "status": body.get("status") or {}}


def _event(about: Subject, note: EventNote, now: datetime) -> dict[str, Any]:
    fact = hashlib.sha256(f"{about.uid}\0{note.reason}\0{note.message}\0{note.fact}".encode()).hexdigest()[:16]
    moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{about.key.name[:230].rstrip('-.')}.{fact}", "namespace": about.key.namespace},
        "involvedObject": {
            "apiVersion": about.api_version,
            "kind": about.kind,
            "namespace": about.key.namespace,
            "name": about.key.name,
            "uid": about.uid,
        },
        "type": note.type,
        "reason": note.reason,
        "message": note.message,
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }
