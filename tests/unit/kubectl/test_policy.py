"""What `doctor` and `explain` say about the policies that limit which services a namespace may mark."""

from typing import Any

import pytest

from dora_operator.domain.resource import DoraDeployment, parse
from dora_operator.kubectl.explain_resource import Limits, explain_resource
from dora_operator.kubectl.explain_view import resource_lines
from dora_operator.kubectl.facts import settings_of
from dora_operator.kubectl.findings import Status
from dora_operator.kubectl.own_services import services_of
from dora_operator.kubectl.policy import policy_check

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
        pytest.param(role(WRITE), OPEN, {"OWN_SERVICES": "true"}, Status.OK, "within ownServices", id="own services"),
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
        assert "settings.ownServices" in check.fix


def deployment(status: dict[str, Any] | None = None, **spec: Any) -> DoraDeployment:
    """Return a DoraDeployment for checkout."""
    metadata = {"name": "one", "namespace": "shop", "uid": "u", "resourceVersion": "1", "generation": 1}
    metadata["creationTimestamp"] = "2026-11-24T00:00:00Z"
    chosen = {"deployment": {"service": "checkout", "env": "prod", "version": "1"}, "changeFailure": True}
    return parse({"metadata": metadata, "spec": chosen | spec, "status": status or {}})


def ready(reason: str) -> dict[str, Any]:
    """Return the status of a resource that the operator has planned before."""
    time = "2026-11-24T00:00:00Z"
    condition = {"type": "Ready", "status": "False", "reason": reason, "message": "", "lastTransitionTime": time}
    target = {"by": "Version", "site": "datadoghq.com", "service": "checkout", "env": "prod", "version": "1"}
    return {"conditions": [condition | {"observedGeneration": 1}], "target": target}


CART = frozenset({"cart", "basket"})
BY_ID = {"deployment": {"id": "43vkaZNgiso"}}
RUN = "policy ownServices: Rollouts of shop run"


@pytest.mark.parametrize(
    ("given", "limits", "words"),
    [
        pytest.param(
            deployment(),
            Limits({}, CART),
            ["NotAllowed: namespace shop may mark only services", "set the label", f"{RUN} basket, cart"],
            id="another service",
        ),
        pytest.param(deployment(), Limits({}, frozenset()), ["NotAllowed", f"{RUN} no service"], id="no Rollouts"),
        pytest.param(deployment(ready("NotAllowed")), Limits({}, CART), ["NotAllowed", RUN], id="refused before"),
        pytest.param(
            deployment(**BY_ID), Limits({}, CART), ["name the deployment by service, env and version"], id="by id"
        ),
        pytest.param(deployment(), Limits({}, CART | {"checkout"}), [], id="a service that a Rollout runs"),
        pytest.param(deployment(), Limits({}, None), [], id="the policy is off"),
        pytest.param(deployment(), Limits(ANNOTATION, CART), [], id="the Namespace names the service"),
        pytest.param(deployment(ready("Accepted")), Limits({}, CART), [], id="it was allowed before"),
        pytest.param(
            deployment(credentialsSecretRef={"name": "mine"}), Limits({}, CART), [], id="with keys of its own"
        ),
        pytest.param(
            deployment(),
            Limits({"dora-operator.io/allowed-services": "billing"}, CART),
            ["may not mark service checkout"],
            id="the Namespace names another service",
        ),
    ],
)
def test_explain_says_what_the_policy_refuses(given: DoraDeployment, limits: Limits, words: list[str]) -> None:
    """With the services that would be allowed, and what to do; else the request is shown."""
    explained = explain_resource(given, [given], settings_of({}), limits)
    shown = "\n".join(str(line) for line in resource_lines(explained, ""))
    for each in words:
        assert each in shown
    assert ("Held back" in shown) == bool(words)
    assert (explained.request is None) == bool(words)


def test_services_come_from_pod_templates() -> None:
    """The annotation before the label; a template without either names none."""
    label = {"labels": {"tags.datadoghq.com/service": "cart"}}
    templates = [label, label | {"annotations": {"dora-operator.io/service": "basket"}}, {}, None]
    assert services_of([{"spec": {"template": {"metadata": each}}} for each in templates]) == CART
