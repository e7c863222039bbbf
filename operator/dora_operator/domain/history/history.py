"""The DoraHistory: the model, from which its CRD is made, how it is read and written, and questions about revisions.

A history is a value: `advance` returns another one. It is written before any record that follows from it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, JsonValue, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from dora_operator.domain.fields import API_VERSION, ATOMIC, CONFIG, SourceKind, Text, adapter, to_api
from dora_operator.domain.history.identity import Identity

KIND = "DoraHistory"
PLURAL = "dorahistories"
ATOMIC_LIST: dict[str, JsonValue] = {"x-kubernetes-list-type": "atomic"}
MAX_REVISIONS = 20
MAX_PROTECTED = 100
"""Most revisions at all, with those that are never dropped for their open failure."""
MAX_VERSIONS = 100
MAX_NAME = 253
DIGEST = 10
"""Hexadecimal digits of a version's digest, and of the digest that ends a name that had to be cut."""


class State(StrEnum):
    """How far a revision came. The words are API."""

    UNKNOWN = "Unknown"
    """It began and ended while nobody watched, or before the first observation. Never marked."""
    IN_FLIGHT = "InFlight"
    PROMOTED = "Promoted"
    """Final: it became the stable one."""
    ABORTED = "Aborted"
    UNDONE = "Undone"
    """Replaced by an older version before it was promoted."""
    SUPERSEDED = "Superseded"
    """Replaced by a newer version, or another template of the same one, before it was promoted."""


class Cause(StrEnum):
    """Why a revision counts as failed. The words are API: of the policy and of metrics."""

    ABORT = "Abort"
    UNDO = "Undo"
    ROLLBACK = "Rollback"
    DEADLINE = "Deadline"


class VerdictKind(StrEnum):
    """What happened to a version. The words are API: they are in status."""

    ABORTED = "Aborted"
    UNDONE = "Undone"
    ROLLED_BACK = "RolledBack"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    RECOVERED = "Recovered"
    """It was marked, but then promoted, or its rollback was called off: no failure."""
    KEPT = "Kept"
    """As Recovered, but the setting `retrySuccess: Keep` leaves the mark as it is."""


@dataclass(frozen=True, slots=True, kw_only=True, config=CONFIG)
class Failure:
    """The last failure of a revision."""

    verdict: VerdictKind = Field(description="Aborted, Undone, RolledBack, DeadlineExceeded or Recovered.")
    cause: Cause = Field(description="Abort, Undo, Rollback or Deadline; stays when it recovers.")
    message: Text | None = Field(default=None, description="What happened, in the workload's words where it has some.")
    time: datetime | None = Field(default=None, description="When; absent of an abort that is not carried out yet.")
    ended_by: int | None = Field(default=None, description="Revision whose promotion ended it; absent: it is open.")

    @property
    def is_open(self) -> bool:
        """Whether a promotion can still end it."""
        return self.ended_by is None and self.verdict is not VerdictKind.RECOVERED


@dataclass(frozen=True, slots=True, kw_only=True, config=CONFIG)
class PinnedDeployment:
    """The deployment in Datadog that a revision is."""

    id: Text = Field(description="Id of the deployment in Datadog.")
    change_failure: bool | None = Field(default=None, description="Whether Datadog counts it as a change failure.")
    time: datetime | None = Field(default=None, description="When it was read.")


@dataclass(frozen=True, slots=True, kw_only=True, config=CONFIG)
class Revision:
    """One revision of a workload."""

    number: int = Field(description="The workload's own number of the revision.")
    pod_template_hash: Text = Field(description="Hash of its pod template.")
    service: Text | None = Field(default=None, description="Service, by the pod template.")
    env: Text | None = Field(default=None, description="Environment, by the pod template.")
    version: Text | None = Field(default=None, description="Version, by the pod template.")
    deployment_id: Text | None = Field(default=None, description="Datadog id that the pod template names.")
    order: int | None = Field(default=None, description="Age of the version in this workload; absent: not known.")
    redeployed: bool | None = Field(default=None, description="Whether an earlier revision ran this version, too.")
    served: bool | None = Field(default=None, description="Whether a new pod became ready before its promotion.")
    state: State = Field(description="Unknown, InFlight, Promoted, Aborted, Undone or Superseded.")
    started_time: datetime | None = Field(default=None, description="When this revision began.")
    ended_time: datetime | None = Field(default=None, description="When it was promoted, aborted or replaced.")
    retried_time: datetime | None = Field(default=None, description="Its first abort, if it was tried again after it.")
    failure: Failure | None = Field(default=None, description="Its last failure.")
    datadog: PinnedDeployment | None = Field(default=None, description="Its deployment in Datadog, once known.")

    @property
    def identity(self) -> Identity:
        return Identity(self.service, self.env, self.version, self.deployment_id)

    @property
    def key(self) -> tuple[str | None, ...]:
        """Equal for revisions of one version; of one that cannot be identified, its pod template."""
        return self.identity.key if self.identity.is_known else (self.pod_template_hash,)

    @property
    def is_failing(self) -> bool:
        return self.failure is not None and self.failure.is_open


