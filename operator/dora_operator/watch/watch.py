"""The loop of one kind: see whether it is installed, run kopf, list all objects, and begin again when kopf ends.

kopf's watch ends at errors that an API server makes now and then, can hang, and says nothing about objects that were
deleted while it was away (tests/kopf shows each). So every run of kopf comes with one whole list, which begins after
kopf has listed: it is never older than the start of kopf's watch. A run lasts until kopf ends, lists again, is silent,
or a new list is due; what an old run has missed is found by the list of the next one.
"""

import asyncio
import logging
import random
import time
from collections.abc import Iterable, Mapping
from contextlib import aclosing, suppress
from typing import Any, Protocol

from dora_operator.clients.errors import ForbiddenError, KubernetesError, NotFoundError, UnauthorizedError
from dora_operator.clients.kubernetes import KubernetesClient
from dora_operator.clients.login import Login
from dora_operator.domain.fields import ObjectKey
from dora_operator.metrics import Metrics
from dora_operator.store import is_newer
from dora_operator.watch.health import MAX_HANGING, WatchHealth
from dora_operator.watch.kopf_run import KopfRun, Scope

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 0.2
"""After the first failure; doubles."""
MAX_PAUSE_SECONDS = 5.0
LIST_SECONDS = 2.0
"""The operator's list starts after this time even if kopf does not list."""
STABLE_SECONDS = 30.0
"""After a run of this time, the next pause is the shortest again."""
MISS_SECONDS = 1.0
"""The pause after a 404. Two in a row mean that a kind was removed: an API server that starts may not know it yet."""
SKIP_SECONDS = 10.0
"""The other namespaces do not wait longer for one that is refused."""
REFRESH_SECONDS = 10.0
STOP_SECONDS = 1.0
"""At the end, kopf's thread is waited for no longer than this."""
WORK_SECONDS = 0.002
"""Objects of a list are stored for this time, then the event loop and kopf's thread have as long."""


class Sink(Protocol):
    """Receives the objects of a watch, in the main loop."""

    def observed(self, body: Mapping[str, Any], *, listed: bool) -> bool:
        """Store a version of an object. Return whether it is new."""
        ...

    def deleted(self, key: ObjectKey, uid: str) -> None:
        """Drop an object, unless another one of the same name has replaced it."""

    def versions(self, namespace: str | None) -> Mapping[ObjectKey, tuple[str, str]]:
        """Return uid and resourceVersion of every stored object."""
        ...

    def listed(self, namespace: str | None, *, served: bool) -> None:
        """Note that a whole list is stored; not served: the kind is not installed."""

    def skipped(self, namespace: str) -> None:
        """Go on without a namespace that cannot be listed."""

    def recovered(self) -> None:
        """Retry failed keys: the API server answers again."""


