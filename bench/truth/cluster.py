"""The API server in memory, as far as the operator uses it: DoraDeployments, DoraHistories, ReplicaSets."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.truth.argo import Body, Rollout
from bench.truth.world import moment
from dora_operator.clients.errors import NotFoundError
from dora_operator.clients.kubernetes import Subject
from dora_operator.domain.events import EventNote
from dora_operator.domain.fields import ObjectKey
from sandbox.virtual import seconds



@dataclass(frozen=True, slots=True)
class HistoryPage:
    """One page of a list."""

    items: list[Body]


Report = Callable[[Body], None]


@dataclass(slots=True)
class Cluster:
    """Answers as `KubernetesClient` does. `report` is called for each change of a DoraDeployment, as by a watch."""

    rollouts: Mapping[str, Rollout] = field(default_factory=dict)
    objects: dict[ObjectKey, Body] = field(default_factory=dict)
    histories: dict[str, Body] = field(default_factory=dict)
    """By name; they survive a restart of the operator."""
    report: Report = lambda _: None
    deleted: Callable[[ObjectKey, str], None] = lambda *_: None
    _versions: int = 0

    async def list_replica_sets(self, _: str, labels: Mapping[str, str]) -> Sequence[Body]:
        """See KubernetesClient."""
        return self.rollouts[labels["app"]].replica_sets()

    async def read_annotations(self, _: str) -> Mapping[str, str]:
        """See KubernetesClient."""
        return {}

    async def post_event(self, subject: Subject, note: EventNote) -> None:
        """See KubernetesClient."""

    async def list_pages(self, *_: object) -> AsyncIterator[HistoryPage]:
        """See KubernetesClient: the histories are all that the operator lists itself."""
        yield HistoryPage(list(self.histories.values()))

    async def apply_history(self, manifest: Body) -> Body:
        """See KubernetesClient."""
        self.histories[manifest["metadata"]["name"]] = manifest
        return manifest

    async def delete_record(self, key: ObjectKey, uid: str) -> None:
        """See KubernetesClient."""
        if key in self.objects:
            del self.objects[key]
            self.deleted(key, uid)

    async def apply_record(self, manifest: Body) -> Body:
        """See KubernetesClient."""
        metadata = manifest["metadata"]
        key = ObjectKey(metadata["namespace"], metadata["name"])
        before = self.objects.get(key)
        if before is None:
            self._versions += 1
            born = {"uid": f"uid-{self._versions}", "generation": 1, "creationTimestamp": moment(seconds()).isoformat()}
            return self._stored(manifest | {"metadata": metadata | born, "status": {}})
        generation = before["metadata"]["generation"] + int(before["spec"] != manifest["spec"])
        changed = before["metadata"] | metadata | {"generation": generation}
        return self._stored(before | {"metadata": changed, "spec": manifest["spec"]})

    async def write_status(self, key: ObjectKey, _: str, status: Mapping[str, Any]) -> Body:
        """See KubernetesClient."""
        before = self.objects.get(key)
        if before is None:
            raise NotFoundError("not found", 404)
        stored = self._stored(before | {"status": merged(before["status"], status)}, echo=False)
        asyncio.get_running_loop().call_soon(self.report, stored)
        return stored

    def _stored(self, body: Body, *, echo: bool = True) -> Body:
        self._versions += 1
        body = body | {"metadata": body["metadata"] | {"resourceVersion": str(self._versions)}}
        self.objects[ObjectKey(body["metadata"]["namespace"], body["metadata"]["name"])] = body
        if echo:
            self.report(body)
        return body


def merged(target: Any, patch: Any) -> Any:
    """Apply a merge patch (RFC 7386)."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result
