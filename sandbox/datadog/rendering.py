"""Deployments as JSON:API resources.

Pure. The published schema, and what was observed in real answers beyond it: `change_failure` (null until evaluated),
`remediation` and `recovery_time_sec` only where it is true, `source`, `deployment_type` and some more.
"""

import re
from typing import Any

from sandbox.datadog import moments
from sandbox.datadog.model import Model
from sandbox.datadog.values import Deployment, Git

RESOURCE_TYPE = "dora_deployment"


def resource(deployment: Deployment, model: Model, *, observed: bool) -> dict[str, Any]:
    """Return the JSON:API resource of a deployment: the published schema, or all that was observed."""
    attributes = _published(deployment) | (_observed(deployment, model) if observed else {})
    present = {name: value for name, value in attributes.items() if value is not None or name == "change_failure"}
    return {"id": deployment.id, "type": RESOURCE_TYPE, "attributes": present}


def _published(deployment: Deployment) -> dict[str, Any]:
    event = deployment.event
    return {
        "service": event.service,
        "started_at": moments.as_text(event.started_at),
        "finished_at": moments.as_text(event.finished_at),
        "env": event.env,
        "team": event.team,
        "version": event.version,
        "custom_tags": list(event.custom_tags) or None,
        "git": event.git and _git(event.git),
    }


def _git(git: Git) -> dict[str, str]:
    repository = re.sub(r"^[a-z+]+://", "", git.repository_url).removesuffix(".git").lower()
    return {"commit_sha": git.commit_sha, "repository_id": repository}


def _observed(deployment: Deployment, model: Model) -> dict[str, Any]:
    event = deployment.event
    return {
        "change_failure": deployment.shown_failure,
        "remediation": _remediation(deployment, model) if deployment.shown_failure else None,
        "recovery_time_sec": model.recovery_seconds(deployment),
        "deployment_type": "rollback" if deployment.is_rollback else "standard",
        "source": deployment.source,
        "duration": int(event.finished_at - event.started_at),
        "created_at": moments.as_text(deployment.created_at),
    }


def _remediation(deployment: Deployment, model: Model) -> dict[str, str] | None:
    remediation, remedy = deployment.remediation, model.remedy(deployment)
    if remediation is None:
        return None
    linked = {"id": remedy.id if remedy else remediation.id, "type": remediation.type}
    return {name: value for name, value in linked.items() if value is not None} or None
