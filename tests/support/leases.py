"""An API server with one Lease, and the processes that want it."""

import asyncio
import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from dora_operator.clients.errors import ConflictError, KubernetesError, NotFoundError
from dora_operator.clients.kubernetes import KubernetesClient
from dora_operator.domain.fields import ObjectKey

KEY = ObjectKey("operators", "dora-operator")
Body = dict[str, Any]


@dataclass
class LeaseServer:
    """An API server with one Lease. Each change makes a new version."""

    lease: Body | None = None
    down: bool = False
    silent: bool = False
    broken: bool = False
    writes: int = 0

    def put(self, holder: str, duration: int = 15) -> None:
        """Write the Lease, as by hand."""
        self.store({"metadata": {}, "spec": {"holderIdentity": holder, "leaseDurationSeconds": duration}})

    def store(self, body: Mapping[str, Any]) -> Body:
        """Store a body as a new version."""
        self.writes += 1
        self.lease = {
            **copy.deepcopy(dict(body)),
            "metadata": {**body["metadata"], "resourceVersion": str(self.writes)},
        }
        return copy.deepcopy(self.lease)

    @property
    def spec(self) -> Body:
        """Return what the Lease says."""
        assert self.lease is not None
        return cast("Body", self.lease["spec"])


@dataclass
class LeaseClient:
    """The requests of one process."""

    server: LeaseServer
    log: list[str] = field(default_factory=list)
    loses_answers: bool = False
    """Writes arrive, and their answers do not."""

    @property
    def kubernetes(self) -> KubernetesClient:
        """Return itself as what it stands in for."""
        return cast("KubernetesClient", self)

    async def read_lease(self, key: ObjectKey) -> Body:
        """Read."""
        self._check("read", key)
        if self.server.silent:
            await asyncio.Event().wait()
        if self.server.lease is None:
            raise NotFoundError("no such Lease", 404)
        return copy.deepcopy(self.server.lease)

    async def create_lease(self, key: ObjectKey, body: Body) -> Body:
        """Create."""
        self._check("create", key)
        if self.server.lease is not None:
            raise ConflictError("exists", 409)
        return self._stored(body)

    async def replace_lease(self, key: ObjectKey, body: Body) -> Body:
        """Replace the version that was read."""
        self._check("replace", key)
        if self.server.lease is None:
            raise NotFoundError("no such Lease", 404)
        if body["metadata"]["resourceVersion"] != self.server.lease["metadata"]["resourceVersion"]:
            raise ConflictError("another version", 409)
        return self._stored(body)

    def _stored(self, body: Body) -> Body:
        stored = self.server.store(body)
        if self.loses_answers:
            raise KubernetesError("the connection was closed")
        return stored

    def _check(self, what: str, key: ObjectKey) -> None:
        assert key == KEY
        self.log.append(what)
        if self.server.down:
            raise KubernetesError("down")
        if self.server.broken:
            raise KeyError("spec")
