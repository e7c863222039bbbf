"""The fence around everything that writes: nothing begins, or goes on, beyond the time that the Lease is good for.

Stands at the edge, so that no path of a decision can pass by it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from typing import Any, TypeVar

from dora_operator.adapters.cluster import Cluster
from dora_operator.adapters.kubernetes_api import KubernetesApi
from dora_operator.domain.notices import EventNote
from dora_operator.domain.object_key import ObjectKey
from dora_operator.domain.outcome import Answer, NoAnswer
from dora_operator.domain.request import PatchRequest
from dora_operator.domain.rollout.restored import Restoration
from dora_operator.domain.sites import Site
from dora_operator.handlers.leading import Leadership
from dora_operator.ports import DatadogPort, Keys, NotLeadingError, Subject

Result = TypeVar("Result")


async def while_leading(leadership: Leadership, request: Coroutine[Any, Any, Result]) -> Result:
    """Run a request as long as this process may write.

    Raises:
        NotLeadingError: it may not, or the time ran out before the answer came; the request was given up.
    """
    if not leadership.may_write():
        request.close()
        raise NotLeadingError
    task = asyncio.ensure_future(request)
    try:
        while leadership.may_write():  # the Lease may be renewed meanwhile
            done, _ = await asyncio.wait({task}, timeout=leadership.good_until - leadership.clock())
            if done:
                return task.result()
        raise NotLeadingError
    finally:
        if not task.done():
            task.cancel()


class FencedDatadog:
    """Implements `ports.DatadogPort`."""

    def __init__(self, inner: DatadogPort, leadership: Leadership) -> None:
        self._inner = inner
        self._leadership = leadership

    async def patch(self, request: PatchRequest, site: Site, keys: Keys) -> Answer | NoAnswer:
        """See the port."""
        return await while_leading(self._leadership, self._inner.patch(request, site, keys))

    async def post_deployment(self, event: Restoration, site: Site, keys: Keys) -> Answer | NoAnswer:
        """See the port."""
        return await while_leading(self._leadership, self._inner.post_deployment(event, site, keys))


class FencedCluster(Cluster):
    """A cluster whose writes stand behind the fence; reading is free."""

    def __init__(
        self, api: KubernetesApi, clock: Callable[[], datetime], relist_seconds: float, leadership: Leadership
    ) -> None:
        super().__init__(api, clock, relist_seconds)
        self._leadership = leadership

    async def write_status(self, key: ObjectKey, uid: str, status: Mapping[str, Any]) -> Mapping[str, Any]:
        """See the port."""
        return await while_leading(self._leadership, super().write_status(key, uid, status))

    async def post_event(self, about: Subject, note: EventNote) -> None:
        """See the port."""
        await while_leading(self._leadership, super().post_event(about, note))

    async def apply_record(self, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
        """See the port."""
        return await while_leading(self._leadership, super().apply_record(manifest))

    async def delete_record(self, key: ObjectKey, uid: str) -> None:
        """See the port."""
        await while_leading(self._leadership, super().delete_record(key, uid))
