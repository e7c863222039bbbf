"""kopf's handler for DoraDeployments: hands each event on, and does nothing else.

It returns nothing and writes nothing: kopf would store a returned value in the object, and never retries this handler.
"""

from collections.abc import Callable, Mapping
from typing import Any

import kopf

from dora_operator.domain.fields import GROUP, PLURAL, VERSION

Receive = Callable[[str | None, Mapping[str, Any]], None]


def register(registry: kopf.OperatorRegistry, receive: Receive) -> None:
    """Register the handler. It passes on kopf's event type (ADDED, MODIFIED, DELETED, None: listed) and the object."""

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def deployment_event(event: kopf.RawEvent, **_: Any) -> None:
        receive(event["type"], event["object"])
