"""The DoraDeployment that `mark` and `clear` write: which one, and with which spec. Pure.

A deployment that has a DoraDeployment already gets no second one: two could contradict each other. The one that is
there is changed, also where the operator created it; spec wins over what the Rollout says.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dora_operator.domain.fields import (
    API_VERSION,
    KIND,
    RemediationType,
    is_deployment_id,
    is_tag,
)
from dora_operator.domain.history.identity import TAGS, Identity, fix_of
from dora_operator.domain.resource import DoraDeployment
from dora_operator.domain.spec import DeploymentSelector
from kubectl_dora.errors import CommandError, UsageError

ID_PREFIX = "id:"
LONGEST_NAME = 200
DIGEST = 8
PRINTED_METADATA = ("name", "namespace", "labels", "annotations")
"""What belongs into Git; the rest of the metadata is the API server's."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user wants to be known about one deployment."""

    deployment: Mapping[str, str]
    """spec.deployment."""
    change_failure: bool
    remediation: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Create:
    """There is no DoraDeployment for the deployment yet."""

    manifest: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """A DoraDeployment is there and says something else."""

    deployment: DoraDeployment
    spec: dict[str, Any]
    """A merge patch of its spec."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """A DoraDeployment is there and says exactly this."""

    deployment: DoraDeployment


Step = Create | Change | Nothing


def selector_from_flags(
    deployment_id: str | None, service: str | None, env: str | None, version: str | None
) -> dict[str, str]:
    """Return spec.deployment from the flags.

    Raises:
        UsageError: they name no deployment, or two.
    """
    tags = {"service": service, "env": env, "version": version}
    given = {name: value for name, value in tags.items() if value is not None}
    if deployment_id is not None:
        if given:
            fix = "give --id alone, or --service, --env and --version without it"
            raise UsageError("--id", f"--{next(iter(given))} names a deployment, too", fix)
        if not is_deployment_id(deployment_id):
            fix = "copy the id from the deployment's panel in Datadog: 11 to 256 of A-Z a-z 0-9 _ . : -"
            raise UsageError(f"--id {deployment_id}", "this is not an id that Datadog makes", fix)
        return {"id": deployment_id}
    missing = [f"--{name}" for name in tags if name not in given]
    if missing:
        fix = "name the deployment by --service, --env and --version, by --id, or as rollout/NAME"
        raise UsageError("the deployment", f"{', '.join(missing)} missing", fix)
    for name, value in given.items():
        if not is_tag(value):
            fix = "remove control characters, and spaces at the beginning and the end"
            raise UsageError(f"--{name} {value!r}", "Datadog has no such tag", fix)
    return given


def selector_of(identity: Identity, what: str) -> dict[str, str]:
    """Return spec.deployment for a revision of a Rollout.

    Raises:
        CommandError: the revision cannot be identified.
    """
    if not identity.is_known:
        raise CommandError(what, "its pod template names no deployment", fix_of(identity))
    if identity.deployment_id is not None:
        return {"id": identity.deployment_id}
    return {tag: getattr(identity, tag) for tag in TAGS}


def remediation_from_flags(rolled_back_to: str | None, rolled_forward_to: str | None) -> dict[str, str] | None:
    """Return spec.remediation from the flags.

    Raises:
        UsageError: both are given, or one is neither a version nor an id.
    """
    if rolled_back_to is not None and rolled_forward_to is not None:
        fix = "give the one that ended the failure"
        raise UsageError("--rolled-back-to and --rolled-forward-to", "they contradict each other", fix)
    if rolled_back_to is None and rolled_forward_to is None:
        return None
    kind = RemediationType.ROLLFORWARD if rolled_back_to is None else RemediationType.ROLLBACK
    value = rolled_back_to or rolled_forward_to or ""
    is_id = value.startswith(ID_PREFIX)
    value = value.removeprefix(ID_PREFIX)
    if not (is_deployment_id(value) if is_id else is_tag(value)):
        fix = f"write VERSION, or {ID_PREFIX}DEPLOYMENT-ID"
        raise UsageError(f"{value!r}", "this is neither a version nor an id of a deployment", fix)
    return {"type": kind.value, "id" if is_id else "version": value}


def check_remediation(wanted: Wanted) -> None:
    """Refuse a deployment that would be its own remediation.

    Raises:
        UsageError: it would be.
    """
    link, own = wanted.remediation or {}, wanted.deployment
    named = link.get("id") or link.get("version")
    if named is not None and named == own.get("id" if "id" in link else "version"):
        raise UsageError(named, "a deployment cannot be its own remediation", "name the one that ended the failure")


def next_step(wanted: Wanted, namespace: str, deployments: Sequence[DoraDeployment], name: str | None = None) -> Step:
    """Return what has to be written. `name` is that of a new resource; by default it is made from the deployment."""
    existing = existing_for(wanted.deployment, deployments)
    if existing is None:
        return Create(manifest(wanted, namespace, name))
    spec: dict[str, Any] = {}
    known = existing.spec
    if known is None or known.change_failure is not wanted.change_failure:
        spec["changeFailure"] = wanted.change_failure
    link = _link(existing)
    if wanted.remediation != link and (wanted.remediation is not None or not wanted.change_failure):
        # A merge patch: the id of another link would otherwise stay beside the new version.
        nothing = dict.fromkeys(("id", "version", "doraDeploymentRef"))
        spec["remediation"] = {**nothing, **wanted.remediation} if wanted.remediation is not None else None
    return Change(existing, spec) if spec else Nothing(existing)


def existing_for(deployment: Mapping[str, str], deployments: Sequence[DoraDeployment]) -> DoraDeployment | None:
    """Return the DoraDeployment that decides about a deployment: of two, the older one wins."""
    selector = DeploymentSelector(**deployment)
    found = [each for each in deployments if each.spec is not None and each.spec.deployment == selector]
    return min(found, key=lambda each: (each.created_time, each.key), default=None)


def manifest(wanted: Wanted, namespace: str | None, name: str | None = None) -> dict[str, Any]:
    """Return a new DoraDeployment. Its default name is made from the deployment."""
    spec: dict[str, Any] = {"deployment": dict(wanted.deployment), "changeFailure": wanted.change_failure}
    if wanted.remediation is not None:
        spec["remediation"] = dict(wanted.remediation)
    metadata = {"name": name or name_for(wanted.deployment)} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}


def for_git(body: Mapping[str, Any], spec: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a resource as it belongs into Git, with a merge patch of its spec applied."""
    metadata = {name: body["metadata"][name] for name in PRINTED_METADATA if name in body["metadata"]}
    annotations = {name: text for name, text in metadata.pop("annotations", {}).items() if name != LAST_APPLIED}
    metadata |= {"annotations": annotations} if annotations else {}
    merged = merge(body["spec"], spec or {})
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": merged}


