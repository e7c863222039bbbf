"""Which Datadog deployment a pod template is: by id, by service + env + version, or not identifiable.

The template's annotation `dora-operator.io/deployment-id` wins: it was set on purpose and names one deployment. A
broken id is an error of the user and never falls back to the labels, because that could mark another deployment than
the one that was meant. Without it the labels `tags.datadoghq.com/{service,env,version}` count, each overridden by the
template's annotation `dora-operator.io/{service,env,version}`. Nothing outside the pod template is read, so a revision
keeps its identity for as long as its ReplicaSet exists.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dora_operator.domain.fields import is_deployment_id, is_tag
from dora_operator.domain.rollout import raw

ID_ANNOTATION = "dora-operator.io/deployment-id"
LABEL_PREFIX = "tags.datadoghq.com/"
OVERRIDE_PREFIX = "dora-operator.io/"
TAGS = ("service", "env", "version")


@dataclass(frozen=True, slots=True)
class ById:
    """One deployment, named by Datadog's id: equal ids are one deployment, whatever tags the template has."""

    deployment_id: str
    service: str | None = field(default=None, compare=False)
    env: str | None = field(default=None, compare=False)
    version: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class ByVersion:
    """What Datadog calls the unique key of a deployment: service, env and version."""

    service: str
    env: str
    version: str


@dataclass(frozen=True, slots=True)
class Unidentified:
    """Nothing may be sent for this revision; `fix` says what the user can change."""

    problem: str
    fix: str


Identified = ById | ByVersion
Identity = ById | ByVersion | Unidentified


def identify(template: Mapping[str, Any]) -> Identity:
    """Return the identity that a pod template gives its revision."""
    annotations = raw.mapping(template, "metadata", "annotations")
    tags = {tag: _tag_value(template, tag) for tag in TAGS}
    if ID_ANNOTATION in annotations:
        return _by_id(annotations[ID_ANNOTATION], tags)
    missing = [tag for tag in TAGS if tags[tag] is None]
    if missing:
        return _without(missing)
    return ByVersion(**{tag: value for tag, value in tags.items() if value is not None})


def shared_id(deployment_id: str) -> Unidentified:
    """Return the identity of revisions that claim one id although their versions differ."""
    return Unidentified(
        problem=f"pod templates of different versions have the id {deployment_id}",
        fix=f"set a new {ID_ANNOTATION} in the pod template with every version",
    )


def linkable(failed: Identified, fixed: Identified) -> bool:
    """Return whether Datadog can find `fixed` from `failed`: it searches in the service and env of `failed`."""
    if isinstance(fixed, ById) or (isinstance(failed, ById) and failed.service is None):
        return True
    return (failed.service, failed.env) == (fixed.service, fixed.env)


def _by_id(written: object, tags: Mapping[str, str | None]) -> Identity:
    if not is_deployment_id(written):
        return Unidentified(
            problem=f"the pod template's annotation {ID_ANNOTATION} is not a deployment id",
            fix="an id has 11 to 256 letters, digits, dots, colons, hyphens and underscores",
        )
    return ById(written, **tags)


def _without(missing: list[str]) -> Unidentified:
    labels = ", ".join(LABEL_PREFIX + tag for tag in missing)
    return Unidentified(
        problem=f"the pod template has no usable {labels}",
        fix=f"set the label on the pod template, or the annotation {OVERRIDE_PREFIX}{{{','.join(missing)}}}",
    )


def _tag_value(template: Mapping[str, Any], tag: str) -> str | None:
    annotations = raw.mapping(template, "metadata", "annotations")
    labels = raw.mapping(template, "metadata", "labels")
    value = annotations.get(OVERRIDE_PREFIX + tag, labels.get(LABEL_PREFIX + tag))
    return value if is_tag(value) else None
