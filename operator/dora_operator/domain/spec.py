"""The spec of a DoraDeployment: pydantic models from which the CRD's schema is made.

What one field cannot say alone is said by the CEL rules in `RULES`; the API server enforces both before the operator
sees a resource. Nothing here decides what is sent: that is `request`.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from dora_operator.domain.model import Model, Rule, mend
from dora_operator.domain.sites import Site

GROUP = "dora-operator.io"
VERSION = "v1alpha1"
KIND = "DoraDeployment"
PLURAL = "doradeployments"
API_VERSION = f"{GROUP}/{VERSION}"

DeploymentId = Annotated[
    str,
    StringConstraints(min_length=11, max_length=256, pattern=r"^[A-Za-z0-9_.:-]+$"),
    mend("only the characters A-Z a-z 0-9 _ . : - make an id; copy it from the deployment's panel in Datadog"),
]
"""An id as Datadog makes or takes it: base64url (11 characters), hexadecimal, UUID, or the caller's own."""

Tag = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x20\x7f]([^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?$",
    ),
    mend("remove control characters, and spaces at the beginning and the end"),
]
"""A value of the tags service, env or version: free text without control characters or outer spaces."""

ObjectName = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=253,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    ),
    mend("names of objects are made of lower-case letters, digits, - and ., and begin and end with a letter or digit"),
]
"""The name of a Kubernetes object (RFC 1123 subdomain)."""


class RemediationType(StrEnum):
    """How a failed deployment was put right, in Datadog's words."""

    ROLLBACK = "rollback"
    ROLLFORWARD = "rollforward"


class ObjectReference(Model):
    """Names an object in the namespace of the DoraDeployment. Other namespaces cannot be reached."""

    name: ObjectName = Field(description="Name of the object, in the namespace of this DoraDeployment.")


class DeploymentSelector(Model):
    """Which Datadog deployment is meant: by id, or by service, env and version. Immutable."""

    RULES = (
        Rule(
            "has(self.id) ? !has(self.service) && !has(self.env) && !has(self.version)"
            " : has(self.service) && has(self.env) && has(self.version)",
            "set either id alone, or service, env and version all three (without id)",
        ),
        Rule(
            "self == oldSelf",
            "deployment is immutable: delete this DoraDeployment and create one for the other deployment",
        ),
    )
    id: DeploymentId | None = Field(
        default=None,
        description="Id of the deployment in Datadog: from the answer to the deployment event, or from the "
        "deployment's panel in the UI. 11 to 256 of the characters A-Z a-z 0-9 _ . : -. Quote an id of digits only.",
    )
    service: Tag | None = Field(default=None, description="Datadog service of the deployment.")
    env: Tag | None = Field(default=None, description="Datadog environment of the deployment, such as prod.")
    version: Tag | None = Field(
        default=None,
        description="Version of the deployment, as in the tag version. Quote one that looks like a number. Datadog "
        "takes the most recently finished deployment of this service, env and version.",
    )


class Remediation(Model):
    """The deployment that put the failed one right. Datadog computes the recovery time from it."""

    RULES = (
        Rule(
            "[has(self.id), has(self.version), has(self.deploymentRef)].exists_one(set, set)",
            "set exactly one of id, version and deploymentRef",
        ),
    )
    type: RemediationType = Field(description="rollback (to an older version) or rollforward (to a newer one).")
    id: DeploymentId | None = Field(default=None, description="Id of the remediation deployment in Datadog.")
    version: Tag | None = Field(
        default=None,
        description="Version of the remediation deployment; Datadog looks for it in the failed deployment's own "
        "service and env.",
    )
    deployment_ref: ObjectReference | None = Field(
        default=None,
        description="Another DoraDeployment of this namespace: its id or version is the remediation.",
    )


class RolloutReference(Model):
    """The Argo Rollout that decides about changeFailure and remediation where spec leaves them out."""

    name: ObjectName = Field(description="Name of a Rollout (argoproj.io), in the namespace of this DoraDeployment.")
    version: Tag | None = Field(
        default=None,
        description="Which revision of the Rollout is meant, by its version. Needed with deployment.id; otherwise "
        "deployment.version is taken.",
    )


class DoraDeploymentSpec(Model):
    """What Datadog shall say about one deployment."""

    RULES = (
        Rule(
            "has(self.changeFailure) || has(self.remediation) || has(self.rolloutRef)",
            "nothing is asked for: set at least one of changeFailure, remediation and rolloutRef",
        ),
        Rule(
            "has(self.deployment.id) || has(self.changeFailure) || has(self.rolloutRef)",
            "a deployment named by service, env and version needs changeFailure: true or false"
            " (Datadog requires it), or a rolloutRef that decides it",
        ),
        Rule(
            "!has(self.rolloutRef) || !has(self.deployment.id) || has(self.rolloutRef.version)",
            "set rolloutRef.version: with deployment.id it tells which revision of the Rollout is meant",
        ),
        Rule(
            "!has(self.remediation) || !has(self.remediation.id) || !has(self.deployment.id)"
            " || self.remediation.id != self.deployment.id",
            "a deployment cannot be its own remediation: remediation.id must differ from deployment.id",
        ),
        Rule(
            "!has(self.remediation) || !has(self.remediation.version) || !has(self.deployment.version)"
            " || self.remediation.version != self.deployment.version",
            "a deployment cannot be its own remediation: remediation.version must differ from deployment.version",
        ),
    )
    deployment: DeploymentSelector = Field(
        description="Which Datadog deployment is meant: by id, or by service, env and version. Immutable."
    )
    change_failure: bool | None = Field(
        default=None,
        description="true marks the deployment as a change failure, false as stable. Absent: decided by rolloutRef, "
        "or left as it is.",
    )
    remediation: Remediation | None = Field(
        default=None,
        description="The deployment that put this one right; Datadog computes the recovery time from it.",
    )
    rollout_ref: RolloutReference | None = Field(
        default=None,
        description="Take changeFailure and remediation from what this Argo Rollout does to this version. What is set "
        "in spec wins.",
    )
    site: Site | None = Field(default=None, description="Datadog site. Default: the operator's.")
    credentials_secret_ref: ObjectReference | None = Field(
        default=None,
        description="Secret of this namespace with the keys api-key and app-key. Default: the operator's account.",
    )
    suspend: bool | None = Field(default=None, description="true holds the report back until it is false or absent.")
    dry_run: bool | None = Field(
        default=None, description="true shows in status.dryRun what would be sent, and sends nothing."
    )


ROOT_RULES = (
    Rule(
        "!has(self.spec.remediation) || !has(self.spec.remediation.deploymentRef)"
        " || self.spec.remediation.deploymentRef.name != self.metadata.name",
        "it names this DoraDeployment itself: name the one of the remediation deployment",
        ".spec.remediation.deploymentRef.name",
    ),
)
"""Rules that need the object's name."""
