"""What `doctor` says about the policies that limit which services a namespace may mark."""

from typing import Any

import pytest

from kubectl_dora.checks import Status
from kubectl_dora.installation import settings_of
from kubectl_dora.policy import policy_check

WRITE = [{"apiGroups": ["dora-operator.io"], "resources": ["doradeployments"], "verbs": ["get", "create"]}]
READ = [{"apiGroups": ["dora-operator.io"], "resources": ["doradeployments"], "verbs": ["get", "list", "watch"]}]
ALL = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
OTHER = [{"apiGroups": ["argoproj.io"], "resources": ["rollouts"], "verbs": ["*"]}]
ANNOTATION = {"dora-operator.io/allowed-services": "checkout"}


def role(rules: Any, to: str = "edit", value: str = "true") -> dict[str, Any]:
    """Return a ClusterRole that is aggregated to another one."""
    labels = {f"rbac.authorization.k8s.io/aggregate-to-{to}": value}
    return {"metadata": {"name": "dora-edit", "labels": labels}, "rules": rules}


def namespace(name: str, annotations: dict[str, str] | None = None) -> dict[str, Any]:
    """Return a Namespace."""
    return {"metadata": {"name": name, "annotations": annotations}}


OPEN = [namespace("shop"), namespace("ops", ANNOTATION)]
CLOSED = [namespace("shop", ANNOTATION), namespace("ops", {"dora-operator.io/allowed-services": ""})]


@pytest.mark.parametrize(
    ("found", "namespaces", "variables", "status", "words"),
    [
        pytest.param(role(WRITE), OPEN, {}, Status.WARNING, "in 1 of 2 namespaces", id="one namespace without a limit"),
        pytest.param(role(WRITE, "admin"), OPEN, {}, Status.WARNING, "dora-edit", id="aggregated to admin"),
        pytest.param(role(ALL), OPEN, {}, Status.WARNING, "dora-edit", id="a role for everything"),
        pytest.param(role(WRITE), CLOSED, {}, Status.OK, "annotation", id="each Namespace has an annotation"),
        pytest.param(
            role(WRITE), OPEN, {"ALLOWED_SERVICES": "a"}, Status.OK, "within allowedServices", id="a list of services"
        ),
        pytest.param(
            role(WRITE), OPEN, {"ALLOWED_ENVS": "prod"}, Status.WARNING, "no policy", id="a list of environments alone"
        ),
        pytest.param(role(WRITE), OPEN, {"NAMESPACES": "ops"}, Status.OK, "annotation", id="the other is not watched"),
        pytest.param(role(READ), OPEN, {}, Status.OK, "no aggregated ClusterRole", id="a role that only reads"),
        pytest.param(role(OTHER), OPEN, {}, Status.OK, "no aggregated ClusterRole", id="a role for another kind"),
        pytest.param(role(WRITE, "view"), OPEN, {}, Status.OK, "no aggregated ClusterRole", id="aggregated to view"),
        pytest.param(
            role(WRITE, value="false"), OPEN, {}, Status.OK, "no aggregated ClusterRole", id="a label that is false"
        ),
    ],
)
def test_aggregated_roles_need_a_policy(
    found: dict[str, Any], namespaces: list[dict[str, Any]], variables: dict[str, str], status: Status, words: str
) -> None:
    """A warning names the roles, the namespaces and the fix."""
    settings = settings_of({f"DORA_OPERATOR_{name}": value for name, value in variables.items()})
    check = policy_check([found, {"metadata": {"name": "plain"}, "rules": WRITE}], namespaces, settings)
    assert (check.name, check.status) == ("policy", status)
    assert words in check.evidence
    assert "plain" not in check.evidence
    if status is Status.WARNING:
        assert check.details == ("shop",)
        assert "settings.allowedServices" in check.fix
