"""What is known of the cluster's Rollouts, in memory: levels, and what was learnt by looking at them.

Decides nothing. Losing it costs a list of ReplicaSets, and nothing else.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dora_operator.domain.object_key import ObjectKey
from dora_operator.domain.rollout.observation import POD_TEMPLATE_HASH, REVISION
from dora_operator.domain.rollout.verdict import About, Decision, Memory, Notice, Verdict, asks_again
from dora_operator.ports import Subject

ROLLOUT_API_VERSION = "argoproj.io/v1alpha1"
MOST_PASSED = 16
IGNORE = "dora-operator.io/ignore"


@dataclass(slots=True)
class Progress:
    """How far a return has come in this process. Losing it costs a look or a post more, and nothing else."""

    looks: int = 0
    posts: int = 0
    not_before: datetime | None = None
    marked: bool = False
    """Whether Datadog has accepted the failure itself."""
    accepted: bool = False
    """Whether Datadog has taken the event, and only its link is not written down yet."""
    told: str = ""
    """The reason that was told by an Event already."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The DoraDeployment of a user that stands where a record should, as it was then."""

    key: ObjectKey
    uid: str = ""
    generation: int = 0


@dataclass(slots=True)
class KnownRollout:
    """One Rollout as last seen."""

    key: ObjectKey
    uid: str
    body: Mapping[str, Any]
    replica_sets: Sequence[Mapping[str, Any]] = ()
    memory: Memory = field(default_factory=Memory)
    told: set[Notice] = field(default_factory=set)
    """Facts that were told by an Event already."""
    refused: dict[Verdict, Refusal] = field(default_factory=dict)
    """Verdicts that could not be recorded because a user owns the record."""
    restoring: dict[tuple[str, int], Progress] = field(default_factory=dict)
    """Returns to the stable version that are not linked yet, by deployment and revision: it may fail again."""
    seen_at: datetime | None = None
    """When a watch brought this version; None for one that was listed."""
    passed: tuple[Mapping[str, Any], ...] = ()
    """Other states that were shown since the last decision, oldest first; as many as a burst may need, and no more."""
    unidentified: bool = False
    """Whether a revision failed that cannot be identified."""
    _facts: dict[str, Verdict] = field(default_factory=dict)
    _listed_for: tuple[str, str] | None = None
    _decided: Mapping[str, Any] | None = None
    """The version that the last decision was about."""

    @property
    def subject(self) -> Subject:
        """What Events about it are about."""
        return Subject(ROLLOUT_API_VERSION, "Rollout", self.key, self.uid)

    def needs_replica_sets(self) -> bool:
        """Tell whether a revision has begun since the ReplicaSets were listed. Once for each revision is enough.

        While the controller has not looked at the newest spec yet, there is nothing new to list.
        """
        status, metadata = self.body.get("status") or {}, self.body["metadata"]
        if str(status.get("observedGeneration")) != str(metadata.get("generation")):
            return False
        return self._listed_for != self._revision()

    def show(self, body: Mapping[str, Any], at: datetime | None, *, keep: bool) -> None:
        """Take in a newer version. With `keep`, one that nobody has decided about is not forgotten for it."""
        if keep and self.body is not self._decided and _standing(self.body) != _standing(body):
            self.passed = (*self.passed, self.body)[-MOST_PASSED:]
        self.body, self.seen_at = body, at

    def learn(self, decision: Decision, shown: Sequence[Mapping[str, Any]], *, settled: bool) -> None:
        """Keep what a decision leaves for the next one; `shown` are the versions that it was about.

        While a revision is being replaced its ReplicaSets are not listed yet: these versions will say more then.
        """
        if settled:
            self._decided = shown[-1]
            self.passed = tuple(body for body in self.passed if not any(body is each for each in shown))
        self.memory = decision.memory
        self.unidentified = any(notice.about is About.NOT_IDENTIFIED for notice in decision.notices)

    def is_new_fact(self, verdict: Verdict) -> bool:
        """Tell, once, whether a verdict says more than one before it with the same request."""
        before = self._facts.get(verdict.identity.key)
        self._facts[verdict.identity.key] = verdict
        return asks_again(before, verdict)

    def listed(self, replica_sets: Sequence[Mapping[str, Any]]) -> None:
        """Take in the ReplicaSets; a list that lacks the current one is asked for again."""
        self.replica_sets = replica_sets
        revision, current = self._revision()
        for each in replica_sets:
            metadata = each["metadata"]
            is_current = (metadata.get("labels") or {}).get(POD_TEMPLATE_HASH) == current
            if is_current and (metadata.get("annotations") or {}).get(REVISION) == revision:
                self._listed_for = (revision, current)

    def _revision(self) -> tuple[str, str]:
        annotations = self.body["metadata"].get("annotations") or {}
        return str(annotations.get(REVISION, "")), str((self.body.get("status") or {}).get("currentPodHash", ""))


@dataclass(slots=True)
class KnownRollouts:
    """All known Rollouts by key."""

    are_decided: bool = False
    """Whether this process decides about them: one that stands by keeps the newest versions alone."""
    _known: dict[ObjectKey, KnownRollout] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: ObjectKey) -> KnownRollout | None:
        """Return what is known of a Rollout."""
        return self._known.get(key)

    def all_keys(self) -> list[ObjectKey]:
        """Return the keys of all known Rollouts."""
        return list(self._known)

    def __iter__(self) -> Iterator[KnownRollout]:
        return iter(self._known.values())

    def see(self, body: Mapping[str, Any], at: datetime | None = None) -> ObjectKey:
        """Take in a version of a Rollout, and when a watch brought it.

        Another uid is another Rollout, of which nothing is known yet.
        """
        key = key_of(body)
        known, uid = self._known.get(key), body["metadata"]["uid"]
        if known is None or known.uid != uid:
            self._known[key] = KnownRollout(key, uid, body, seen_at=at)
        else:
            known.show(body, at, keep=self.are_decided)
        return key

    def is_news(self, body: Mapping[str, Any]) -> bool:
        """Tell whether a version of a Rollout is another than the one that is known."""
        known = self._known.get(key_of(body))
        return known is None or known.body["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]

    def forget(self, body: Mapping[str, Any]) -> None:
        """Drop a Rollout that was deleted."""
        known = self._known.get(key_of(body))
        if known is not None and known.uid == body["metadata"]["uid"]:
            del self._known[known.key]

    def keep_only(self, keys: Iterable[ObjectKey], namespace: str | None) -> None:
        """Drop every Rollout of a namespace, or of all, that a list did not have."""
        kept = set(keys)
        for key in [key for key in self._known if key not in kept and namespace in (None, key.namespace)]:
            del self._known[key]


def _standing(body: Mapping[str, Any]) -> tuple[object, ...]:
    """What tells states apart that a decision may need one by one."""
    status, annotations = body.get("status") or {}, body["metadata"].get("annotations") or {}
    return annotations.get(REVISION), *map(status.get, ("currentPodHash", "stableRS", "abort", "abortedAt"))


def key_of(body: Mapping[str, Any]) -> ObjectKey:
    """Return where an object lives."""
    return ObjectKey(body["metadata"]["namespace"], body["metadata"]["name"])


def ignored(annotations: Mapping[str, str] | None) -> bool:
    """Tell whether the annotations of a Rollout or a Namespace say that the operator shall look away."""
    return (annotations or {}).get(IGNORE) == "true"
