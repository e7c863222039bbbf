"""The deployment event that the operator posts itself, for `onMissing: Create`.

Its id and its body are deterministic, so that a repeated request changes nothing. Posts nothing itself.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime

from dora_operator.domain.rollout.verdict import Verdict, VerdictKind

ID_PREFIX = "dora-operator-"
ID_DIGEST = 40


@dataclass(frozen=True, slots=True)
class DeploymentEvent:
    """The attributes of a deployment event. Source: Datadog API reference, "Send a deployment event"."""

    deployment_id: str
    """16 to 128 characters."""
    service: str
    env: str | None
    version: str | None
    started_at: datetime
    finished_at: datetime


def failed_event(verdict: Verdict) -> DeploymentEvent | None:
    """Return the event of a failed revision that Datadog does not have, if its times are known.

    A revision that was promoted finished at its promotion, which the verdict does not know.
    """
    in_flight = verdict.verdict in {VerdictKind.ABORTED, VerdictKind.UNDONE}
    if not in_flight or None in (verdict.service, verdict.started_time, verdict.time):
        return None
    assert verdict.service is not None
    assert verdict.started_time is not None
    assert verdict.time is not None
    return DeploymentEvent(
        deployment_id=_own_id(verdict.uid, verdict.pod_template_hash, str(verdict.revision)),
        service=verdict.service,
        env=verdict.env,
        version=verdict.version,
        started_at=min(verdict.started_time, verdict.time),
        finished_at=verdict.time,
    )


def is_own_id(deployment_id: str) -> bool:
    """Return whether an id has the form of those made here."""
    return re.fullmatch(rf"{ID_PREFIX}[0-9a-f]{{{ID_DIGEST}}}", deployment_id) is not None


def _own_id(*parts: str) -> str:
    return ID_PREFIX + hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:ID_DIGEST]
