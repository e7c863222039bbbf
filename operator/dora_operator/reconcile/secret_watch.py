"""Looks at Secrets again while a resource waits for better keys, and says which resources to try at once.

Reads only Secrets that a waiting resource names, one by one, with plain `get`: the operator needs no right to list or
watch Secrets. Nothing waits, nothing is read.
"""

import asyncio
import logging
from dataclasses import dataclass, field

from dora_operator.domain.object_key import ObjectKey
from dora_operator.ports import ClusterPort, ClusterUnavailableError

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Watched:
    """The version that did not help, and who waits for another one."""

    version: str | None
    waiting: set[ObjectKey] = field(default_factory=set)


@dataclass(slots=True)
class SecretWatch:
    """The Secrets that somebody waits for."""

    cluster: ClusterPort
    _watched: dict[ObjectKey, _Watched] = field(default_factory=dict)
    _changed_for: set[ObjectKey] = field(default_factory=set)

    def wait_for_change(self, secret: ObjectKey, version: str | None, key: ObjectKey) -> None:
        """Note that this version of the Secret did not help `key`; None: it is unknown which version was tried."""
        watched = self._watched.get(secret)
        if watched is None or (version is not None and version != watched.version):
            watched = self._watched[secret] = _Watched(version, watched.waiting if watched else set())
        watched.waiting.add(key)

    def take_change(self, key: ObjectKey) -> bool:
        """Tell, once, whether the Secret that `key` waited for has changed."""
        if key in self._changed_for:
            self._changed_for.discard(key)
            return True
        return False

    def forget(self, key: ObjectKey) -> None:
        """Drop a resource that waits no more."""
        self._changed_for.discard(key)
        for secret in [secret for secret, watched in self._watched.items() if key in watched.waiting]:
            self._watched[secret].waiting.discard(key)
            if not self._watched[secret].waiting:
                del self._watched[secret]

    async def look(self) -> set[ObjectKey]:
        """Read every watched Secret once and return the resources to try at once."""
        changed: set[ObjectKey] = set()
        for secret, watched in list(self._watched.items()):
            try:
                view = await self.cluster.read_secret(secret)
            except ClusterUnavailableError as error:
                logger.debug("Secret %s was not read: %s", secret, error)
                continue
            if view.resource_version != watched.version and self._watched.get(secret) is watched:
                del self._watched[secret]
                changed |= watched.waiting
            await asyncio.sleep(0)
        self._changed_for |= changed
        return changed
