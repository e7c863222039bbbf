"""Whether a kind is installed, from the discovery API."""

import asyncio
import time
from collections.abc import Callable

from dora_operator.clients.kubernetes import Kind, KubernetesClient


class Discovery:
    """Asks whether a kind is served. The watches of one kind share it: a request serves them all for a while."""

    def __init__(self, client: KubernetesClient, kind: Kind, clock: Callable[[], float] = time.monotonic) -> None:
        self.kind = kind
        self._client = client
        self._clock = clock
        self._lock = asyncio.Lock()
        self._asked_at = -float("inf")
        self._served = False

    async def is_served(self, max_age: float) -> bool:
        """Return whether the kind is served, as it was at most `max_age` seconds ago.

        Raises:
            KubernetesError: the API server does not answer.
        """
        async with self._lock:
            if self._clock() - self._asked_at > max_age:
                self._served = await self._client.is_served(self.kind)
                self._asked_at = self._clock()
            return self._served
