"""The spec of a DoraDeployment, as pydantic models from which the CRD is made.

What one field cannot say alone is said by the CEL rules in `RULES`; the API server enforces both before the operator
sees an object.
"""

from pydantic import Field
from pydantic.dataclasses import dataclass

from dora_operator.domain.fields import (
    CONFIG,
    DeploymentId,
    ObjectName,
    OnMissing,
    RemediationType,
    Rule,
    SourceKind,
    Tag,
    WithRules,
)
from dora_operator.domain.sites import Site


@dataclass(frozen=True, slots=True, kw_only=True, config=CONFIG)
class ObjectReference:
    """Names an object in the namespace of the DoraDeployment. Other namespaces cannot be named."""

    name: ObjectName = Field(description="Name of the object, in the namespace of this DoraDeployment.")


@dataclass(frozen=True, slots=True, kw_only=True, config=CONFIG)
class DeploymentSelector(WithRules):
    """Selects a Datadog deployment by id, or by service, env and version. Immutable."""

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
        description="Id of the deployment in Datadog, from the answer to the deployment event or from the "
        "deployment's panel in the UI: 11 to 256 of the characters A-Z a-z 0-9 _ . : -. Quote an id of digits only.",
    )
    service: Tag | None = Field(default=None, description="Datadog service of the deployment.")
    env: Tag | None = Field(default=None, description="Datadog environment of the deployment, such as prod.")
    version: Tag | None = Field(
        default=None,
        description="Version of the deployment, as in the tag version. Quote a version that could be read as a "
        "number. Datadog takes the most recently finished deployment of this service, env and version.",
    )


@dataclass(frozen=True, slots=True, kw_only=True, config=CONFIG)
class Remediation(WithRules):
    """The deployment that corrected the failed one."""

    RULES = (
        Rule(
            "[has(self.id), has(self.version), has(self.doraDeploymentRef)].exists_one(set, set)",
            "set exactly one of id, version and doraDeploymentRef",
        ),
    )
    type: RemediationType = Field(description="rollback (to an older version) or rollforward (to a newer one).")
    id: DeploymentId | None = Field(default=None, description="Id of the remediation deployment in Datadog.")
    version: Tag | None = Field(
        default=None,
        description="Version of the remediation deployment. Datadog searches it in the service and env of the failed "
        "deployment.",
    )
    dora_deployment_ref: ObjectReference | None = Field(
        default=None, description="Another DoraDeployment in this namespace: its id or version is used."
    )


@dataclass(frozen=True, slots=True, kw_only=True, config=CONFIG)
class SourceReference:
    """A workload that decides changeFailure and remediation where spec leaves them out."""

    kind: SourceKind = Field(default=SourceKind.ROLLOUT, description="Kind of the workload: Rollout (argoproj.io).")
    name: ObjectName = Field(description="Name of the workload, in the namespace of this DoraDeployment.")
    version: Tag | None = Field(
        default=None,
        description="Version that selects the revision of the workload. Required with deployment.id; default: "
        "deployment.version.",
    )


@dataclass(frozen=True, slots=True, kw_only=True, config=CONFIG)
class DoraDeploymentSpec(WithRules):
    """Desired change-failure and remediation state of one Datadog deployment."""

    RULES = (
        Rule(
            "has(self.changeFailure) || has(self.remediation) || has(self.sourceRef)",
            "spec asks for nothing: set at least one of changeFailure, remediation and sourceRef",
        ),
        Rule(
            "has(self.deployment.id) || has(self.changeFailure) || has(self.sourceRef)",
            "a deployment named by service, env and version needs changeFailure: true or false"
            " (Datadog requires it), or a sourceRef that decides it",
        ),
        Rule(
            "!has(self.sourceRef) || !has(self.deployment.id) || has(self.sourceRef.version)",
            "set sourceRef.version: with deployment.id it selects the revision of the workload",
        ),
        Rule(
            "!has(self.remediation) || !has(self.remediation.id) || !has(self.deployment.id)"
            " || self.remediation.id != self.deployment.id",
            "a deployment cannot be its own remediation: set remediation.id to another id than deployment.id",
        ),
        Rule(
            "!has(self.remediation) || !has(self.remediation.version) || !has(self.deployment.version)"
            " || self.remediation.version != self.deployment.version",
            "a deployment cannot be its own remediation: set remediation.version to another version than"
            " deployment.version",
        ),
    )
    deployment: DeploymentSelector = Field(
        description="The Datadog deployment, by id, or by service, env and version. Immutable."
    )
    change_failure: bool | None = Field(
        default=None,
        description="true marks the deployment as a change failure, false as stable. Default: decided by sourceRef, "
        "or left as it is.",
    )
    remediation: Remediation | None = Field(
        default=None, description="The deployment that corrected this one. Datadog computes the recovery time from it."
    )
    source_ref: SourceReference | None = Field(
        default=None,
        description="Workload whose aborts, rollbacks and promotions of this version decide changeFailure and "
        "remediation. Values set in spec win.",
    )
    site: Site | None = Field(default=None, description="Datadog site. Default: the operator's site.")
    credentials_secret_ref: ObjectReference | None = Field(
        default=None,
        description="Secret in this namespace with the keys api-key and app-key. Default: the operator's own keys.",
    )
    on_missing: OnMissing | None = Field(
        default=None,
        description="What happens if Datadog does not have the deployment: Wait, or Create, which posts its event with "
        "the times of the failed revision of sourceRef. Default: the annotation dora-operator.io/on-missing of the "
        "Rollout or the Namespace, else the operator's setting.",
    )
    read_back: bool | None = Field(
        default=None, description="false does not read back what Datadog stored. Default: the operator's setting."
    )
    suspend: bool | None = Field(default=None, description="true sends nothing until it is false or absent.")
    dry_run: bool | None = Field(
        default=None, description="true shows in status.dryRun what would be sent, and sends nothing."
    )


ROOT_RULES = (
    Rule(
        "!has(self.spec.remediation) || !has(self.spec.remediation.doraDeploymentRef)"
        " || self.spec.remediation.doraDeploymentRef.name != self.metadata.name",
        "doraDeploymentRef names this DoraDeployment itself: name the DoraDeployment of the remediation",
        ".spec.remediation.doraDeploymentRef.name",
    ),
)
"""Rules that need the object's name."""
