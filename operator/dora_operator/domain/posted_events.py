"""The deployment event of a failed revision that Datadog does not have, as the operator posts it (`onMissing: Create`).

Its id and body follow from the verdict, so that a repeated request changes nothing. It stands in for the real
deployment until that appears, and is never one that a mark, a link or a read may choose.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from dora_operator.domain.history.verdicts import Verdict
from dora_operator.domain.lookup import OWN_PREFIX

ID_DIGEST = 40
CUSTOM_TAGS = ("dora_operator:created",)
"""Dashboards can leave these deployments out."""


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


def failed_event(verdict: Verdict | None) -> DeploymentEvent | None:
    """Return the event of a failed revision, if its start and its end are in the history."""
    if verdict is None or verdict.service is None or verdict.started_time is None or verdict.ended_time is None:
        return None
    return DeploymentEvent(
        deployment_id=own_id(verdict),
        service=verdict.service,
        env=verdict.env,
        version=verdict.version,
        started_at=min(verdict.started_time, verdict.ended_time),
        finished_at=verdict.ended_time,
    )


def own_id(verdict: Verdict) -> str:
    parts = "\n".join((verdict.uid, verdict.pod_template_hash, str(verdict.revision)))
    return OWN_PREFIX + hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()[:ID_DIGEST]