def merge(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a JSON merge patch makes of an object."""
    merged = {name: value for name, value in target.items() if name not in patch}
    for name, value in patch.items():
        if isinstance(value, Mapping):
            inner = target.get(name)
            merged[name] = merge(inner if isinstance(inner, Mapping) else {}, value)
        elif value is not None:
            merged[name] = value
    return merged


def name_for(deployment: Mapping[str, str]) -> str:
    """Return a name made from a deployment: always the same one, valid for every tag."""
    words = (
        [deployment["id"]] if "id" in deployment else [deployment["service"], deployment["env"], deployment["version"]]
    )
    written = "-".join(words)
    plain = re.sub(r"[^a-z0-9.]+", "-", written.lower()).strip("-.")
    plain = re.sub(r"[-.]*\.[-.]*", ".", plain)
    if plain == written and len(plain) <= LONGEST_NAME:
        return plain
    digest = hashlib.sha256("\n".join(words).encode()).hexdigest()[:DIGEST]
    kept = plain[: LONGEST_NAME - DIGEST - 1].strip("-.")
    return f"{kept}-{digest}" if kept else f"deployment-{digest}"


def _link(deployment: DoraDeployment) -> dict[str, str] | None:
    link = deployment.spec.remediation if deployment.spec is not None else None
    if link is None:
        return None
    named = {"id": link.id, "version": link.version, "doraDeploymentRef": link.dora_deployment_ref}
    return {"type": link.type.value, **{name: str(value) for name, value in named.items() if value is not None}}
