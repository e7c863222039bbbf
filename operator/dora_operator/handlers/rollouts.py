"""kopf's handler for Argo Rollouts: hands each event on, and does nothing else.

It returns nothing and writes nothing: the objects belong to Argo, and kopf never retries this handler.
"""

from typing import Any

import kopf

from dora_operator.clients.kubernetes import ROLLOUTS
from dora_operator.handlers.deployments import Receive


def register(registry: kopf.OperatorRegistry, receive: Receive) -> None:
    """Register the handler. It passes on kopf's event type (ADDED, MODIFIED, DELETED, None: listed) and the object."""

    @kopf.on.event(ROLLOUTS.group, ROLLOUTS.version, ROLLOUTS.plural, registry=registry)
    async def rollout_event(event: kopf.RawEvent, **_: Any) -> None:
        receive(event["type"], event["object"])
