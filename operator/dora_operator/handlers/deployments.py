"""Watches DoraDeployments and says which key to look at. No calls, no decisions, no return values."""

from typing import Any

import kopf

from dora_operator.domain.spec import GROUP, PLURAL, VERSION
from dora_operator.handlers.engine import Engine


def register(registry: kopf.OperatorRegistry, engine: Engine) -> None:
    """Add the handlers to kopf's registry."""

    # kopf would write a returned value into the object's status, and never repeats a handler that raised.
    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def seen(event: kopf.RawEvent, **_: Any) -> None:
        engine.seen(event["type"], event["object"])
