"""A watch of one kind of object: a list, then what changes, for ever.

Survives what kopf's watch does not: errors of any kind in the stream or before it, silence, objects that were deleted
while nobody watched, a kind that is not installed yet, removed or installed again (docs/decisions/0005).
Decides nothing.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from dora_operator.adapters.kubernetes_api import KubernetesApi, StatusError
from dora_operator.domain.object_key import ObjectKey
from dora_operator.ports import ClusterUnavailableError
from dora_operator.sightings import Found, Gone, Listed, Quiet, Seen, Sighting, Trouble

logger = logging.getLogger(__name__)

PAGE = "250"
ABSENT_SECONDS = 5.0
"""How often it is looked whether the kind was installed."""
STARTING_TRIES = 5
"""How often before that: an API server that has just started may not know its custom resources for a moment."""
FORBIDDEN_SECONDS = 5.0
BROKEN_SECONDS = 0.5
LONGEST_SECONDS = 15.0
SHORT_SECONDS = 10.0
"""A watch that ends sooner than this, and has said nothing, is trouble."""
PATIENCE = 40
"""Failures in a row after which the place in the stream is given up, whatever the answers say."""
RELIST_ANSWERS = frozenset({HTTPStatus.GONE, HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST})
"""After these the place in the stream is lost; after any other answer, or none, the watch goes on where it was."""

Body = Mapping[str, Any]


class _PlaceLostError(ClusterUnavailableError):
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


async def watch(api: KubernetesApi, watched: Watched) -> AsyncIterator[Sighting]:
    """Iterate over what happens to all objects of a kind."""
    stream = _Stream(api, watched)
    troubles = _Troubles(watched.kind)
    while True:
        try:
            async for sighting in stream.go_on():
                if not isinstance(sighting, Found | Listed):
                    troubles.over()
                yield sighting
        except ClusterUnavailableError as error:
            troubles.meet(error)
            if _is(error, HTTPStatus.NOT_FOUND):
                yield Listed(frozenset(), installed=False)
            yield Trouble(str(error))
            if troubles.place_is_lost(error):
                stream.version = ""
            await asyncio.sleep(troubles.pause(error) * (0.75 + 0.5 * random.random()))  # noqa: S311 - jitter


@dataclass(slots=True)
class _Stream:
    """The place that a watch has come to."""

    api: KubernetesApi
    watched: Watched
    version: str = ""
    """What was seen last; empty: nothing, a list comes first."""

    async def go_on(self) -> AsyncIterator[Sighting]:
        """List where that is needed, then bring what changes until the API server ends it."""
        if not self.version:
            async for sighting in self._list():
                yield sighting
        silent, begun = True, asyncio.get_running_loop().time()
        async for event in self.api.watch(self.watched.path, self._query(resourceVersion=self.version)):
            silent = False
            yield self._sighting(event["type"], event["object"])
        if silent and asyncio.get_running_loop().time() - begun < SHORT_SECONDS:  # it was not served
            raise ClusterUnavailableError(f"WATCH {self.watched.path}: it ended at once, without a word")
        if silent:  # an API server has no bookmark for a kind of which it has seen no change since it started
            yield Quiet()

    async def _list(self) -> AsyncIterator[Sighting]:
        keys: set[ObjectKey] = set()
        token = ""
        while True:
            page = await self.api.request(
                "GET", self.watched.path, query=self._query(limit=PAGE, **{"continue": token})
            )
            token, version = page["metadata"].get("continue") or "", page["metadata"]["resourceVersion"]
            items = page["items"][::-1]
            del page
            while items:  # one by one, so that a page is never in memory beside the next
                body = self.watched.slim(items.pop())
                keys.add(ObjectKey(body["metadata"]["namespace"], body["metadata"]["name"]))
                yield Found(body)
            if not token:
                break
        self.version = version
        yield Listed(frozenset(keys), self.version)

    def _sighting(self, kind: str, body: Body) -> Sighting:
        if kind == "ERROR":
            raise _PlaceLostError(f"WATCH {self.watched.path}: {body.get('message', 'an error')}")
        self.version = body["metadata"]["resourceVersion"]
        if kind == "BOOKMARK":
            return Quiet()
        return Gone(self.watched.slim(body)) if kind == "DELETED" else Seen(self.watched.slim(body))

    def _query(self, **more: str) -> dict[str, str]:
        return {"labelSelector": self.watched.selector, **more}


@dataclass(slots=True)
class _Troubles:
    """What went wrong since the watch last stood."""

    kind: str
    in_a_row: int = 0
    places_lost: int = 0
    last_message: str = ""

    def over(self) -> None:
        """Begin to count anew."""
        if self.in_a_row:
            logger.info("%s are watched again", self.kind)
        self.in_a_row, self.places_lost, self.last_message = 0, 0, ""

    def meet(self, error: ClusterUnavailableError) -> None:
        """Count, and say it once rather than every second."""
        self.in_a_row += 1
        if str(error) != self.last_message:
            logger.warning("%s are not watched now: %s", self.kind, error)
        self.last_message = str(error)

    def place_is_lost(self, error: ClusterUnavailableError) -> bool:
        """Tell whether to list anew: because the answer says so, or because going on has failed for long."""
        lost = isinstance(error, _PlaceLostError) or _is(error, *RELIST_ANSWERS) or self.in_a_row % PATIENCE == 0
        self.places_lost += lost
        return lost

    def pause(self, error: ClusterUnavailableError) -> float:
        """Return seconds to wait. Lists cost much, so they come ever more rarely; an attempt to go on costs little."""
        if _is(error, HTTPStatus.NOT_FOUND) and self.in_a_row > STARTING_TRIES:
            return ABSENT_SECONDS
        if _is(error, HTTPStatus.FORBIDDEN, HTTPStatus.UNAUTHORIZED):
            return FORBIDDEN_SECONDS
        return min(LONGEST_SECONDS, BROKEN_SECONDS * 2.0 ** max(0, min(self.places_lost - 1, 10)))


def _is(error: ClusterUnavailableError, *codes: HTTPStatus) -> bool:
    return isinstance(error, StatusError) and error.code in codes
