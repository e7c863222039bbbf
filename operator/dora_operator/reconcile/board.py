"""Verdicts on their way to the status of DoraDeployments that users wrote.

Only in memory: until a verdict stands in a status, the Rollout's levels and Events still show it.
"""

from dataclasses import dataclass, field

from dora_operator.domain.object_key import ObjectKey
from dora_operator.domain.observed import DoraDeploymentStatus, RolloutObservation
from dora_operator.domain.rollout.follow import to_status, to_verdict
from dora_operator.domain.rollout.manifest import read_record
from dora_operator.domain.rollout.verdict import Verdict
from dora_operator.inventory import Known


@dataclass(slots=True)
class VerdictBoard:
    """What Rollouts have decided about DoraDeployments, by key."""

    _posted: dict[ObjectKey, RolloutObservation] = field(default_factory=dict)

    def post(self, key: ObjectKey, rollout: str, verdict: Verdict) -> None:
        """Leave a verdict for a DoraDeployment."""
        self._posted[key] = to_status(rollout, verdict)

    def forget(self, key: ObjectKey) -> None:
        """Drop what is left for a DoraDeployment that is gone."""
        self._posted.pop(key, None)

    def read(self, known: Known, status: DoraDeploymentStatus, rollout: str | None) -> RolloutObservation | None:
        """Return the newest that is known: the operator's own record, else what was left here, else the status."""
        if rollout is None:
            return None
        record = record_of(known)
        if record is not None:
            return to_status(rollout, record)
        posted = self._posted.get(known.key)
        if posted is not None and posted == status.rollout:
            del self._posted[known.key]  # it stands in the status now
        return posted or status.rollout


def record_of(known: Known) -> Verdict | None:
    """Return the verdict that a DoraDeployment of the operator's own carries."""
    if known.verdict_json is None:
        return None
    return read_record(known.as_record())


def remembered_verdict(known: Known, status: DoraDeploymentStatus) -> Verdict | None:
    """Return the verdict that is on record for a DoraDeployment, whoever wrote it."""
    return record_of(known) if known.verdict_json is not None else to_verdict(status.rollout)
