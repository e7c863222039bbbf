"""What kopf does that the operator works around, shown on kopf alone.

Each test says what would be wanted. One that passes one day fails here (strict): then its workaround can go.
The reasons name the workaround. An error of another type than a failed assertion fails the test.
"""

import asyncio
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import kopf
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support.api_server import ApiServer, Resource
from tests.support.watching import eventually


def trap(reason: str) -> pytest.MarkDecorator:
    """Expect that an assertion fails."""
    return pytest.mark.xfail(strict=True, raises=AssertionError, reason=reason)


@dataclass
class Kopf:
    """One operator of kopf's in a thread of its own, with nothing of ours around it."""

    url: str
    plurals: tuple[str, ...] = ("apples",)
    stop_flag: Any = None
    settings: kopf.OperatorSettings = field(default_factory=kopf.OperatorSettings)
    beside: Callable[[], None] = lambda: None
    """Called in kopf's loop once it runs."""
    seen: list[str] = field(default_factory=list)
    ended: bool = False
    error: BaseException | None = None
    ended_after: float = 0.0
    loop: asyncio.AbstractEventLoop | None = None
    task: asyncio.Task[None] | None = None

    async def operate(self) -> None:
        """Run until the operator ends; the loop lives on for a moment, as ours would."""
        self.loop = asyncio.get_running_loop()
        self.settings.posting.enabled = False
        self.settings.scanning.disabled = True
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        async def login(**_: object) -> kopf.ConnectionInfo:
            return kopf.ConnectionInfo(server=self.url, token="a-token")

        @kopf.on.startup(registry=registry)
        async def startup(**_: object) -> None:
            self.beside()

        for plural in self.plurals:

            @kopf.on.event("example.com", "v1alpha1", plural, registry=registry)
            async def on_event(event: kopf.RawEvent, **_: object) -> None:
                self.seen.append(f"{event['type']} {event['object']['metadata']['name']}")

        operator = kopf.operator(
            registry=registry, settings=self.settings, standalone=True, clusterwide=True, stop_flag=self.stop_flag
        )
        self.task = asyncio.create_task(operator)
        try:
            await self.task
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - kept for the test
            self.error = error
        self.ended = True
        await asyncio.sleep(0.1)

    def cancel(self) -> None:
        """End it from outside."""
        if self.loop is not None and self.task is not None:
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self.task.cancel)


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    """Return an API server with two kinds."""
    resources = [Resource("example.com", plural, plural.title().removesuffix("s")) for plural in ("apples", "pears")]
    async with ApiServer(*resources).open() as opened:
        yield opened


@asynccontextmanager
async def running(operator: Kopf, server: ApiServer) -> AsyncIterator[Kopf]:
    """Run an operator, from when it watches."""
    thread = threading.Thread(target=lambda: asyncio.run(operator.operate()), daemon=True)
    thread.start()
    try:
        await eventually(lambda: all(server.watches(plural) for plural in operator.plurals))
        yield operator
    finally:
        operator.cancel()
        await eventually(lambda: not thread.is_alive())


async def test_x(server: ApiServer) -> None:
    operator = Kopf(server.url, plurals=("apples", "pears"))
    async with running(operator, server):
        t = time.monotonic()
        server.send_error(500, "apples")
        for n in range(80):
            await asyncio.sleep(0.1)
            if n % 10 == 0:
                server.apply("pears", f"p{n}")
                print(time.monotonic() - t, operator.ended, operator.error, operator.seen, server.watches("pears"), server.watches("apples"))
            if operator.ended: break
        print(time.monotonic() - t, operator.ended, repr(operator.error))
        operator.cancel()
        await asyncio.sleep(3)
        print(operator.ended)
