"""kopf's handler for DoraDeployments. It returns nothing, because kopf would store that in the object."""

from collections.abc import Callable, Mapping
from typing import Any

import kopf

from dora_operator.domain.fields import GROUP, PLURAL, VERSION


def register(registry: kopf.OperatorRegistry, receive: Callable[[str | None, Mapping[str, Any]], None]) -> None:
    """Pass on the type (ADDED, MODIFIED, DELETED, None: listed by kopf) and the object of each event."""

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def deployment_event(event: kopf.RawEvent, **_: Any) -> None:
        receive(event["type"], event["object"])
