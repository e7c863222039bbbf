"""A watch of one kind of object: a list, then what changes, for ever.

Survives what kopf's watch does not: errors of any kind in the stream or before it, silence, objects that were deleted
while nobody watched, a kind that is not installed yet, removed or installed again (docs/decisions/0005). Lists anew now
and then all the same: what a proxy or an API server loses without a word, no watch can notice.
Decides nothing.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus

from dora_operator.adapters.kubernetes_api import KubernetesApi, StatusError
from dora_operator.adapters.stream import PlaceLostError, Stream, Watched
from dora_operator.ports import ClusterUnavailableError
from dora_operator.sightings import Found, Listed, Sighting, Trouble

logger = logging.getLogger(__name__)

ABSENT_SECONDS = 5.0
"""How often it is looked whether the kind was installed."""
STARTING_TRIES = 5
"""How often before that: an API server that has just started may not know its custom resources for a moment."""
FORBIDDEN_SECONDS = 5.0
BROKEN_SECONDS = 0.5
LONGEST_SECONDS = 15.0
PATIENCE = 40
"""Failures in a row after which the place in the stream is given up, whatever the answers say."""
RELIST_ANSWERS = frozenset({HTTPStatus.GONE, HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST})
"""After these the place in the stream is lost; after any other answer, or none, the watch goes on where it was."""


async def watch(api: KubernetesApi, watched: Watched) -> AsyncIterator[Sighting]:
    """Iterate over what happens to all objects of a kind."""
    stream = Stream(api, watched)
    troubles = _Troubles(watched.kind, watched.may_be_absent)
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
class _Troubles:
    """What went wrong since the watch last stood."""

    kind: str
    may_be_absent: bool = False
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
        if str(error) != self.last_message and self.may_be_absent and _is(error, HTTPStatus.NOT_FOUND):
            logger.info("%s are not installed; they are watched as soon as they are", self.kind)
        elif str(error) != self.last_message:
            logger.warning("%s are not watched now: %s", self.kind, error)
        self.last_message = str(error)

    def place_is_lost(self, error: ClusterUnavailableError) -> bool:
        """Tell whether to list anew: because the answer says so, or because going on has failed for long."""
        lost = isinstance(error, PlaceLostError) or _is(error, *RELIST_ANSWERS) or self.in_a_row % PATIENCE == 0
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
