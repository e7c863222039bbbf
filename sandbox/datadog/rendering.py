"""Deployments as JSON:API resources, and which of them a list request selects.

Pure. The published schema, and (unless told otherwise) the attributes that were observed in real answers beyond it:
`change_failure` (null until evaluated), `remediation` and `recovery_time_sec` only where it is true, and some more.
"""

import re
from collections.abc import Iterable
from typing import Any

from sandbox.datadog import moments
from sandbox.datadog.documents import RefusedError
from sandbox.datadog.state import Deployment, Deployments
from sandbox.datadog.wanted import Git, Listing

RESOURCE_TYPE = "dora_deployment"
_TERM = re.compile(r'(-?)@?([A-Za-z_]+):("[^"]*"|[^\s"()]+)')


def resource(deployment: Deployment, known: Deployments, *, observed: bool) -> dict[str, Any]:
    """Return the JSON:API resource of a deployment."""
    attributes = _published(deployment) | (_observed(deployment, known) if observed else {})
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


def _observed(deployment: Deployment, known: Deployments) -> dict[str, Any]:
    event, remediation = deployment.event, deployment.remediation
    failed = deployment.change_failure is True and remediation is not None
    return {
        "change_failure": deployment.change_failure,
        "remediation": _remediation(deployment, known) if failed else None,
        "recovery_time_sec": _recovery_seconds(deployment, known) if failed else None,
        "deployment_type": "standard",
        "source": deployment.source,
        "duration": (event.finished_at - event.started_at) // moments.NANOSECONDS,
        "created_at": moments.as_text(moments.from_clock(deployment.created_at)),
    }


def _remedy(deployment: Deployment, known: Deployments) -> Deployment | None:
    remediation = deployment.remediation
    if remediation is None:
        return None
    if remediation.id is not None:
        return known.peek(remediation.id)
    return known.newest((deployment.event.service, deployment.event.env, remediation.version))


def _remediation(deployment: Deployment, known: Deployments) -> dict[str, str] | None:
    remediation, remedy = deployment.remediation, _remedy(deployment, known)
    if remediation is None:
        return None
    linked = {"id": remedy.id if remedy else remediation.id, "type": remediation.type}
    return {name: value for name, value in linked.items() if value is not None} or None


def _recovery_seconds(deployment: Deployment, known: Deployments) -> int | None:
    remedy = _remedy(deployment, known)
    if remedy is None or remedy.event.finished_at < deployment.event.finished_at:
        return None
    return (remedy.event.finished_at - deployment.event.finished_at) // moments.NANOSECONDS


def selected(deployments: Iterable[Deployment], listing: Listing) -> list[Deployment]:
    """Return the deployments that a list request is for; both ends of the time span belong to it."""
    terms = _terms(listing.query)
    start = listing.start if listing.start is not None else -(2**70)
    end = listing.end if listing.end is not None else 2**70
    matching = [
        one
        for one in deployments
        if start <= one.event.started_at <= end and all(_matches(one, *term) for term in terms)
    ]
    attribute = listing.sort.removeprefix("-")
    matching.sort(key=lambda one: getattr(one.event, attribute), reverse=listing.sort.startswith("-"))
    return matching[: listing.limit]


def _terms(query: str) -> list[tuple[str, str, str]]:
    """Split a query; of the event search syntax only terms joined by AND are understood here."""
    rest = re.sub(r"\bAND\b", " ", _TERM.sub(" ", query)).strip()
    if rest not in {"", "*"}:
        raise RefusedError(f'attribute "query": the stand-in understands only name:value terms, not {rest!r}')
    return [(minus, name, value.strip('"')) for minus, name, value in _TERM.findall(query)]


def _matches(deployment: Deployment, minus: str, name: str, wanted: str) -> bool:
    event = deployment.event
    known = {"service": event.service, "env": event.env, "version": event.version, "team": event.team}
    known |= {"id": deployment.id, "source": deployment.source, "change_failure": _word(deployment.change_failure)}
    if name in known:
        value = known[name]
        found = value is not None and (value.startswith(wanted[:-1]) if wanted.endswith("*") else value == wanted)
    else:
        found = f"{name}:{wanted}" in event.custom_tags
    return found is not bool(minus)


def _word(flag: bool | None) -> str | None:  # noqa: FBT001 - the value of an attribute, no switch
    return None if flag is None else str(flag).lower()
