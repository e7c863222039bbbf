"""Each check of doctor as a table: what was gathered, and what is found."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from dora_operator.domain.history.identity import Identity
from dora_operator.domain.outcome import Answer, FailureKind, NoAnswer
from dora_operator.domain.reasons import Reason
from dora_operator.domain.resource import DoraDeployment, parse
from dora_operator.domain.stored import ReadProblem
from kubectl_dora import checks
from kubectl_dora.checks import AccountFacts, Check, Facts, Permission, Status
from kubectl_dora.doctor import checks_from, installation_checks, outside_check
from kubectl_dora.doctor_facts import LEASES, WATCHED, WITH_ROLLOUTS, needed
from kubectl_dora.installation import Installation, Installations, read_installation, settings_of
from kubectl_dora.output import to_plain
from tests.support.builders import stored

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
FIELDS = frozenset({"spec", "spec.suspend", "status"})
RULES = Path(__file__).parents[3] / "charts/dora-operator/templates/_rules.tpl"


def deployment(reason: str = "Accepted", minutes: int | None = None, **conditions: str) -> DoraDeployment:
    """Return a DoraDeployment whose Ready has a reason."""
    states = {"Ready": "False", "Stalled": "False", "Reconciling": "False"} | conditions
    written = [
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": "",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-11-24T00:00:00Z",
        }
        for kind, status in states.items()
    ]
    status: dict[str, Any] = {"conditions": written}
    if minutes is not None:
        status["pendingSinceTime"] = (NOW - timedelta(minutes=minutes)).isoformat()
    metadata = {"name": "one", "namespace": "shop", "uid": "u", "resourceVersion": "1"}
    metadata["creationTimestamp"] = "2026-11-24T00:00:00Z"
    spec = {"deployment": {"service": "checkout", "env": "prod", "version": "1"}, "changeFailure": True}
    return parse({"metadata": metadata, "spec": spec, "status": status})


def reply(status: int) -> Answer:
    """Return an answer without a body."""
    return Answer(status, {}, b"")


def lease(renewed: datetime) -> dict[str, Any]:
    """Return a Lease that was acquired three hours ago."""
    times = {"renewTime": renewed.isoformat(), "acquireTime": (NOW - timedelta(hours=3)).isoformat()}
    return {"spec": {"holderIdentity": "pod-1", **times}}


SERVICE = ("checkout", "prod")
ROWS = (stored(source="api"),)
ACCOUNT = AccountFacts(validate=reply(200), write=reply(400), skew_seconds=0.4, listed={SERVICE: ROWS})
FACTS = Facts(
    now=NOW,
    settings=settings_of({}),
    account=ACCOUNT,
    served_fields=FIELDS,
    known_fields=FIELDS,
    permissions={Permission("", "events", "create"): True},
    is_own_login=True,
    rollouts={"shop/checkout": Identity("checkout", "prod", "1.0.0")},
    lease=lease(NOW),
    deployments=(deployment(Ready="True"),),
)
FORBIDDEN = ReadProblem(Reason.READ_FORBIDDEN, "Datadog does not let these keys read deployments (403)")


def given(**changes: Any) -> Facts:
    """Return the facts of a good installation, with changes; those of the account by their own names."""
    own = {name: value for name, value in changes.items() if name in AccountFacts.__dataclass_fields__}
    rest = {name: value for name, value in changes.items() if name not in own}
    return replace(FACTS, account=replace(ACCOUNT, **own), **rest)


def environment(**variables: str) -> Facts:
    """Return the facts of an operator with these settings."""
    return given(settings=settings_of({f"DORA_OPERATOR_{name}": value for name, value in variables.items()}))


def test_a_good_installation_has_no_finding() -> None:
    """Everything is ok, each with one line of evidence."""
    found = checks.run_checks(FACTS)
    assert {each.status for each in found} == {Status.OK}
    assert all(each.evidence and "\n" not in each.evidence for each in found)
    assert len({each.name for each in found}) == len(found)


NO_KEYS = "the operator has no DD_API_KEY and DD_APP_KEY: set both"
DRY_RUN = given(no_keys=NO_KEYS, settings=settings_of({"DORA_OPERATOR_DRY_RUN": "true"}))


@pytest.mark.parametrize(
    ("check", "facts", "status", "words"),
    [
        pytest.param(checks.check_keys, given(no_keys=NO_KEYS), Status.FAILED, "DD_API_KEY", id="no API key"),
        pytest.param(checks.check_keys, DRY_RUN, Status.WARNING, "DD_API_KEY", id="no API key in a dry run"),
        pytest.param(checks.check_keys, given(validate=reply(403)), Status.FAILED, "datadoghq.com", id="wrong API key"),
        pytest.param(
            checks.check_keys,
            given(validate=NoAnswer(FailureKind.UNREACHABLE, "DNS")),
            Status.FAILED,
            "DNS",
            id="no connection",
        ),
        pytest.param(checks.check_keys, given(validate=reply(429)), Status.WARNING, "429", id="no request left"),
        pytest.param(checks.check_keys, given(validate=reply(502)), Status.WARNING, "502", id="a proxy's error"),
        pytest.param(
            checks.check_read_permission, given(listed={SERVICE: FORBIDDEN}), Status.FAILED, "403", id="no read"
        ),
        pytest.param(checks.check_write_permission, given(write=reply(403)), Status.FAILED, "403", id="no write"),
        pytest.param(checks.check_clock, given(skew_seconds=400.0), Status.FAILED, "400 s behind", id="a slow clock"),
        pytest.param(checks.check_clock, given(skew_seconds=-40.0), Status.WARNING, "40 s ahead", id="a fast clock"),
        pytest.param(checks.check_crd, given(served_fields=None), Status.FAILED, "not installed", id="no CRD"),
        pytest.param(checks.check_crd, given(served_fields=FIELDS - {"status"}), Status.FAILED, "older", id="old CRD"),
        pytest.param(checks.check_crd, given(served_fields=FIELDS | {"x"}), Status.WARNING, "newer", id="newer CRD"),
        pytest.param(
            checks.check_permissions,
            given(permissions={Permission("apps", "replicasets", "list", "shop"): False}),
            Status.FAILED,
            "list replicasets.apps in shop",
            id="a verb that is not granted",
        ),
        pytest.param(checks.check_scope, given(missing_namespaces=("gone",)), Status.FAILED, "exist", id="nowhere"),
        pytest.param(
            checks.check_scope, given(rollouts={}, not_selected=3), Status.WARNING, "no Rollout is left", id="selector"
        ),
        pytest.param(checks.check_scope, environment(DRY_RUN="true"), Status.WARNING, "dry run", id="dry run"),
        pytest.param(checks.check_scope, given(has_rollouts=False), Status.WARNING, "not installed", id="no Argo"),
        pytest.param(checks.check_leader, given(lease=None), Status.FAILED, "nobody", id="no leader"),
        pytest.param(
            checks.check_leader,
            given(lease=lease(NOW - timedelta(minutes=5))),
            Status.FAILED,
            "pod-1 has not renewed",
            id="a leader that is gone",
        ),
        pytest.param(checks.check_leader, FACTS, Status.OK, "pod-1 for 3h", id="a leader"),
        pytest.param(
            checks.check_identity,
            given(rollouts={**FACTS.rollouts, "shop/cart": Identity("cart", "prod")}),
            Status.WARNING,
            "1 of 2 Rollouts",
            id="a Rollout without labels",
        ),
        pytest.param(
            checks.check_services,
            given(listed={SERVICE: ()}),
            Status.WARNING,
            "1 of 1 services",
            id="a service that Datadog does not know",
        ),
        pytest.param(
            checks.check_services, given(listed={SERVICE: FORBIDDEN}), Status.WARNING, "not checked", id="no reading"
        ),
        pytest.param(
            checks.check_services,
            given(listed={SERVICE: (*ROWS, stored(source="apm_deployments"))}),
            Status.WARNING,
            "1 services have several",
            id="two sources of one service",
        ),
        pytest.param(
            checks.check_resources,
            given(deployments=(deployment("RequestRejected", Stalled="True"),)),
            Status.WARNING,
            "1 of 1 DoraDeployments are stalled",
            id="a stalled resource",
        ),
        pytest.param(
            checks.check_resources,
            given(deployments=(deployment("Forbidden", 61, Reconciling="True"),)),
            Status.WARNING,
            "1 fail for more than an hour",
            id="a resource that fails for long",
        ),
        pytest.param(
            checks.check_resources,
            given(deployments=(deployment("Forbidden", 59, Reconciling="True"),)),
            Status.OK,
            "none stalled",
            id="a resource that fails since a short time",
        ),
    ],
)
def test_a_break_is_found(check: Callable[[Facts], Check], facts: Facts, status: Status, words: str) -> None:
    """The evidence names what is wrong, and a finding says what to do."""
    found = check(facts)
    assert found.status is status
    assert words in found.evidence
    assert found.fix or status is Status.OK
    assert TypeAdapter(Check).validate_python(to_plain(found)) == found


def test_the_permissions_are_those_of_the_chart() -> None:
    """A verb that the chart grants for all watched namespaces is checked, and none that it does not grant."""
    rules = RULES.read_text()
    found = set()
    pattern = r"apiGroups: \[\"?(.*?)\"?\]\s+resources: \[(.*?)\]\s+(?:resourceNames: .*\s+)?verbs: \[(.*?)\]"
    for group, resource, verbs in re.findall(pattern, rules):
        found |= {(group, resource, verb) for verb in verbs.split(", ")}
    assert set(WATCHED) | set(WITH_ROLLOUTS) | set(LEASES) == found - {("", "secrets", "get")}


def test_permissions_are_asked_for_in_each_watched_namespace() -> None:
    """Those for the Lease only where it is."""
    settings = settings_of({"DORA_OPERATOR_NAMESPACES": "a,b"})
    places = {each.namespace for each in needed(settings, "own")}
    assert places == {"a", "b", "own"}
    assert {each.resource for each in needed(settings, "own") if each.namespace == "own"} == {"leases"}


INSTALLED = Installation("dora", "operator", "0.1.0", 1, 1, settings_of({}))


@pytest.mark.parametrize(
    ("installations", "statuses"),
    [
        pytest.param([], ["failed"], id="none"),
        pytest.param([INSTALLED], ["ok", "ok"], id="a good one"),
        pytest.param([replace(INSTALLED, ready=0)], ["failed", "ok"], id="no replica is ready"),
        pytest.param([replace(INSTALLED, version="0.2.0")], ["ok", "warning"], id="another version"),
        pytest.param([replace(INSTALLED, problem="bad")], ["failed", "ok"], id="invalid settings"),
        pytest.param([INSTALLED, INSTALLED], ["warning", "ok", "ok"], id="two"),
    ],
)
def test_the_deployment_of_the_operator_is_checked(installations: list[Installation], statuses: list[str]) -> None:
    """Before anything is run in its pod."""
    found = installation_checks(Installations(installations), "0.1.0")
    assert [each.status.value for each in found] == statuses


def test_a_missing_permission_to_list_deployments_is_named() -> None:
    """A missing permission is no missing operator."""
    (found,) = installation_checks(Installations(problem="this login may not list Deployments: forbidden"), "0.1.0")
    assert found.status is Status.FAILED
    assert found.evidence == "this login may not list Deployments: forbidden"
    assert "permission" in found.fix


def test_without_keys_there_is_one_finding() -> None:
    """What would follow from a request that was not sent is left out."""
    found = {each.name: each.status for each in checks.run_checks(given(no_keys=NO_KEYS))}
    assert found["api key"] is Status.FAILED
    assert not found.keys() & {"dora_metrics_read", "dora_metrics_write", "clock", "services"}


def test_settings_are_read_from_the_deployment() -> None:
    """Of the container of the operator; what a Secret gives is left out."""
    env = [
        {"name": "DORA_OPERATOR_NAMESPACES", "value": "shop,cart"},
        {"name": "DD_SITE", "value": "datadoghq.eu"},
        {"name": "DD_API_KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "api-key"}}},
        {"name": "DORA_OPERATOR_LOOKBACK_HOURS", "value": "48"},
    ]
    containers = [
        {"name": "proxy", "image": "x"},
        {"name": "operator", "image": "example/dora:1.2.3@sha256:0", "env": env},
    ]
    body = {
        "metadata": {"namespace": "dora", "name": "operator"},
        "spec": {"template": {"spec": {"containers": containers}}},
    }
    found = read_installation(body)
    assert (found.version, found.replicas, found.ready, found.problem) == ("1.2.3", 1, 0, "")
    assert found.settings.namespaces == ("shop", "cart")
    assert found.settings.lookback_hours == 48
    env[3]["value"] = "never"
    assert "invalid" in read_installation(body).problem


def test_what_the_pod_printed_is_read() -> None:
    """Anything else is a failed check with the program's words."""
    assert checks_from('{"where": "", "checks": [{"name": "crd", "status": "ok", "evidence": "x"}]}', "") == (
        Check("crd", Status.OK, "x"),
    )
    (found,) = checks_from("", "pods is forbidden:\n cannot create pods/exec")
    assert (found.status, "cannot create pods/exec" in found.evidence) == (Status.FAILED, True)


def test_resources_outside_the_watched_namespaces_are_named() -> None:
    """They would wait for ever without a word."""
    key = deployment().key
    assert outside_check([], {"cart"}).status is Status.OK
    found = outside_check([key], {"cart"})
    assert (found.status, found.details) == (Status.FAILED, ("shop/one",))
