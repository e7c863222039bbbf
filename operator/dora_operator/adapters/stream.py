"""One list of a kind and the watch that goes on from it. Raises where the API server fails: `watching` goes on then.

The watch begins with the first page of the list, from its version: what changes while ten thousand are listed is seen
at once, not when the last page has come.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from dora_operator.adapters.ahead import Ahead
from dora_operator.adapters.kubernetes_api import KubernetesApi
from dora_operator.domain.object_key import ObjectKey
from dora_operator.ports import ClusterUnavailableError
from dora_operator.sightings import Found, Gone, Listed, Quiet, Seen, Sighting

PAGE = "250"
SHORT_SECONDS = 10.0
"""A watch that ends sooner than this, and has said nothing, is trouble."""
BREATH = 50
"""Objects of a page after which others have their turn."""
WAITING_EVENTS = 1000
"""How many events may wait while a page of the list is read."""

Body = Mapping[str, Any]


class PlaceLostError(ClusterUnavailableError):
    """The API server cannot go on from where the watch was: list again."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What is watched."""

    kind: str
    """The kind's name in the plural, for people."""
    path: str
    selector: str = ""
    slim: Callable[[Body], Body] = lambda body: body
    """Drops what nobody reads."""
    relist_seconds: float = inf
    """How often everything is listed anew, in case a watch has lost something without a word."""
    may_be_absent: bool = False
    """Whether it is another product's kind, which is installed later or never."""


@dataclass(slots=True)
class Stream:
    """The place that a watch has come to."""

    api: KubernetesApi
    watched: Watched
    version: str = ""
    """What was seen last; empty: nothing, a list comes first."""
    listed_at: float = 0.0

    async def go_on(self) -> AsyncIterator[Sighting]:
        """List where that is needed, and bring what changes until the API server ends it."""
        now = asyncio.get_running_loop().time()
        if self.version and now - self.listed_at < self.watched.relist_seconds:
            async for sighting in self._changes():
                yield sighting
            return
        page = await self._page("")
        self.version, self.listed_at = page["metadata"]["resourceVersion"], now
        listing, events = _Listing(self.version, self.watched.slim), Ahead(self._changes(), WAITING_EVENTS)
        try:
            async for sighting in self._list(page, listing, events):
                yield sighting
        except BaseException:
            self.version = ""  # half a list is none
            raise
        else:
            async for sighting in events.rest():
                yield sighting
        finally:
            await events.stop()

    async def _list(
        self, page: dict[str, Any], listing: "_Listing", events: Ahead[Sighting]
    ) -> AsyncIterator[Sighting]:
        """Bring the list page by page, and between pages what has changed since its version."""
        while True:
            token = page["metadata"].get("continue") or ""
            following = asyncio.ensure_future(self._page(token)) if token else None
            try:
                for number, sighting in enumerate(listing.read(page.pop("items"))):
                    if following is not None and number % BREATH == 0:  # its request goes out, its answer comes in
                        await asyncio.sleep(0)
                    yield sighting
                async for sighting in events.until(following):
                    listing.note(sighting)
                    yield sighting
                if following is None:
                    yield Listed(frozenset(listing.alive), listing.version)
                    return
                page = await following
            finally:
                if following is not None:
                    following.cancel()

    async def _page(self, token: str) -> dict[str, Any]:
        return await self.api.request("GET", self.watched.path, query=self._query(limit=PAGE, **{"continue": token}))

    async def _changes(self) -> AsyncIterator[Sighting]:
        """Bring what changes from the place on."""
        silent, begun = True, asyncio.get_running_loop().time()
        async for event in self.api.watch(self.watched.path, self._query(resourceVersion=self.version)):
            silent = False
            yield self._sighting(event["type"], event["object"])
        if silent and asyncio.get_running_loop().time() - begun < SHORT_SECONDS:  # it was not served
            raise ClusterUnavailableError(f"WATCH {self.watched.path}: it ended at once, without a word")
        if silent:  # an API server has no bookmark for a kind of which it has seen no change since it started
            yield Quiet()

    def _sighting(self, kind: str, body: Body) -> Sighting:
        if kind == "ERROR":
            raise PlaceLostError(f"WATCH {self.watched.path}: {body.get('message', 'an error')}")
        self.version = body["metadata"]["resourceVersion"]
        if kind == "BOOKMARK":
            return Quiet()
        return Gone(self.watched.slim(body)) if kind == "DELETED" else Seen(self.watched.slim(body))

    def _query(self, **more: str) -> dict[str, str]:
        return {"labelSelector": self.watched.selector, **more}


@dataclass(slots=True)
class _Listing:
    """A list under way, beside a watch that knows more: of what it has brought, the list is older."""

    version: str
    slim: Callable[[Body], Body]
    alive: set[ObjectKey] = field(default_factory=set)
    _newer: set[ObjectKey] = field(default_factory=set)

    def read(self, items: list[Body]) -> Iterator[Sighting]:
        """Bring a page, one by one, so that it is never in memory beside the next."""
        items.reverse()
        while items:
            body = self.slim(items.pop())
            key = _key(body)
            if key not in self._newer:
                self.alive.add(key)
                yield Found(body)

    def note(self, sighting: Sighting) -> None:
        """Note what the watch has brought."""
        if isinstance(sighting, Seen | Gone):
            key = _key(sighting.body)
            self._newer.add(key)
            (self.alive.discard if isinstance(sighting, Gone) else self.alive.add)(key)


def _key(body: Body) -> ObjectKey:
    return ObjectKey(body["metadata"]["namespace"], body["metadata"]["name"])
