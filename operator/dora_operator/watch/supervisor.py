"""A watch of one kind: kopf in a thread of its own, started again whenever it ends, and the list beside it.

kopf's watch ends at errors that an API server makes now and then, can hang, and says nothing about objects that were
deleted while it was away. Each part of this module answers one of these; tests/kopf shows them one by one.
"""

import asyncio
import concurrent.futures
import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Any

import kopf

from dora_operator.clients.errors import KubernetesError
from dora_operator.clients.kubernetes import Kind, KubernetesClient
from dora_operator.domain.fields import ObjectKey
from dora_operator.metrics import Metrics
from dora_operator.watch.discovery import Discovery
from dora_operator.watch.health import WatchHealth
from dora_operator.watch.resync import Resync, Sink, Timing

IDENTITY: Any = "dora-operator"
"""kopf would make one of the user's and the host's name. Only its peering needs it, which is off."""
STOP_SECONDS = 1.0
"""At the end of the process, kopf's thread is waited for no longer than this."""
STABLE_SECONDS = 30.0
"""A kopf that ran for this long was good: the next pause is the shortest again."""
MISSES = 2
"""Answers in a row after which a kind counts as removed: an API server that starts may not know its kinds yet."""

Receive = Callable[[str | None, Mapping[str, Any]], None]
"""Takes the type and the object of an event. The type is None in kopf's own list."""


@dataclass(frozen=True, slots=True)
class KopfParts:
    """What one run of kopf is made of."""

    register: Callable[[kopf.OperatorRegistry, Receive], None]
    """Registers the event handler."""
    login: Callable[[kopf.OperatorRegistry, Kind, "KopfRun"], AbstractAsyncContextManager[None]]
    """Registers the login; the KopfRun observes its requests."""
    settings: Callable[[str], kopf.OperatorSettings]
    """Takes the label selector."""


