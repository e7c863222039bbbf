"""Which Datadog deployment a pod template is: by id, by service + env + version, or not identifiable.

The template's annotation `dora-operator.io/deployment-id` wins: it was set on purpose. A broken id never falls back to
the labels, because that could mark another deployment than the one that was meant. Without it the labels
`tags.datadoghq.com/{service,env,version}` count, each overridden by the annotation `dora-operator.io/…` of its name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dora_operator.domain import raw
from dora_operator.domain.fields import is_deployment_id, is_tag

ID_ANNOTATION = "dora-operator.io/deployment-id"
LABEL_PREFIX = "tags.datadoghq.com/"
OVERRIDE_PREFIX = "dora-operator.io/"
TAGS = ("service", "env", "version")


@dataclass(frozen=True, slots=True)
class Identity:
    """What names a deployment. Absent parts are None."""

    service: str | None = None
    env: str | None = None
    version: str | None = None
    deployment_id: str | None = None

    @property
    def is_known(self) -> bool:
        """Whether a request can name the deployment."""
        return self.deployment_id is not None or None not in (self.service, self.env, self.version)

    @property
    def key(self) -> tuple[str | None, ...]:
        """Equal for what Datadog takes for one version. Of an id its version counts too: one id, one version."""
        if self.deployment_id is not None:
            return self.deployment_id, self.version
        return self.service, self.env, self.version


def identify(template: Mapping[str, Any]) -> Identity:
    """Return what a pod template names; without an id or all three tags it is not known."""
    annotations = raw.mapping(template, "metadata", "annotations")
    tags = {tag: _tag(template, tag) for tag in TAGS}
    if ID_ANNOTATION not in annotations:
        return Identity(**tags)
    written = annotations[ID_ANNOTATION]
    return Identity(**tags, deployment_id=written) if is_deployment_id(written) else Identity(service=tags["service"])


def fix_of(identity: Identity) -> str:
    """Return what is missing and how to add it."""
    missing = [tag for tag in TAGS if getattr(identity, tag) is None]
    labels = ", ".join(f"label {LABEL_PREFIX}{tag} (or annotation {OVERRIDE_PREFIX}{tag})" for tag in missing)
    return f"set on the pod template a usable {labels}; or a usable annotation {ID_ANNOTATION}"


def linkable(failed: Identity, fixed: Identity) -> bool:
    """Return whether Datadog can find `fixed` from `failed`: it searches in the service and env of `failed`."""
    if not fixed.is_known:
        return False
    if fixed.deployment_id is not None or failed.service is None:
        return True
    return (failed.service, failed.env) == (fixed.service, fixed.env)


def _tag(template: Mapping[str, Any], tag: str) -> str | None:
    labels = raw.mapping(template, "metadata", "labels")
    value = raw.mapping(template, "metadata", "annotations").get(OVERRIDE_PREFIX + tag, labels.get(LABEL_PREFIX + tag))
    return value if is_tag(value) else None
