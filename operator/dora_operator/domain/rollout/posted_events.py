"""The deployment event of a failed revision that Datadog does not have, as the operator posts it (`onMissing: Create`).

Its id and body follow from the verdict, so that a repeated request changes nothing. Posts nothing itself.
"""

import hashlib
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
    """Return the event of a failed revision, if its times are known.

    A revision that was promoted finished at its promotion, which the verdict does not know.
    """
    in_flight = verdict.verdict in {VerdictKind.ABORTED, VerdictKind.UNDONE}
    if not in_flight or verdict.service is None or verdict.started_time is None or verdict.time is None:
        return None
    digest = hashlib.sha256(
        "\n".join((verdict.uid, verdict.pod_template_hash, str(verdict.revision))).encode("utf-8", "surrogatepass")
    )
    return DeploymentEvent(
        deployment_id=ID_PREFIX + digest.hexdigest()[:ID_DIGEST],
        service=verdict.service,
        env=verdict.env,
        version=verdict.version,
        started_at=min(verdict.started_time, verdict.time),
        finished_at=verdict.time,
    )


def is_own_id(deployment_id: str) -> bool:
    """Return whether the operator posted the deployment with this id."""
    return deployment_id.startswith(ID_PREFIX)
