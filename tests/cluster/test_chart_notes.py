"""What Helm prints after an installation: what the operator can do, what is missing, no command that sends a mark."""

from typing import Any

import pytest

from tests.support.chart import RELEASE, Helm
from tests.support.chart_values import TAKEN
from tools.chart.__main__ import CHART

pytestmark = pytest.mark.cluster

WARNING = "WARNING: rbac.aggregateRoles"


def notes(helm: Helm, values: dict[str, Any]) -> str:
    """Return the notes, without an installation."""
    output = helm("install", RELEASE, str(CHART), "-n", "ops", "--dry-run=client", values=values)
    return output.split("\nNOTES:\n")[1]


def with_policy(**settings: Any) -> dict[str, Any]:
    """Return values with aggregated roles and these settings."""
    return {"rbac": {"aggregateRoles": True}, "settings": settings}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        pytest.param({}, "names no registry", id="an image without a registry"),
        pytest.param({}, "DATADOG KEYS: the operator has none", id="no keys"),
        pytest.param({}, "SECRETS: the operator cannot read any Secret", id="no Secrets"),
        pytest.param({}, "--clusterrole=ops-dora-operator-edit", id="how to grant permissions to users"),
        pytest.param({}, "egress to DNS and to TCP ports 443, 6443, 8443, 16443", id="the policy's ports"),
        pytest.param({"networkPolicy": {"enabled": False}}, "nothing limits the connections", id="no policy"),
        pytest.param({"credentials": {"fromNamespaces": ["shop"]}}, "by name in shop.", id="Secrets of a namespace"),
        pytest.param({"credentials": {"fromNamespaces": "all"}}, "by name in every namespace", id="all Secrets"),
        pytest.param(with_policy(), WARNING, id="aggregated roles without a policy"),
        pytest.param({"settings": {"dryRun": True}}, "DRY RUN: nothing is sent", id="a dry run"),
        pytest.param(
            {"datadog": {"existingSecret": "mine", "secretKeys": {"apiKey": "A"}}},
            "--from-literal=A=YOUR_API_KEY",
            id="a Secret with other names",
        ),
        pytest.param({"namespaceOverride": "other"}, "kubectl -n other rollout status", id="another namespace"),
    ],
)
def test_the_notes_say(helm: Helm, values: dict[str, Any], words: str) -> None:
    """Each in the words that a reader acts on."""
    assert words in notes(helm, values)


def test_a_policy_ends_the_warning(helm: Helm) -> None:
    """With a limit of the services, aggregated roles are what the administrator wants; by default there are none."""
    assert WARNING not in notes(helm, with_policy(allowedServices=["checkout"]))
    assert WARNING not in notes(helm, {})


@pytest.mark.parametrize("values", TAKEN)
def test_no_set_of_values_prints_a_command_that_sends(helm: Helm, values: dict[str, Any]) -> None:
    """The sample is a dry run, and keys are placeholders."""
    output = notes(helm, values)
    assert output.count("changeFailure") == output.count("dryRun: true\nEOF") == 1
    assert "<no value>" not in output
    assert "a-key" not in output
