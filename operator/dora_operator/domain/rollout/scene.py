"""All that the rules may look at, and the two questions that most of them ask: is it news, can it be said.

Builds verdicts and notices for the rules; which of them are wanted is decided by `failures` and `endings`.
"""

from dataclasses import dataclass
from datetime import datetime

from dora_operator.domain.rollout.evidence import Evidence
from dora_operator.domain.rollout.identity import ById, Unidentified
from dora_operator.domain.rollout.observation import Observation
from dora_operator.domain.rollout.timeline import Entry, Fate, Timeline
from dora_operator.domain.rollout.verdict import About, Kind, Memory, Notice, Policy, Verdict

Finding = Verdict | Notice


@dataclass(frozen=True, slots=True)
class Scene:
    """One observation in the light of what is known of the past."""

    observation: Observation
    timeline: Timeline
    certain: Evidence
    """What the fates in the timeline rest on, without aborts that are only on record."""
    policy: Policy
    now: datetime
    memory: Memory

    def is_news(self, number: int) -> bool:
        """Tell whether this revision began within the look-back; when that cannot be told, it did not."""
        if self.memory.rollout_uid == self.observation.uid and 0 < self.memory.seen < number:
            return True
        if number == self.timeline.current.number and self.is_recent(self.observation.changed_at):
            return True
        return self.is_recent(self._began_after(number))

    def is_recent(self, at: datetime | None) -> bool:
        """Tell whether a known time lies within the look-back."""
        try:
            return at is not None and at >= self.now - self.policy.lookback
        except OverflowError:
            return at is not None

    def _began_after(self, number: int) -> datetime | None:
        """A revision began no earlier than the newest ReplicaSet that was there by then."""
        created = (entry.replica_set.created_at for entry in self.timeline.entries if entry.number <= number)
        return max((each for each in created if each is not None), default=None)


@dataclass(frozen=True, slots=True)
class Fact:
    """That `failed` failed, in the words of a verdict."""

    kind: Kind
    failed: Entry
    cause: int
    at: datetime | None
    message: str


def said(scene: Scene, fact: Fact) -> Finding:
    """Return the verdict on a failed revision, or the notice that says why there is none."""
    identity = fact.failed.replica_set.identity
    if isinstance(identity, Unidentified):
        return not_said(About.NOT_IDENTIFIED, fact, f"{identity.problem}; {identity.mend}")
    if fact.kind in {Kind.ABORTED, Kind.UNDONE} and _is_spent(scene.timeline, fact.failed):
        return not_said(
            About.ID_ALREADY_DEPLOYED,
            fact,
            "the id in the pod template names the deployment of an earlier revision that may have succeeded",
        )
    return Verdict(
        rollout_uid=scene.observation.uid,
        pod_template_hash=fact.failed.replica_set.pod_template_hash,
        identity=identity,
        kind=fact.kind,
        revision=fact.failed.number,
        cause=fact.cause,
        at=fact.at,
        message=fact.message,
    )


def not_said(about: About, fact: Fact, why: str) -> Notice:
    """Return the notice that nothing is sent for a failed revision."""
    return Notice(about, fact.failed.number, fact.cause, f"revision {fact.failed.number} is not marked: {why}")


def _is_spent(timeline: Timeline, failed: Entry) -> bool:
    """An id names one deployment event. Run again, the same pod template has no id of its own."""
    if not isinstance(failed.replica_set.identity, ById):
        return False
    earlier = (entry for entry in timeline.entries if entry.key == failed.key and entry.number < failed.number)
    return any(entry.fate is not Fate.NOT_PROMOTED for entry in earlier)
