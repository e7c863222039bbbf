"""kopf's handler for Argo Rollouts. It writes nothing: the objects belong to Argo."""

from collections.abc import Callable, Mapping
from typing import Any

import kopf

from dora_operator.clients.kubernetes import ROLLOUTS


def register(registry: kopf.OperatorRegistry, receive: Callable[[str | None, Mapping[str, Any]], None]) -> None:
    """Pass on the type (ADDED, MODIFIED, DELETED, None: listed by kopf) and the object of each event."""

    @kopf.on.event(ROLLOUTS.group, ROLLOUTS.version, ROLLOUTS.plural, registry=registry)
    async def rollout_event(event: kopf.RawEvent, **_: Any) -> None:
        receive(event["type"], event["object"])
