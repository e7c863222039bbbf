"""What the annotations of Namespaces say, remembered for some seconds: a burst of aborts asks once, not once for each.

Decides nothing. A change of an annotation counts after REMEMBERED_SECONDS at the latest.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dora_operator.ports import ClusterPort, ClusterUnavailableError

REMEMBERED_SECONDS = 10.0


@dataclass(slots=True)
class _Remembered:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    annotations: Mapping[str, str] = field(default_factory=dict)
    until: datetime | None = None


@dataclass(slots=True)
class Namespaces:
    """Namespaces as last read."""

    cluster: ClusterPort
    clock: Callable[[], datetime]
    _remembered: dict[str, _Remembered] = field(default_factory=dict)

    async def annotations(self, namespace: str) -> Mapping[str, str]:
        """Return the annotations of a Namespace.

        Raises:
            ClusterUnavailableError: it could not be read, now or ever before. While the API server is away, what was
                read last is good enough: nobody can have changed it.
        """
        remembered = self._remembered.setdefault(namespace, _Remembered())
        async with remembered.lock:
            if remembered.until is None or remembered.until <= self.clock():
                await self._read(namespace, remembered)
        return remembered.annotations

    async def _read(self, namespace: str, remembered: _Remembered) -> None:
        try:
            remembered.annotations = await self.cluster.read_annotations(namespace)
        except ClusterUnavailableError:
            if remembered.until is None:
                raise
            return
        remembered.until = self.clock() + timedelta(seconds=REMEMBERED_SECONDS)