class Watch:
    """Keeps a sink up to date with all objects of one kind, in one namespace or in the whole cluster."""

    def __init__(
        self, scope: Scope, client: KubernetesClient, login: Login, sink: Sink, metrics: Metrics, resync_seconds: float
    ) -> None:
        self.scope = scope
        what = scope.kind.name + (f" in {scope.namespace}" if scope.namespace is not None else "")
        self.health = WatchHealth(what, time.monotonic, scope.may_be_absent)
        self._client, self._login, self._sink, self._metrics = client, login, sink, metrics
        self._resync_seconds = resync_seconds
        self._listing = asyncio.Lock()
        self._deleted: set[str] = set()
        """Objects that kopf reported as deleted since the current list began. They must not come back."""
        self._missed = False
        """The last answer was a 404."""
        self._refused_at: float | None = None
        """Since when the namespace cannot be listed."""
        self._runs: list[KopfRun] = []
        """Runs of kopf whose threads have not ended."""

    async def run(self) -> None:
        """Watch until cancelled; then no object reaches the sink any more."""
        pause = PAUSE_SECONDS
        try:
            while True:
                began = time.monotonic()
                try:
                    await self._watch_once()
                except KubernetesError as error:
                    pause = max(pause, await self._failed(error))
                pause = min(pause, MAX_PAUSE_SECONDS) if time.monotonic() - began < STABLE_SECONDS else PAUSE_SECONDS
                await _sleep(pause)
                pause *= 2
        finally:
            for run in self._runs:
                await asyncio.to_thread(run.thread.join, STOP_SECONDS)

    async def refresh(self) -> None:
        """List now, beside what `run` does, and return when that list is stored, or after a limit of time."""
        with suppress(TimeoutError, KubernetesError):
            async with asyncio.timeout(REFRESH_SECONDS):
                await self._list_until_stored()

    async def _watch_once(self) -> None:
        """Run kopf until it has to be replaced, with one whole list.

        Raises:
            KubernetesError: the objects cannot be listed.
        """
        await self._client.check(self.scope.kind, self.scope.namespace)
        self._missed, self._refused_at = False, None
        self.health.installed(installed=True)
        run = self._start_kopf()
        try:
            await _happens(run.ready, LIST_SECONDS)
            run.own_list_began = True
            await self._list_until_stored(run)
            due = time.monotonic() + self._resync_seconds * random.uniform(0.9, 1.1)  # noqa: S311 - jitter
            while not run.ended.is_set() and (left := due - time.monotonic()) > 0:
                if run.is_silent():
                    run.end("kopf sends no requests")
                await _happens(run.ended, min(left, 1.0))
        finally:
            run.give_up()
        if run.failure:
            self.health.failed("kopf", run.failure)
            self._metrics.watch_restarts.labels(self.scope.kind.name).inc()

    def _start_kopf(self) -> KopfRun:
        self._runs = [run for run in self._runs if run.thread.is_alive()]
        self.health.hanging = len(self._runs)
        run = KopfRun(self.scope, self._login, self._metrics, self._received, self._kopf_was_answered)
        if self.health.hanging <= MAX_HANGING:  # else the process is about to be replaced
            run.thread.start()
            self._runs.append(run)
        return run

    async def _list_until_stored(self, run: KopfRun | None = None) -> None:
        """List until that succeeds, or this run of kopf is over.

        Raises:
            NotFoundError, ForbiddenError, UnauthorizedError: the next try would not be better.
        """
        pause = PAUSE_SECONDS
        while run is None or not run.ended.is_set():
            try:
                await self._list()
            except (NotFoundError, ForbiddenError, UnauthorizedError):
                raise
            except KubernetesError as error:
                self.health.failed("list", str(error))
            else:
                return
            await _sleep(pause)
            pause = min(2 * pause, MAX_PAUSE_SECONDS)

    async def _list(self) -> None:
        """Store all objects, and drop those that are gone."""
        async with self._listing:
            self._deleted.clear()
            stored = self._sink.versions(self.scope.namespace)
            listed: set[str] = set()
            version = ""
            async with aclosing(
                self._client.list_pages(self.scope.kind, self.scope.namespace, self.scope.selector)
            ) as pages:
                async for page in pages:
                    self.health.answered()
                    version = version or page.resource_version
                    listed.update(uid for uid, _ in page.versions.values())
                    if not page.versions.items() <= stored.items():
                        await self._store(page.items)
            for key, (uid, stored_version) in stored.items():
                if uid not in listed and not is_newer(stored_version, version):
                    self._sink.deleted(key, uid)
        self.health.listed = True
        self._skip(skipped=False)
        self._sink.listed(self.scope.namespace, served=True)
        if self.health.works("list"):
            self._sink.recovered()

    async def _store(self, bodies: Iterable[Mapping[str, Any]]) -> None:
        """Store objects. After some time of work, let the event loop and kopf's thread work too."""
        pause = WORK_SECONDS if self.health.listed else 0.0  # at the start, nothing else can be done anyway
        began = time.monotonic()
        for body in bodies:
            if body["metadata"]["uid"] not in self._deleted:
                self._sink.observed(body, listed=True)
            if time.monotonic() - began > WORK_SECONDS:
                await asyncio.sleep(pause)
                began = time.monotonic()

    # When the objects cannot be listed

    async def _failed(self, error: KubernetesError) -> float:
        """Note the problem. Return the shortest pause before the next try."""
        self.health.answered()
        if isinstance(error, ForbiddenError | NotFoundError):
            self._refused_at = self._refused_at or time.monotonic()
            if not self.health.listed and time.monotonic() - self._refused_at > SKIP_SECONDS:
                self._skip(skipped=True)
        if isinstance(error, NotFoundError):
            if self._missed or not self.health.listed:
                self._forget()
            self._missed = True
            return MISS_SECONDS
        self.health.failed("list", str(error))
        if isinstance(error, UnauthorizedError):
            await self._login.renew()
        return 0.0

    def _skip(self, *, skipped: bool) -> None:
        """Let the other namespaces go on without this one, or with it again."""
        if self.scope.namespace is None or self.health.skipped == skipped:
            return
        self.health.skipped = skipped
        self._metrics.watch_skipped_namespaces.labels(self.scope.kind.name).inc(1 if skipped else -1)
        if skipped:
            logger.warning("%s cannot be listed; the other namespaces do not wait for them", self.health.what)
            self._sink.skipped(self.scope.namespace)

    def _forget(self) -> None:
        """Drop all objects: the kind is not installed."""
        if self.health.absent:
            return
        self.health.installed(installed=False)
        for key, (uid, _) in self._sink.versions(self.scope.namespace).items():
            self._sink.deleted(key, uid)
        self._sink.listed(self.scope.namespace, served=False)

    # What kopf reports

    def _received(self, event_type: str | None, body: Mapping[str, Any]) -> None:
        self.health.answered()
        metadata = body["metadata"]
        if event_type != "DELETED":
            self._sink.observed(body, listed=event_type is None)
            return
        if self._listing.locked():
            self._deleted.add(metadata["uid"])
        self._sink.deleted(ObjectKey(metadata["namespace"], metadata["name"]), metadata["uid"])

    def _kopf_was_answered(self, problem: str, is_watching: bool) -> None:  # noqa: FBT001 - of one caller
        self.health.answered()
        if problem:
            self.health.failed("kopf", problem)
        elif is_watching and self.health.works("kopf"):
            self._sink.recovered()


async def _sleep(seconds: float) -> None:
    await asyncio.sleep(seconds * random.uniform(0.75, 1.25))  # noqa: S311 - jitter


async def _happens(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
