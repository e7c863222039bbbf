"""The operator's own list of all objects: the first state, and what a watch has missed.

It runs when kopf lists, so that it is never older than the start of kopf's watch, and every resync period. What the
periodic list finds, the watch should have reported: if it does not within two seconds, it misses events.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from dora_operator.clients.errors import KubernetesError
from dora_operator.clients.kubernetes import Kind, KubernetesClient
from dora_operator.domain.fields import ObjectKey
from dora_operator.store import is_newer
from dora_operator.watch.health import WatchHealth

OBJECTS_AT_ONCE = 50
"""The event loop gets its turn after as many objects of a list."""
LIST_SHARE = 5
"""Lists that follow each other closely take at most one fifth of the time."""


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

    def recovered(self) -> None:
        """Retry failed keys: the API server answers again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The times of a watch, in seconds."""

    resync: float = 600.0
    poll: float = 5.0
    """Between two requests to the discovery API."""
    first_list: float = 2.0
    """The first list starts after this time even if kopf does not list."""
    report: float = 2.0
    """The watch has this time to report what the list has found."""
    retry: float = 0.5
    """After the first failure of a list; doubles."""
    restart: float = 0.2
    """After the first end of kopf; doubles."""
    longest: float = 15.0
    """The longest pause after repeated failures."""
    unserved: float = 5.0
    """A kopf without a request for this time, and without a list before it, has not found the kind."""
    silent: float = 60.0
    """A kopf without a request for this time hangs."""


class Resync:
    """Lists all objects of one kind and compares them with what is stored."""

    def __init__(  # noqa: PLR0913 - the parts of a watch
        self,
        *,
        client: KubernetesClient,
        kind: Kind,
        namespace: str | None,
        selector: str,
        sink: Sink,
        health: WatchHealth,
        timing: Timing,
        restart: Callable[[str], None],
    ) -> None:
        self._client = client
        self._kind = kind
        self._namespace = namespace
        self._selector = selector
        self._sink = sink
        self._health = health
        self._timing = timing
        self._restart = restart
        self._requested = asyncio.Event()
        self.deleted: set[str] | None = None
        """Objects that the watch reported as deleted while a list runs. They must not come back."""
        self.unreported: set[ObjectKey] = set()
        """What a periodic list has found, and the watch has not reported yet."""

    def request(self) -> None:
        """List as soon as possible. A running list does not count: it may be older than the reason for this one."""
        self._requested.set()

    async def run(self) -> None:
        """List at the start, on request and periodically, for ever."""
        await self._is_requested_within(self._timing.first_list)
        while True:
            began = time.monotonic()
            await self._list_until_done()
            ended = time.monotonic()
            while not await self._is_requested_within(self._timing.resync * random.uniform(0.9, 1.1)):  # noqa: S311
                await self._check_watch()
            pause = min((ended - began) * (LIST_SHARE - 1), self._timing.longest)
            await asyncio.sleep(ended + pause - time.monotonic())

    async def _check_watch(self) -> None:
        """List, and restart the watch if it does not report what the list has found."""
        await self._list_until_done(self.unreported.add)
        if not self.unreported:
            return
        explained = await self._is_requested_within(self._timing.report)
        if self.unreported and not explained and not self._health.problem:
            self._restart(f"the list has found {len(self.unreported)} changes that the watch has not reported")
        self.unreported.clear()

    async def _is_requested_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._requested.wait()
        return self._requested.is_set()

    async def _list_until_done(self, found: Callable[[ObjectKey], None] = lambda _: None) -> None:
        pause = self._timing.retry
        while True:
            self._requested.clear()
            self.deleted = set()
            try:
                return await self._list(found, self.deleted)
            except KubernetesError as error:
                self._health.failed("list", str(error))
            finally:
                self.deleted = None
            await self._is_requested_within(pause * random.uniform(0.75, 1.25))  # noqa: S311 - jitter
            pause = min(2 * pause, self._timing.longest)

    async def _list(self, found: Callable[[ObjectKey], None], deleted: set[str]) -> None:
        """Store all objects and drop those that are gone; call `found` with the keys of what is new."""
        seen: set[str] = set()
        version = ""
        async for page in self._client.list_pages(self._kind, self._namespace, self._selector):
            self._health.answered()
            version = version or page.resource_version
            for number, body in enumerate(page.items, 1):
                metadata = body["metadata"]
                seen.add(metadata["uid"])
                if metadata["uid"] not in deleted and self._sink.observed(body, listed=True):
                    found(ObjectKey(metadata["namespace"], metadata["name"]))
                if number % OBJECTS_AT_ONCE == 0:
                    await asyncio.sleep(0)
        for key, (uid, stored) in self._sink.versions(self._namespace).items():
            if uid not in seen and not is_newer(stored, version):
                self._sink.deleted(key, uid)
                found(key)
        self._health.listed = True
        self._sink.listed(self._namespace, served=True)
        if self._health.works("list"):
            self._sink.recovered()
