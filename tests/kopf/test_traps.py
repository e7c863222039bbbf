"""What kopf does that the operator works around, shown on kopf alone.

Each test says what would be wanted. One whose assertions hold one day fails: then its workaround can go. An error of
another type than a failed assertion fails the test.
"""

import asyncio
import gc
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import wraps
from typing import ParamSpec

import aiohttp
import kopf
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support.api_server import ApiServer, Resource
from tests.support.watching import eventually

P = ParamSpec("P")


def trap(workaround: str) -> Callable[[Callable[P, Awaitable[None]]], Callable[P, Awaitable[None]]]:
    """Expect that an assertion fails. Unlike xfail, it names the workaround that can go when none fails."""

    def decorate(test: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
        @wraps(test)
        async def expect_failure(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                await test(*args, **kwargs)
            except AssertionError:
                return
            pytest.fail(f"kopf does this by itself now. Remove the workaround: {workaround}")

        return expect_failure

    return decorate


@dataclass
class Kopf:
    """One operator of kopf's in a thread of its own, with nothing of ours around it."""

    url: str
    plurals: tuple[str, ...] = ("apples",)
    stop_flag: threading.Event | None = None
    has_others: bool = False
    """Another task runs in the loop."""
    settings: kopf.OperatorSettings = field(default_factory=kopf.OperatorSettings)
    seen: list[str] = field(default_factory=list)
    ended: bool = False
    others: list[asyncio.Task[None]] = field(default_factory=list)
    others_cancelled: bool = False
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
            if self.has_others:
                self.others.append(asyncio.create_task(asyncio.sleep(3600)))

        for plural in self.plurals:

            @kopf.on.event("example.com", "v1alpha1", plural, registry=registry)
            async def on_event(event: kopf.RawEvent, **_: object) -> None:
                self.seen.append(f"{event['type']} {event['object']['metadata']['name']}")

        operator = kopf.operator(
            registry=registry, settings=self.settings, standalone=True, clusterwide=True, stop_flag=self.stop_flag
        )
        self.task = asyncio.create_task(operator)
        await asyncio.wait({self.task})
        if not self.task.cancelled():
            self.task.exception()  # taken note of
        self.others_cancelled = any(task.cancelled() for task in self.others)
        self.ended = True
        await asyncio.sleep(0.05)

    def cancel(self) -> None:
        """End it from outside."""
        if self.loop is not None and self.task is not None:
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self.task.cancel)


def resources() -> list[Resource]:
    """Return two kinds."""
    return [Resource("example.com", plural, plural.title().removesuffix("s")) for plural in ("apples", "pears")]


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    """Return an API server with two kinds."""
    async with ApiServer(*resources()).open() as opened:
        yield opened


@asynccontextmanager
async def running(operator: Kopf, server: ApiServer, *, can_hang: bool = False) -> AsyncIterator[Kopf]:
    """Run an operator, from when it watches. With `can_hang` its thread may outlive the test."""
    thread = threading.Thread(target=lambda: asyncio.run(operator.operate()), daemon=True)
    thread.start()
    try:
        await eventually(lambda: all(server.watches(plural) for plural in operator.plurals))
        yield operator
    finally:
        operator.cancel()
        with suppress(TimeoutError) if can_hang else nullcontext():
            await eventually(lambda: not thread.is_alive(), seconds=1 if can_hang else 10)
        # kopf leaves tasks with an exception that nothing read; asyncio logs them when collected. Before CPython 3.11.8
        # that fails whatever parses source at that moment, as pytest does: https://github.com/python/cpython/issues/106905
        gc.collect()


async def goes_on(operator: Kopf, server: ApiServer) -> bool:
    """Change something; return whether the operator sees it before it ends."""
    server.apply("apples", "news")
    await eventually(lambda: operator.ended or "ADDED news" in operator.seen or "None news" in operator.seen)
    return not operator.ended


# What ends kopf


@trap("watch/watch.py starts kopf again")
async def test_an_error_in_the_stream(server: ApiServer) -> None:
    """Any error but 410, a timeout of etcd for example, should lead to a new watch."""
    async with running(Kopf(server.url), server) as operator:
        server.send_error(500)
        assert await goes_on(operator, server)


@trap("watch/watch.py starts kopf again")
async def test_a_watch_that_is_answered_with_410(server: ApiServer) -> None:
    """As an error 410 in the stream, it should lead to a new list."""
    async with running(Kopf(server.url), server) as operator:
        with server.refusing(410, "watch", times=1):
            server.cut()
            assert await goes_on(operator, server)


@trap("watch/watch.py reads the login and starts kopf again")
async def test_one_401(server: ApiServer) -> None:
    """Credentials may be refused for a moment: it should be tried again."""
    async with running(Kopf(server.url), server) as operator:
        with server.refusing(401, "watch", times=1):
            server.cut()
            assert await goes_on(operator, server)


# What kopf does not report


@trap("watch/watch.py lists after kopf lists, and drops what is gone")
async def test_deleted_while_nobody_watched(server: ApiServer) -> None:
    """What is missing in a new list should be reported as deleted."""
    server.apply("apples", "gone")
    async with running(Kopf(server.url), server) as operator:
        server.withholds = True
        server.delete("apples", "gone")
        server.compact()
        server.withholds = False
        server.send_error(410)
        assert await goes_on(operator, server)
        assert "DELETED gone" in operator.seen


@trap("clients/kubernetes.py posts Events")
def test_an_event_from_outside_of_a_handler() -> None:
    """Workers should be able to post Events."""
    body = {"metadata": {"namespace": "shop", "name": "a", "uid": "1"}}
    try:
        kopf.event(body, type="Normal", reason="Marked")  # type: ignore[arg-type]
    except LookupError as error:
        problem = repr(error)
    else:
        problem = ""
    assert not problem


# How kopf ends


@trap("watch/kopf_run.py sets ultimate_exiting_timeout to None")
async def test_the_process_lives_on(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator that ends after an error should kill nobody later (by default after ten minutes)."""
    killed: list[object] = []
    monkeypatch.setattr(signal, "pthread_kill", lambda *arguments: killed.append(arguments))
    operator = Kopf(server.url)
    operator.settings.process.ultimate_exiting_timeout = 0
    async with running(operator, server):
        server.send_error(500)
        await eventually(lambda: operator.ended)
    assert not killed


@dataclass
class SlowEnds:
    """What was seen of operators that take 5 s to end."""

    cancels_others: bool
    flagged_ends: bool
    double_ends: bool


@pytest.fixture(scope="module")
def slow_ends() -> SlowEnds:
    """Let three operators end at the same time."""
    return asyncio.run(see_slow_ends())


async def see_slow_ends() -> SlowEnds:
    """Let three operators end at the same time."""
    servers = [ApiServer(*resources()) for _ in range(3)]
    async with AsyncExitStack() as stack:
        for each in servers:
            await stack.enter_async_context(each.open())
        stopped, failed = threading.Event(), threading.Event()
        shared = Kopf(servers[0].url, stop_flag=stopped, has_others=True)
        flagged = Kopf(servers[1].url, stop_flag=failed)
        double = Kopf(servers[2].url, ("apples", "pears"))
        for operator, server in zip((shared, flagged, double), servers, strict=True):
            await stack.enter_async_context(running(operator, server, can_hang=operator is double))
        stack.enter_context(servers[2].refusing(500, "watch"))
        servers[2].cut("pears")
        await eventually(lambda: servers[2].asked["watch"] > 2)
        stopped.set()
        servers[1].send_error(500)
        servers[2].send_error(500, "apples")
        with suppress(TimeoutError):
            await eventually(lambda: flagged.ended and double.ended, seconds=2)
        in_time = flagged.ended, double.ended
        await eventually(lambda: shared.ended and flagged.ended)
        failed.set()  # a thread waits for it, without an end
        return SlowEnds(shared.others_cancelled, *in_time)


@trap("watch/kopf_run.py runs kopf in a loop of its own")
def test_tasks_of_ours(slow_ends: SlowEnds) -> None:
    """Only its own tasks should be cancelled by kopf."""
    assert not slow_ends.cancels_others


@trap("watch/kopf_run.py cancels kopf, and sets no stop flag")
def test_a_stop_flag_that_is_not_set(slow_ends: SlowEnds) -> None:
    """It should not wait 5 s for its own task that waits for the flag."""
    assert slow_ends.flagged_ends


@trap("watch/watch.py runs one kopf for each kind")
def test_two_kinds_in_one_operator(slow_ends: SlowEnds) -> None:
    """After an error in one watch it should end, not leave the other one running for 5 s, sometimes for ever."""
    assert slow_ends.double_ends


# What the operator relies on


async def test_kopf_again_and_again(server: ApiServer) -> None:
    """A new operator in a new thread leaves nothing behind."""
    threads = threading.active_count()
    for number in range(5):
        async with running(Kopf(server.url), server) as operator:
            server.apply("apples", f"a{number}")
            await eventually(lambda: operator.seen)
        await eventually(lambda: not server.watches("apples"))
    assert threading.active_count() <= threads


async def test_a_middleware_may_change_the_url() -> None:
    """No promise of aiohttp. If it stops working, kopf's first list has items again: right, but slow."""

    async def echo(request: web.Request) -> web.Response:
        return web.json_response(dict(request.query))

    async def add(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        request.url = request.url.update_query({"added": "yes"})
        return await handler(request)

    app = web.Application()
    app.router.add_get("/", echo)
    async with (
        TestServer(app) as opened,
        aiohttp.ClientSession(middlewares=[add]) as session,
        session.get(opened.make_url("/?limit=5")) as response,
    ):
        assert await response.json() == {"limit": "5", "added": "yes"}
