"""Leases of coordination.k8s.io: read, made, written. Decides nothing; see `domain.lease`."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Any

from dora_operator.adapters.kubernetes_api import KubernetesApi, StatusError
from dora_operator.domain.lease import Lease
from dora_operator.domain.object_key import ObjectKey
from dora_operator.ports import ClusterUnavailableError, LeaseRaceLostError


class LeaseApi:
    """One Lease."""

    def __init__(
        self, api: KubernetesApi, key: ObjectKey, request_seconds: float, clock: Callable[[], datetime]
    ) -> None:
        self._api = api
        self._key = key
        self._request_seconds = request_seconds
        self._clock = clock
        self._folder = f"/apis/coordination.k8s.io/v1/namespaces/{key.namespace}/leases"
        self._body: dict[str, Any] = {}

    async def read(self) -> Lease | None:
        """Read the Lease; None where there is none.

        Raises:
            ClusterUnavailableError: try again.
        """
        try:
            self._body = await self._request("GET", f"{self._folder}/{self._key.name}")
        except StatusError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return None
            raise
        return _read(self._body)

    async def create(self, holder: str, duration_seconds: float) -> Lease:
        """Make the Lease.

        Raises:
            LeaseRaceLostError: there is one now.
            ClusterUnavailableError: try again.
        """
        spec = self._spec({}, holder, duration_seconds)
        metadata = {"name": self._key.name, "namespace": self._key.namespace}
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        return await self._written("POST", self._folder, body)

    async def write(self, holder: str, duration_seconds: float) -> Lease:
        """Write the Lease that was read last, with another holder or the same.

        Raises:
            LeaseRaceLostError: it was changed in the meantime.
            ClusterUnavailableError: try again.
        """
        spec = self._spec(self._body.get("spec") or {}, holder, duration_seconds)
        return await self._written("PUT", f"{self._folder}/{self._key.name}", self._body | {"spec": spec})

    async def _written(self, method: str, path: str, body: dict[str, Any]) -> Lease:
        try:
            self._body = await self._request(method, path, body)
        except StatusError as error:
            if error.code in {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND}:
                raise LeaseRaceLostError from error
            raise
        return _read(self._body)

    async def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._request_seconds):
                return await self._api.request(method, path, body=body)
        except TimeoutError as error:
            raise ClusterUnavailableError(f"{method} {path}: no answer in {self._request_seconds:.1f} s") from error

    def _spec(self, before: dict[str, Any], holder: str, duration_seconds: float) -> dict[str, Any]:
        now = self._clock().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        is_new = before.get("holderIdentity") != holder
        return before | {
            "holderIdentity": holder,
            "leaseDurationSeconds": max(1, round(duration_seconds)),
            "renewTime": now,
            "acquireTime": now if is_new else before.get("acquireTime", now),
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (is_new and bool(holder)),
        }


def _read(body: dict[str, Any]) -> Lease:
    spec = body.get("spec") or {}
    return Lease(
        holder=spec.get("holderIdentity") or "",
        duration_seconds=float(spec.get("leaseDurationSeconds") or 1),
        version=body["metadata"]["resourceVersion"],
        transitions=int(spec.get("leaseTransitions") or 0),
    )
