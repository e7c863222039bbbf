"""What `doctor` and `explain` say about the policies that limit which services a namespace may mark."""

from typing import Any

import pytest

from dora_operator.domain.resource import DoraDeployment, parse
from dora_operator.kubectl.explain_resource import explain_resource
from dora_operator.kubectl.explain_view import resource_lines
from dora_operator.kubectl.facts import settings_of
from dora_operator.kubectl.findings import Status
from dora_operator.kubectl.policy import policy_check

WRITE = [{"apiGroups": ["dora-operator.io"], "resources": ["doradeployments"], "verbs": ["get", "create"]}]
READ = [{"apiGroups": ["dora-operator.io"], "resources": ["doradeployments"], "verbs": ["get", "list", "watch"]}]
ALL = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
OTHER = [{"apiGroups": ["argoproj.io"], "resources": ["rollouts"], "verbs": ["*"]}]
ANNOTATION = {"dora-operator.io/allowed-services": "checkout"}
OTHER_SERVICE = {"dora-operator.io/allowed-services": "billing"}
BY_ID = {"deployment": {"id": "43vkaZNgiso"}}
OWN_KEYS = {"credentialsSecretRef": {"name": "mine"}}


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


def deployment(**spec: Any) -> DoraDeployment:
    """Return a DoraDeployment for checkout."""
    metadata = {"name": "one", "namespace": "shop", "uid": "u", "resourceVersion": "1", "generation": 1}
    metadata["creationTimestamp"] = "2026-11-24T00:00:00Z"
    chosen = {"deployment": {"service": "checkout", "env": "prod", "version": "1"}, "changeFailure": True}
    return parse({"metadata": metadata, "spec": chosen | spec})


@pytest.mark.parametrize(
    ("given", "annotations", "words"),
    [
        pytest.param(deployment(), {}, [], id="nothing limits the namespace"),
        pytest.param(deployment(), ANNOTATION, [], id="the Namespace names the service"),
        pytest.param(deployment(), OTHER_SERVICE, ["may not mark service checkout"], id="it names another service"),
        pytest.param(deployment(**BY_ID), ANNOTATION, ["name the deployment by service, env and version"], id="by id"),
        pytest.param(deployment(**OWN_KEYS), OTHER_SERVICE, [], id="with keys of its own"),
    ],
)
def test_explain_says_what_the_namespace_refuses(
    given: DoraDeployment, annotations: dict[str, str], words: list[str]
) -> None:
    """With what to do; else the request is shown."""
    explained = explain_resource(given, [given], settings_of({}), annotations)
    shown = "\n".join(str(line) for line in resource_lines(explained, ""))
    for each in words:
        assert each in shown
    assert ("Held back" in shown) == bool(words)
    assert (explained.request is None) == bool(words)
