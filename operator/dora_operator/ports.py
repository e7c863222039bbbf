"""The few doors through which `reconcile` acts, and the values that pass them.

Adapters implement these; nothing here acts.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from dora_operator.domain.notices import WarningEvent
from dora_operator.domain.outcome import Answer, NoAnswer
from dora_operator.domain.reasons import Reason
from dora_operator.domain.request import PatchRequest
from dora_operator.domain.sites import Site


class ObjectKey(NamedTuple):
    """Where an object lives."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


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


class ObjectGoneError(Exception):
    """The object was deleted, or replaced by another of the same name, before it could be written."""


class ClusterUnavailableError(Exception):
    """The API server did not take a request this time; it can be repeated. The message says why."""


class DatadogPort(Protocol):
    """Sends one request."""

    async def patch(self, request: PatchRequest, site: Site, keys: Keys) -> Answer | NoAnswer:
        """Send the request to the site's API. Never raises for anything that Datadog or the network does."""
        ...


class ClusterPort(Protocol):
    """Reads and writes Kubernetes."""

    def list_deployments(self, namespace: str | None) -> AsyncIterator[Mapping[str, Any]]:
        """Iterate over all DoraDeployments of a namespace, or of the cluster, page by page.

        Raises:
            ClusterUnavailableError: the list is not complete; begin anew.
        """
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

    async def post_warning(self, key: ObjectKey, uid: str, warning: WarningEvent) -> None:
        """Create a Warning Event about a DoraDeployment.

        Raises:
            ClusterUnavailableError: it was not created.
        """
        ...
