"""The few doors through which `reconcile` acts, and the values that pass them.

Adapters implement these; nothing here acts.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dora_operator.domain.notices import EventNote
from dora_operator.domain.object_key import ObjectKey
from dora_operator.domain.outcome import Answer, NoAnswer
from dora_operator.domain.reasons import Reason
from dora_operator.domain.request import PatchRequest
from dora_operator.domain.rollout.restored import Restoration
from dora_operator.domain.sites import Site
from dora_operator.sightings import Sighting


@dataclass(frozen=True, slots=True)
class Keys:
    """The two keys of a Datadog account. Their values never show in a repr."""

    api_key: str = field(repr=False)
    app_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NoKeys:
    """Why there are no usable keys."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class SecretView:
    """A Secret as it was read: its version and the usable keys in it, or what is wrong with them."""

    resource_version: str
    keys: Keys | NoKeys


@dataclass(frozen=True, slots=True)
class Subject:
    """The object that an Event is about."""

    api_version: str
    kind: str
    key: ObjectKey
    uid: str


class NotOursError(Exception):
    """A user owns what would be written."""


class ObjectGoneError(Exception):
    """The object was deleted, or replaced by another of the same name, before it could be written."""


class ClusterUnavailableError(Exception):
    """The API server did not take a request this time; it can be repeated. The message says why."""


class LeaseRaceLostError(Exception):
    """Somebody else wrote the Lease first."""

    def __init__(self) -> None:
        super().__init__("somebody else wrote the Lease first")


class NotLeadingError(ClusterUnavailableError):
    """This process may not write: another holds the Lease, or may soon."""

    def __init__(self) -> None:
        super().__init__("this process does not lead")


class DatadogPort(Protocol):
    """Sends one request."""

    async def patch(self, request: PatchRequest, site: Site, keys: Keys) -> Answer | NoAnswer:
        """Send the request to the site's API. Never raises for anything that Datadog or the network does."""
        ...

    async def post_deployment(self, event: Restoration, site: Site, keys: Keys) -> Answer | NoAnswer:
        """Send a deployment event. Never raises for anything that Datadog or the network does."""
        ...


class ClusterPort(Protocol):
    """Reads and writes Kubernetes."""

    def watch_deployments(self, namespace: str | None, selector: str) -> AsyncIterator[Sighting]:
        """Iterate for ever over what happens to DoraDeployments. Survives every trouble of the API server."""
        ...

    async def write_status(self, key: ObjectKey, uid: str, status: Mapping[str, Any]) -> Mapping[str, Any]:
        """Write the whole status of exactly this object and return the object as stored.

        Raises:
            ObjectGoneError: no object with this uid exists.
            ClusterUnavailableError: try again.
        """
        ...

    async def read_secret(self, key: ObjectKey) -> SecretView:
        """Read a Secret; what is missing or wrong is part of the answer.

        Raises:
            ClusterUnavailableError: try again.
        """
        ...

    async def post_event(self, about: Subject, note: EventNote) -> None:
        """Create an Event; the same fact about the same object makes no second one.

        Raises:
            ClusterUnavailableError: it was not created.
        """
        ...

    async def list_replica_sets(self, namespace: str, labels: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        """List the ReplicaSets of Rollouts that have these labels.

        Raises:
            ClusterUnavailableError: try again.
        """
        ...

    async def list_events(self, about: Subject) -> Sequence[Mapping[str, Any]]:
        """List the Events about an object that still exist.

        Raises:
            ClusterUnavailableError: try again.
        """
        ...

    async def read_annotations(self, namespace: str) -> Mapping[str, str]:
        """Return the annotations of a Namespace.

        Raises:
            ClusterUnavailableError: try again.
        """
        ...

    async def apply_record(self, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
        """Create or change a DoraDeployment of the operator's own by server-side apply; return it as stored.

        Raises:
            NotOursError: a user has changed what the operator would change; nothing was written.
            ClusterUnavailableError: try again.
        """
        ...

    async def delete_record(self, key: ObjectKey, uid: str) -> None:
        """Delete exactly this DoraDeployment; one that is gone is no error.

        Raises:
            ClusterUnavailableError: try again.
        """
        ...

    def watch_rollouts(self, namespace: str | None, selector: str) -> AsyncIterator[Sighting]:
        """Iterate for ever over what happens to Rollouts. Survives every trouble of the API server."""
        ...
