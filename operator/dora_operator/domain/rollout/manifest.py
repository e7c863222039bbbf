"""A verdict as the DoraDeployment that carries it, and back again.

The manifest alone is the durable record: everything that a verdict says stands in it from the first write on, so a
kill between two writes loses nothing. Knows no status and no API server.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from dora_operator.domain.rollout import reading
from dora_operator.domain.rollout.identity import ById, ByVersion, Identified, is_deployment_id, is_tag
from dora_operator.domain.rollout.observation import Observation
from dora_operator.domain.rollout.verdict import Kind, Remediation, RemediationType, Verdict

API_VERSION = "dora-operator.io/v1alpha1"
KIND = "DoraDeployment"
ROLLOUT_LABEL = "dora-operator.io/rollout"
VERDICT_ANNOTATION = "dora-operator.io/verdict"
LONGEST_NAME = 253
LONGEST_LABEL = 63
DIGEST = 10
"""Characters of the digest that stands for what was cut off or replaced."""
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def wanted_resource(
    observation: Observation, verdict: Verdict, labels: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the manifest to apply. It has no owner: a deleted Rollout must not take an unsent report along."""
    # With an id and no version label, the pod hash says which revision is meant.
    version = verdict.identity.version or verdict.pod_template_hash
    spec: dict[str, Any] = {
        "deployment": _deployment(verdict.identity),
        "changeFailure": verdict.change_failure,
        "rolloutRef": {"name": observation.name, "version": version},
    }
    if verdict.remediation is not None:
        spec["remediation"] = _remediation(verdict.remediation)
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": resource_name(observation.name, verdict.pod_template_hash),
            "namespace": observation.namespace,
            "labels": {**(labels or {}), ROLLOUT_LABEL: label_value(observation.name)},
            "annotations": {VERDICT_ANNOTATION: _written(verdict)},
        },
        "spec": spec,
    }


def read_record(resource: Mapping[str, Any]) -> Verdict | None:
    """Return the verdict that a DoraDeployment carries, or None where it carries none that can be read."""
    try:
        written = json.loads(reading.text(resource, "metadata", "annotations", VERDICT_ANNOTATION))
        return _read(written, _read_identity(resource, written))
    except (ValueError, KeyError, RecursionError):
        return None


def resource_name(rollout: str, pod_template_hash: str) -> str:
    """Return the name of the DoraDeployment of one pod template: always the same, never too long."""
    return _fitting(f"{rollout}-{pod_template_hash}", LONGEST_NAME)


def label_value(rollout: str) -> str:
    """Return the Rollout's name as a label value; a digest keeps long ones apart."""
    return _fitting(rollout, LONGEST_LABEL)


def _fitting(name: str, longest: int) -> str:
    if len(name) <= longest and _NAME.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST]
    kept = re.sub(r"[^a-z0-9]+", "-", name.lower())[: longest - DIGEST - 1].strip("-")
    return f"{kept}-{digest}" if kept else digest


def _deployment(identity: Identified) -> dict[str, str]:
    if isinstance(identity, ById):
        return {"id": identity.deployment_id}
    return {"service": identity.service, "env": identity.env, "version": identity.version}


def _remediation(remediation: Remediation) -> dict[str, str]:
    by = {"id": remediation.deployment_id, "version": remediation.version}
    return {"type": remediation.type.value} | {name: value for name, value in by.items() if value is not None}


def _written(verdict: Verdict) -> str:
    tags = {tag: getattr(verdict.identity, tag) for tag in ("service", "env", "version")}
    fields = {
        "rolloutUid": verdict.rollout_uid,
        "podTemplateHash": verdict.pod_template_hash,
        "kind": verdict.kind.value,
        "revision": verdict.revision,
        "cause": verdict.cause,
        "at": verdict.at.isoformat() if verdict.at else None,
        "message": verdict.message or None,
        "tags": {tag: value for tag, value in tags.items() if value} or None,
        "remediation": _remediation(verdict.remediation) if verdict.remediation else None,
        "restoredAt": verdict.restored_at.isoformat() if verdict.restored_at else None,
    }
    return json.dumps({name: value for name, value in fields.items() if value is not None}, sort_keys=True)


def _read_identity(resource: Mapping[str, Any], written: object) -> Identified:
    deployment = reading.mapping(resource, "spec", "deployment")
    if is_deployment_id(deployment.get("id")):
        tags = reading.mapping(written, "tags")
        return ById(deployment["id"], *(tags[tag] if is_tag(tags.get(tag)) else None for tag in _TAGS))
    if all(is_tag(deployment.get(tag)) for tag in _TAGS):
        return ByVersion(**{tag: deployment[tag] for tag in _TAGS})
    raise ValueError("the resource names no deployment")


_TAGS = ("service", "env", "version")


def _read(written: object, identity: Identified) -> Verdict:
    revision, cause = reading.integer(written, "revision"), reading.integer(written, "cause")
    if revision is None or cause is None:
        raise ValueError("a verdict speaks of a revision and its cause")
    return Verdict(
        rollout_uid=reading.text(written, "rolloutUid"),
        pod_template_hash=reading.text(written, "podTemplateHash"),
        identity=identity,
        kind=Kind(reading.text(written, "kind")),
        revision=revision,
        cause=cause,
        at=reading.moment(written, "at"),
        message=reading.text(written, "message"),
        remediation=_read_remediation(reading.mapping(written, "remediation")),
        restored_at=reading.moment(written, "restoredAt"),
    )


def _read_remediation(written: Mapping[str, Any]) -> Remediation | None:
    if not written:
        return None
    kind = RemediationType(reading.text(written, "type"))
    return Remediation(kind, reading.text(written, "id") or None, reading.text(written, "version") or None)