class KopfRun:
    """One run of kopf in a daemon thread with a loop of its own: in the main loop it would cancel our tasks at its end.

    The methods that are named `on_...` and `receive` are called in the thread, and pass the call to the main loop.
    """

    def __init__(self, watch: "Watch", parts: KopfParts) -> None:
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Why kopf has ended, or must be replaced."""
        self.finished = asyncio.Event()
        """The thread is over."""
        self.lists = False
        """kopf has found the kind and listed it."""
        self.requests = 0
        """Requests without an answer yet."""
        self.answered_at = time.monotonic()
        self._watch = watch
        self._parts = parts
        self._main_loop = asyncio.get_running_loop()
        self._given_up = False
        # Not an asyncio.Event, because kopf's loop may not exist yet or any more when it is set.
        self._stop_flag: concurrent.futures.Future[None] = concurrent.futures.Future()
        threading.Thread(target=self._thread, name=f"kopf {watch.health.what}", daemon=True).start()

    def replace(self, reason: str) -> None:
        """Let the supervisor start another kopf."""
        if not self.ended.done():
            self.ended.set_result(reason)

    def give_up(self) -> None:
        """Stop kopf without waiting for it, and ignore what it still says."""
        self._given_up = True
        self._free_waiter()

    def receive(self, event_type: str | None, body: Mapping[str, Any]) -> None:
        """Take an event."""
        self._in_main_loop(self._watch.received, self, event_type, body)

    def on_request(self) -> None:
        """Count a request."""
        self._in_main_loop(self._watch.request_sent, self)

    def on_answer(self, problem: str) -> None:
        """Count an answer, or a failure."""
        self._in_main_loop(self._watch.request_answered, self, problem)

    def on_list(self) -> None:
        """List beside kopf."""
        self._in_main_loop(self._watch.kopf_lists, self)

    def on_watch(self) -> None:
        """Note that the watch works."""
        self._in_main_loop(self._watch.kopf_watches)

    def _in_main_loop(self, function: Callable[..., None], *arguments: object) -> None:
        def call() -> None:
            if not self._given_up:
                function(*arguments)

        with suppress(RuntimeError):  # the loop is closed: the process ends
            self._main_loop.call_soon_threadsafe(call)

    def _thread(self) -> None:
        reason = "kopf has ended"
        try:
            asyncio.run(self._operate())
        except BaseException as error:  # noqa: BLE001 - of whatever kind it is, kopf is started again
            reason = f"kopf has ended: {_words(error)}"
        with suppress(RuntimeError):
            self._main_loop.call_soon_threadsafe(self.replace, reason)
            self._main_loop.call_soon_threadsafe(self.finished.set)

    async def _operate(self) -> None:
        registry = kopf.OperatorRegistry()
        self._parts.register(registry, self.receive)

        @kopf.on.cleanup(registry=registry)
        async def free_waiter(**_: object) -> None:
            self._free_waiter()  # else kopf waits 5 s for its own task that waits for the flag

        try:
            async with self._parts.login(registry, self._watch.kind, self):
                await kopf.operator(
                    registry=registry,
                    settings=self._parts.settings(self._watch.selector),
                    identity=IDENTITY,
                    standalone=True,
                    clusterwide=self._watch.namespace is None,
                    namespaces=[] if self._watch.namespace is None else [self._watch.namespace],
                    stop_flag=self._stop_flag,
                )
        finally:
            self._free_waiter()

    def _free_waiter(self) -> None:
        with suppress(concurrent.futures.InvalidStateError):
            self._stop_flag.set_result(None)


class Watch:
    """Keeps a sink up to date with all objects of one kind, in one namespace or in the whole cluster."""

    def __init__(  # noqa: PLR0913 - the composition root names them
        self,
        *,
        client: KubernetesClient,
        discovery: Discovery,
        namespace: str | None,
        sink: Sink,
        parts: KopfParts,
        metrics: Metrics,
        selector: str = "",
        may_be_absent: bool = False,
        timing: Timing | None = None,
    ) -> None:
        self.kind = discovery.kind
        self.namespace = namespace
        self.selector = selector
        what = self.kind.name + (f" in {namespace}" if namespace is not None else "")
        self.health = WatchHealth(what, time.monotonic, may_be_absent)
        self._discovery = discovery
        self._sink = sink
        self._parts = parts
        self._restarts = metrics.watch_restarts.labels(self.kind.name)
        self._timing = timing or Timing()
        self._resync = Resync(
            client=client,
            kind=self.kind,
            namespace=namespace,
            selector=selector,
            sink=sink,
            health=self.health,
            timing=self._timing,
            restart=self._restart,
        )
        self._kopf: KopfRun | None = None
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Watch until `stop`."""
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(self._watch())
            await self._stopped.wait()
            work.cancel()

    async def stop(self) -> None:
        """Stop watching: no object reaches the sink any more. Wait a short time for kopf's thread."""
        self._stopped.set()
        if self._kopf is not None:
            self._kopf.give_up()
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._kopf.finished.wait()

    async def _watch(self) -> None:
        while True:
            await self._until_installed()
            async with asyncio.TaskGroup() as tasks:
                parts = [tasks.create_task(self._resync.run()), tasks.create_task(self._keep_kopf_running())]
                await self._until_removed()
                for part in parts:
                    part.cancel()
            self._forget()

    async def _until_installed(self) -> None:
        pause = self._timing.retry
        while True:
            try:
                served = await self._discovery.is_served(max_age=self._timing.poll / 2)
            except KubernetesError as error:
                self.health.failed("discovery", str(error))
                await asyncio.sleep(pause)
                pause = min(2 * pause, self._timing.poll)
                continue
            self.health.works("discovery")
            if served:
                self.health.installed(installed=True)
                return
            if not self.health.absent:
                self.health.installed(installed=False)
                self._sink.listed(self.namespace, served=False)
            await asyncio.sleep(self._timing.poll)

    async def _until_removed(self) -> None:
        misses = 0
        while misses < MISSES:
            await asyncio.sleep(min(1.0, self._timing.poll) if misses else self._timing.poll)
            misses = misses + 1 if await self._is_removed() else 0

    async def _is_removed(self) -> bool:
        try:
            return not await self._discovery.is_served(max_age=self._timing.restart)
        except KubernetesError:
            return False

    def _forget(self) -> None:
        self.health.installed(installed=False)
        for key, (uid, _) in list(self._sink.versions(self.namespace).items()):
            self._sink.deleted(key, uid)
        self._sink.listed(self.namespace, served=False)

    async def _keep_kopf_running(self) -> None:
        pause = self._timing.restart
        while True:
            began = time.monotonic()
            if await self._is_removed():  # for a moment, or for long: kopf would find nothing and wait for ever
                self.health.failed("kopf", "the kind is not installed")
            else:
                self.health.failed("kopf", await self._run_kopf())
                self._restarts.inc()
            if time.monotonic() - began > STABLE_SECONDS:
                pause = self._timing.restart
            await asyncio.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311 - jitter
            pause = min(2 * pause, self._timing.longest)

    async def _run_kopf(self) -> str:
        """Run kopf until it ends or must be replaced, and return the reason."""
        run = self._kopf = KopfRun(self, self._parts)
        try:
            while not run.ended.done():
                found_kind = run.lists or run.requests > 0
                silent = time.monotonic() - run.answered_at
                if silent > (self._timing.silent if found_kind else self._timing.unserved):
                    return "kopf sends no requests"
                await asyncio.wait({run.ended}, timeout=min(self._timing.unserved, self._timing.silent))
            return run.ended.result()
        finally:
            run.give_up()

    def _restart(self, reason: str) -> None:
        if self._kopf is not None:
            self._kopf.replace(reason)

    # What a run of kopf reports, in the main loop

    def received(self, run: KopfRun, event_type: str | None, body: Mapping[str, Any]) -> None:
        """Pass an event on to the sink."""
        run.answered_at = self.health.answered_at = time.monotonic()
        metadata = body["metadata"]
        key, uid = ObjectKey(metadata["namespace"], metadata["name"]), metadata["uid"]
        self._resync.unreported.discard(key)
        if event_type == "DELETED":
            if self._resync.deleted is not None:
                self._resync.deleted.add(uid)
            self._sink.deleted(key, uid)
        else:
            self._sink.observed(body, listed=event_type is None)

    def request_sent(self, run: KopfRun) -> None:
        """Note a request of kopf."""
        self._note_answer(run)
        run.requests += 1

    def request_answered(self, run: KopfRun, problem: str) -> None:
        """Note an answer to kopf, or a failure."""
        self._note_answer(run)
        run.requests -= 1
        if problem:
            self.health.failed("kopf", problem)

    def kopf_lists(self, run: KopfRun) -> None:
        """List too: kopf's watch starts here, and what happened before it started is known from lists only."""
        run.lists = True
        self._resync.request()

    def kopf_watches(self) -> None:
        """Note that the watch works."""
        if self.health.works("kopf"):
            self._sink.recovered()

    def _note_answer(self, run: KopfRun) -> None:
        self.health.answered()
        run.answered_at = self.health.answered_at


def _words(error: BaseException) -> str:
    message = str(error.args[0]) if error.args else ""
    cause = f" ({_words(error.__cause__)})" if error.__cause__ is not None else ""
    return f"{type(error).__name__}: {message[:200]}{cause}"
