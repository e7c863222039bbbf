"""Which Datadog deployment a pod template is, and which templates have none."""

from typing import Any

import pytest

from dora_operator.domain.rollout.identity import (
    ById,
    ByVersion,
    Identified,
    Identity,
    Unidentified,
    identify,
    linkable,
)

LABELS = {f"tags.datadoghq.com/{tag}": f"{tag}-label" for tag in ("service", "env", "version")}
DEPLOYMENT_ID = "4242fcdd31586083"
FROM_LABELS = ByVersion("service-label", "env-label", "version-label")


def template(labels: Any = None, annotations: Any = None) -> dict[str, Any]:
    """Return a pod template with this metadata."""
    return {"metadata": {"labels": labels, "annotations": annotations}}


@pytest.mark.parametrize(
    ("labels", "annotations", "identity"),
    [
        pytest.param(LABELS, None, FROM_LABELS, id="labels identify by version"),
        pytest.param(
            LABELS,
            {"dora-operator.io/version": "2.0.0"},
            ByVersion("service-label", "env-label", "2.0.0"),
            id="an annotation overrides its label",
        ),
        pytest.param(
            None,
            {f"dora-operator.io/{tag}": tag for tag in ("service", "env", "version")},
            ByVersion("service", "env", "version"),
            id="annotations need no labels",
        ),
        pytest.param(
            LABELS,
            {"dora-operator.io/deployment-id": DEPLOYMENT_ID},
            ById(DEPLOYMENT_ID, "service-label", "env-label", "version-label"),
            id="an id wins and keeps the tags",
        ),
        pytest.param(None, {"dora-operator.io/deployment-id": "a" * 11}, ById("a" * 11), id="an id needs no tags"),
    ],
)
def test_a_template_identifies_its_deployment(labels: Any, annotations: Any, identity: Identity) -> None:
    """Id first, then labels with annotations as overrides."""
    assert identify(template(labels, annotations)) == identity


@pytest.mark.parametrize(
    ("labels", "annotations", "named"),
    [
        pytest.param({}, {}, "tags.datadoghq.com/service", id="nothing there"),
        pytest.param(LABELS | {"tags.datadoghq.com/env": ""}, {}, "tags.datadoghq.com/env", id="an empty label"),
        pytest.param(LABELS | {"tags.datadoghq.com/env": 7}, {}, "tags.datadoghq.com/env", id="a number for a label"),
        pytest.param(LABELS, {"dora-operator.io/env": " "}, "tags.datadoghq.com/env", id="an override of blanks"),
        pytest.param(LABELS, {"dora-operator.io/env": "a\nb"}, "tags.datadoghq.com/env", id="a line break"),
        pytest.param(LABELS, {"dora-operator.io/env": "a\u200bb"}, "tags.datadoghq.com/env", id="a zero-width space"),
        pytest.param(LABELS, {"dora-operator.io/env": "\ud800"}, "tags.datadoghq.com/env", id="half a character"),
        pytest.param(LABELS, {"dora-operator.io/env": "a" * 201}, "tags.datadoghq.com/env", id="over 200 characters"),
        pytest.param(LABELS, {"dora-operator.io/deployment-id": "a" * 10}, "deployment-id", id="a short id"),
        pytest.param(LABELS, {"dora-operator.io/deployment-id": "a" * 257}, "deployment-id", id="a long id"),
        pytest.param(LABELS, {"dora-operator.io/deployment-id": "a" * 11 + "/"}, "deployment-id", id="a foreign sign"),
        pytest.param(LABELS, {"dora-operator.io/deployment-id": "a" * 11 + "\n"}, "deployment-id", id="an id, a break"),
        pytest.param(LABELS, {"dora-operator.io/deployment-id": None}, "deployment-id", id="no id at all"),
        pytest.param("labels", ["annotations"], "tags.datadoghq.com/version", id="no objects"),
    ],
)  # fmt: skip
def test_what_cannot_be_sent_is_unidentified(labels: Any, annotations: Any, named: str) -> None:
    """The value names what is missing and how to fix it; a broken id never falls back to the labels."""
    identity = identify(template(labels, annotations))
    assert isinstance(identity, Unidentified)
    assert named in identity.problem
    assert identity.fix


def test_a_tag_of_200_characters_can_be_sent() -> None:
    """The limit itself is allowed."""
    identity = identify(template(LABELS, {"dora-operator.io/env": "a" * 200}))
    assert identity == ByVersion("service-label", "a" * 200, "version-label")


@pytest.mark.parametrize(
    ("failed", "fixed", "is_linkable"),
    [
        pytest.param(FROM_LABELS, ByVersion("service-label", "env-label", "2"), True, id="same service and env"),
        pytest.param(FROM_LABELS, ByVersion("renamed", "env-label", "2"), False, id="another service"),
        pytest.param(FROM_LABELS, ByVersion("service-label", "other", "2"), False, id="another env"),
        pytest.param(FROM_LABELS, ById(DEPLOYMENT_ID), True, id="an id is found anywhere"),
        pytest.param(ById(DEPLOYMENT_ID), FROM_LABELS, True, id="from an id without tags Datadog knows the rest"),
        pytest.param(ById(DEPLOYMENT_ID, "a", "b", "c"), FROM_LABELS, False, id="an id of another service"),
    ],
)
def test_a_version_is_linked_within_its_service_and_env(
    failed: Identified, fixed: Identified, is_linkable: bool  # noqa: FBT001
) -> None:  # fmt: skip
    """Datadog searches remediation.version in the failed deployment's own service and env."""
    assert linkable(failed, fixed) is is_linkable