@dataclass(frozen=True, slots=True, kw_only=True, config=ATOMIC)
class Workload:
    """Whose history it is."""

    kind: SourceKind = Field(description="Kind of the workload.")
    name: Text = Field(description="Name of the workload.")
    uid: Text = Field(description="UID of the workload; another one is another workload.")


@dataclass(frozen=True, slots=True, kw_only=True, config=CONFIG)
class History:
    """All that is known of one workload's revisions."""

    workload: Workload = Field(description="Whose history it is.")
    revisions: Annotated[tuple[Revision, ...], Field(max_length=MAX_PROTECTED)] = Field(
        default=(),
        description="The last 20 revisions, oldest first; more where open failures are older.",
        json_schema_extra=ATOMIC_LIST,
    )
    versions: Annotated[tuple[Text, ...], Field(max_length=MAX_VERSIONS)] = Field(
        default=(),
        description="Digests of the versions by age: one keeps its order when its revisions are gone.",
        json_schema_extra=ATOMIC_LIST,
    )
    versions_dropped: int | None = Field(default=None, description="How many older digests were dropped.")

    @property
    def current(self) -> Revision | None:
        return self.revisions[-1] if self.revisions else None


def parse(body: Mapping[str, Any]) -> History | None:
    """Read a raw DoraHistory; None where it cannot be understood, which is as if there were none."""
    try:
        return _HISTORY.validate_python(body)
    except ValidationError:
        return None


_HISTORY: TypeAdapter[History] = adapter(History)


def manifest(namespace: str, history: History, owner_api_version: str) -> dict[str, Any]:
    """Return the object to write. Its workload owns it: a deleted workload has no history."""
    workload = history.workload
    owner = {"apiVersion": owner_api_version, "kind": workload.kind.value, "name": workload.name, "uid": workload.uid}
    name = history_name(workload.kind.value, workload.name)
    metadata = {"name": name, "namespace": namespace, "ownerReferences": [owner]}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, **to_api(history)}


def history_name(kind: str, name: str) -> str:
    """Return `<kind>-<name>` in lower case; of a name that is too long, its beginning and a digest."""
    whole = f"{kind}-{name}".lower()
    return whole if len(whole) <= MAX_NAME else f"{whole[: MAX_NAME - DIGEST - 1].rstrip('-.')}-{digest(whole)}"


def digest(*parts: str | None) -> str:
    """Return a short name of a version, or of any texts."""
    joined = "\n".join(part or "" for part in parts)
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST]


def pinned(history: History, number: int, pod_template_hash: str, row: PinnedDeployment) -> History:
    is_meant = (number, pod_template_hash)
    revisions = (
        replace(r, datadog=row) if (r.number, r.pod_template_hash) == is_meant else r for r in history.revisions
    )
    return replace(history, revisions=tuple(revisions))


def is_older(one: Revision, other: Revision) -> bool | None:
    """Return whether the version of `one` appeared before that of `other`; None: not known."""
    if one.key == other.key:
        return False
    return None if one.order is None or other.order is None else one.order < other.order


def last_promoted(revisions: Iterable[Revision]) -> Revision | None:
    return next((r for r in reversed(tuple(revisions)) if r.state is State.PROMOTED), None)


def replaced_by(revisions: tuple[Revision, ...], number: int) -> Revision | None:
    """Return the promoted revision that `number` replaced; None where a revision in between is not known."""
    expected = number
    for revision in reversed(revisions):
        if revision.number < expected - 1 or revision.state is State.UNKNOWN:
            return None
        if revision.state is State.PROMOTED:
            return revision
        expected = revision.number
    return None


def with_order(history: History, revision: Revision, *, has_run: bool = True) -> History:
    """Return the history with the revision as its newest, with its version's order: the known one, or the next.

    `has_run`: else the template may never have had a pod, and the age of a new version stays open.
    """
    known = [r for r in history.revisions if r.key == revision.key]
    name, dropped = digest(*revision.key), history.versions_dropped or 0
    if known:
        order = known[-1].order
    elif name in history.versions:
        order = dropped + history.versions.index(name)
    elif not has_run:
        return replace(history, revisions=(*history.revisions, revision))
    else:
        order = dropped + len(history.versions)
        history = _with_version(history, name)
        return replace(history, revisions=(*history.revisions, replace(revision, order=order)))
    return replace(history, revisions=(*history.revisions, replace(revision, order=order, redeployed=True)))


def _with_version(history: History, name: str) -> History:
    versions = (*history.versions, name)
    excess = max(0, len(versions) - MAX_VERSIONS)
    dropped = (history.versions_dropped or 0) + excess
    return replace(history, versions=versions[excess:], versions_dropped=dropped or None)


def trimmed(history: History) -> History:
    """Return the history without the oldest revisions; the stable one, the current one and open failures stay."""
    stable = last_promoted(history.revisions)
    excess = len(history.revisions) - MAX_REVISIONS
    kept = []
    for revision in history.revisions:
        is_protected = revision in (stable, history.current) or revision.is_failing
        if excess > 0 and not is_protected:
            excess -= 1
        else:
            kept.append(revision)
    return replace(history, revisions=tuple(kept[-MAX_PROTECTED:]))
