"""What is known of the cluster's DoraDeployments, in memory, with the indexes that decisions need.

Holds levels, not events: the newest version of each object wins, whatever the order in which versions arrive. Decides
nothing. Specs and statuses are kept as JSON, because ten thousand settled objects shall cost little.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from dora_operator.domain.glance import Glance, glance_of
from dora_operator.domain.object_key import ObjectKey
from dora_operator.domain.rollout.manifest import VERDICT_ANNOTATION


@dataclass(slots=True)
class Known:
    """One DoraDeployment as last seen or written."""

    key: ObjectKey
    uid: str
    generation: int
    resource_version: str
    created_at: datetime
    spec_json: bytes
    status_json: bytes
    """As Kubernetes has it."""
    glance: Glance
    """How it stands, for overviews that must not read ten thousand statuses."""
    unsaved_status_json: bytes | None = None
    """As it should be, where writing it has failed so far."""
    verdict_json: str | None = None
    """The annotation that makes an object the operator's own record of a Rollout's verdict."""
    links: frozenset[str] = frozenset()
    due_at: datetime | None = None
    """Since when what it wants is wanted, as far as this process has seen it."""

    @property
    def newest_status_json(self) -> bytes:
        """The status to decide from: what the operator knows, written or not."""
        return self.unsaved_status_json or self.status_json

    def as_record(self) -> dict[str, Any]:
        """Return the object as far as a record is read from it."""
        return {
            "metadata": {"annotations": {VERDICT_ANNOTATION: self.verdict_json}},
            "spec": json.loads(self.spec_json),
        }

    def tells(self) -> tuple[object, ...]:
        """Return what a decision could depend on."""
        return (self.generation, self.status_json, self.verdict_json)


LinksOf = Callable[[Known], Iterable[str]]
"""Tells what an object depends on; see `domain.links`."""


@dataclass(slots=True)
class Inventory:
    """All known DoraDeployments by key, and who is linked with what."""

    _known: dict[ObjectKey, Known] = field(default_factory=dict)
    _linked: dict[str, set[ObjectKey]] = field(default_factory=lambda: defaultdict(set))

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: ObjectKey) -> Known | None:
        """Return what is known of an object."""
        return self._known.get(key)

    def has(self, known: Known) -> bool:
        """Tell whether this very object, in whatever version, is still there as far as is known."""
        current = self._known.get(known.key)
        return current is not None and current.uid == known.uid

    def all_keys(self) -> list[ObjectKey]:
        """Return the keys of all known objects."""
        return list(self._known)

    def missing(self, keys: frozenset[ObjectKey], version: str, namespace: str | None) -> list[Known]:
        """Return what is known of a namespace, or of the cluster, and gone: a list of that version lacks it."""
        return [
            known
            for key, known in self._known.items()
            if key not in keys
            and namespace in (None, key.namespace)
            and not (version.isdigit() and _is_newer(known.resource_version, version))
        ]

    def linked(self, link: str) -> list[ObjectKey]:
        """Return the objects that depend on a link, in a stable order."""
        return sorted(self._linked.get(link, ()))

    def observe(self, body: Mapping[str, Any], links_of: LinksOf) -> bool:
        """Take in a version of an object; tell whether it is news. Our own writes come back and are none."""
        known = _parse(body)
        before = self._known.get(known.key)
        if before is not None and before.uid == known.uid:
            if not _is_newer(known.resource_version, before.resource_version):
                return False
            if before.tells() == known.tells():
                before.resource_version = known.resource_version
                return False
            known.unsaved_status_json = before.unsaved_status_json
            known.due_at = before.due_at if before.generation == known.generation else None
        self._replace(before, known, links_of)
        return True

    def saved(self, before: Known, body: Mapping[str, Any], links_of: LinksOf) -> None:
        """Take in the object as the API server stored it after our own write."""
        current = self._known.get(before.key)
        if current is None or current.uid != before.uid:
            return
        current.unsaved_status_json = None
        self.observe(body, links_of)

    def keep_unsaved(self, before: Known, status_json: bytes) -> None:
        """Remember a status that could not be written, so that what Datadog answered is not forgotten."""
        current = self._known.get(before.key)
        if current is not None and current.uid == before.uid:
            current.unsaved_status_json = status_json
            metadata = {"generation": current.generation}
            current.glance = glance_of(metadata, _mapping(json.loads(current.spec_json)), json.loads(status_json))

    def note_due(self, key: ObjectKey, at: datetime) -> None:
        """Note that an object is put up for a look; what it has been waiting for already counts from earlier."""
        known = self._known.get(key)
        if known is not None and (known.due_at is None or at < known.due_at or not known.glance.hurries):
            known.due_at = at

    def glances(self) -> Iterator[Glance]:
        """Iterate over how all objects stand."""
        return (known.glance for known in self._known.values())

    def _replace(self, before: Known | None, known: Known, links_of: LinksOf) -> None:
        self._unlink(before)
        known.links = frozenset(links_of(known))
        for link in known.links:
            self._linked[link].add(known.key)
        self._known[known.key] = known

    def forget(self, key: ObjectKey, uid: str) -> Known | None:
        """Drop an object, unless another one of the same name has taken its place."""
        known = self._known.get(key)
        if known is None or known.uid != uid:
            return None
        self._unlink(known)
        return self._known.pop(key)

    def _unlink(self, known: Known | None) -> None:
        if known is None:
            return
        for link in known.links:
            members = self._linked[link]
            members.discard(known.key)
            if not members:
                del self._linked[link]


def _parse(body: Mapping[str, Any]) -> Known:
    """Read what the API server always writes as it is; spec and status may be anything that some CRD let pass."""
    metadata, spec, status = body["metadata"], body.get("spec"), body.get("status")
    glance = glance_of(metadata, _mapping(spec), _mapping(status))
    return Known(
        key=ObjectKey(metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        generation=int(metadata.get("generation", 0)),
        resource_version=metadata["resourceVersion"],
        created_at=datetime.fromisoformat(metadata["creationTimestamp"]),
        spec_json=_compact({} if spec is None else spec),
        status_json=_compact({} if status is None else status),
        glance=glance,
        verdict_json=(metadata.get("annotations") or {}).get(VERDICT_ANNOTATION),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _compact(value: object) -> bytes:
    return to_json(value)  # in the API server's order, which is that of names


def _is_newer(version: str, than: str) -> bool:
    """Resource versions of one resource type are ordered numbers (Kubernetes API concepts, since 1.35); else news."""
    if version.isdigit() and than.isdigit():
        return int(version) > int(than)
    return version != than
