"""Whole plans: besides the reason also the state, the target and the message, which the status shows."""

from dataclasses import replace
from typing import Any

import pytest

from dora_operator.domain.allowed import Allowed, why_not
from dora_operator.domain.plan import (
    Hold,
    Plan,
    Refuse,
    Rival,
    RolloutState,
    Send,
    Wait,
    contradicts,
    overrides,
)
from dora_operator.domain.reasons import Reason
from dora_operator.domain.request import PatchById, PatchByVersion
from dora_operator.domain.resource import MarkState, Target, TargetKind
from dora_operator.domain.spec import DeploymentSelector
from tests.support.builders import (
    BY_ID,
    BY_VERSION,
    DEPLOYMENT_ID,
    FAILURE,
    NOW,
    OTHER_ID,
    SITE,
    after,
    link,
    planned,
    rival,
    spec,
)

ID_TARGET = Target(by=TargetKind.ID, id=DEPLOYMENT_ID, site=SITE)
VERSION_TARGET = Target(by=TargetKind.VERSION, site=SITE, **BY_VERSION)
REFERRING = {"type": "rollback", "doraDeploymentRef": {"name": "other"}}
FAILING = {"changeFailure": True}

RESULTS = [
    pytest.param(
        FAILING | {"suspend": True},
        {},
        Hold(
            PatchById(DEPLOYMENT_ID, FAILURE),
            ID_TARGET,
            Reason.SUSPENDED,
            "spec.suspend is true: nothing is sent until it is false or removed",
        ),
        id="suspended",
    ),
    pytest.param(
        FAILING | {"dryRun": True},
        {},
        Hold(
            PatchById(DEPLOYMENT_ID, FAILURE),
            ID_TARGET,
            Reason.DRY_RUN,
            "spec.dryRun is true: nothing is sent; status.dryRun shows the request",
        ),
        id="a dry run of the resource",
    ),
    pytest.param(
        FAILING,
        {"dry_run": True},
        Hold(
            PatchById(DEPLOYMENT_ID, FAILURE),
            ID_TARGET,
            Reason.DRY_RUN,
            "the operator runs with DORA_OPERATOR_DRY_RUN: nothing is sent; status.dryRun shows the request",
        ),
        id="a dry run of the operator",
    ),
    pytest.param(
        {"sourceRef": {"name": "checkout", "version": "1.5.0"}},
        {},
        Wait(
            MarkState(),
            ID_TARGET,
            Reason.WAITING_FOR_ROLLOUT,
            "Rollout checkout of sourceRef has decided nothing about version 1.5.0 yet",
        ),
        id="the Rollout has not decided",
    ),
    pytest.param(
        {"deployment": BY_VERSION, "sourceRef": {"name": "checkout"}},
        {},
        Wait(
            MarkState(),
            VERSION_TARGET,
            Reason.WAITING_FOR_ROLLOUT,
            "Rollout checkout of sourceRef has decided nothing about version 1.5.0 yet",
        ),
        id="the Rollout has not decided about the version of the deployment",
    ),
    pytest.param(
        FAILING | {"remediation": REFERRING},
        {},
        Wait(
            FAILURE,
            ID_TARGET,
            Reason.WAITING_FOR_REMEDIATION,
            "DoraDeployment other of remediation.doraDeploymentRef does not exist in namespace shop: create it, or"
            " correct the name",
        ),
        id="the referenced resource does not exist",
    ),
    pytest.param(
        FAILING | {"remediation": REFERRING},
        {"referenced": DeploymentSelector(id=DEPLOYMENT_ID)},
        Refuse(
            MarkState(change_failure=True, remediation=link(id=DEPLOYMENT_ID)),
            ID_TARGET,
            Reason.REMEDIATION_MISMATCH,
            "DoraDeployment other of remediation.doraDeploymentRef names the same deployment as this one: a deployment"
            " cannot be its own remediation",
        ),
        id="the referenced resource marks the same deployment",
    ),
    pytest.param(
        FAILING | {"deployment": BY_VERSION, "remediation": REFERRING},
        {"referenced": DeploymentSelector(**(BY_VERSION | {"service": "cart", "version": "1.4.2"}))},
        Refuse(
            MarkState(change_failure=True, remediation=link(version="1.4.2")),
            VERSION_TARGET,
            Reason.REMEDIATION_MISMATCH,
            "DoraDeployment other of remediation.doraDeploymentRef is for service cart in prod, this one for checkout"
            " in prod: by version, Datadog searches the failed deployment's own service and env; use the remediation's"
            " id",
        ),
        id="the referenced resource is of another service",
    ),
    pytest.param(
        {"deployment": BY_VERSION, "remediation": {"type": "rollback", "id": OTHER_ID}},
        {},
        Refuse(
            MarkState(remediation=link(id=OTHER_ID)),
            VERSION_TARGET,
            Reason.INVALID_SPEC,
            "spec.changeFailure is missing: set it to true or false; Datadog requires it for service, env and version",
        ),
        id="by version without changeFailure",
    ),
    pytest.param(
        FAILING | {"deployment": {"service": "checkout", "env": "prod"}},
        {},
        Refuse(
            FAILURE,
            Target(by=TargetKind.VERSION, service="checkout", env="prod", site=SITE),
            Reason.INVALID_SPEC,
            "spec.deployment names no deployment: set id, or service, env and version; apply the operator's CRD",
        ),
        id="half a selector",
    ),
    pytest.param(
        FAILING,
        {"rivals": (rival("older", after(-1), changeFailure=False),)},
        Refuse(
            FAILURE,
            ID_TARGET,
            Reason.CONFLICT,
            "DoraDeployment shop/older is older, or a user wrote it, and wants the opposite for the same deployment;"
            " nothing is sent for this one. Delete or change one of the two",
        ),
        id="an older resource wants the opposite",
    ),
    pytest.param(
        FAILING | {"deployment": BY_VERSION},
        {"allowed": Allowed(services=("cart",))},
        Refuse(
            FAILURE,
            VERSION_TARGET,
            Reason.NOT_ALLOWED,
            "namespace shop may not mark service checkout: ask an administrator to add it to the Namespace's annotation"
            " dora-operator.io/allowed-services, or use keys of your own in credentialsSecretRef",
        ),
        id="a service that the namespace may not mark",
    ),
    pytest.param(
        FAILING | {"deployment": BY_VERSION | BY_ID},
        {"allowed": Allowed(services=("checkout",))},
        Refuse(
            FAILURE,
            replace(ID_TARGET, **BY_VERSION),
            Reason.NOT_ALLOWED,
            "namespace shop may mark only some services or environments, and an id does not show which one is meant:"
            " name the deployment by service, env and version, or use keys of your own in credentialsSecretRef",
        ),
        id="an id beside the service that the namespace may mark",
    ),
]


@pytest.mark.parametrize(("fields", "given_context", "expected"), RESULTS)
def test_what_a_plan_that_sends_nothing_has(fields: dict, given_context: dict, expected: Plan) -> None:
    """Each message names the object, what is wrong and the fix."""
    assert planned(fields, given_context) == expected


def test_a_rival_of_the_same_age_order_is_no_winner() -> None:
    """Only one that is older: the resource itself never wins against itself."""
    itself = Rival("shop", "mine", NOW, MarkState(change_failure=False))
    assert isinstance(planned(FAILING, {"rivals": (itself,)}), Send)


@pytest.mark.parametrize(
    ("allowed", "linked", "message"),
    [
        pytest.param(
            Allowed(envs=("staging",)),
            None,
            "namespace shop may not mark environment prod: ask an administrator to add it to the Namespace's annotation"
            " dora-operator.io/allowed-envs, or use keys of your own in credentialsSecretRef",
            id="another environment",
        ),
        pytest.param(
            Allowed(services=("check*",)),
            OTHER_ID,
            "namespace shop may mark only some services or environments, and the id of a remediation does not show"
            " which one is meant: name the remediation by version, or use keys of your own in credentialsSecretRef",
            id="a remediation by id",
        ),
        pytest.param(Allowed(services=("check*",)), None, None, id="a prefix"),
        pytest.param(Allowed(services=("cart", "checkout"), envs=("prod",)), None, None, id="one of several names"),
        pytest.param(Allowed(), OTHER_ID, None, id="no policy"),
    ],
)
def test_why_a_namespace_may_not_mark(allowed: Allowed, linked: str | None, message: str | None) -> None:
    """The message names the namespace, what it may not mark and the fix."""
    assert why_not(allowed, "shop", "checkout", "prod", linked) == message


@pytest.mark.parametrize(("service", "env"), [(None, "prod"), ("checkout", None)])
def test_half_a_name_is_not_allowed(service: str | None, env: str | None) -> None:
    """A policy cannot check what is not named."""
    assert why_not(Allowed(services=("*",)), "shop", service, env) is not None


def test_a_plan_uses_what_the_rollout_and_reads_have_shown() -> None:
    """The state of the Rollout, an id that was read back, and the id of the remediation."""
    decided = RolloutState(MarkState(change_failure=True, remediation=link(version="1.4.2")), "uid-1", 2, "RolledBack")
    target = replace(VERSION_TARGET, revision=2, source_uid="uid-1")
    pinned = replace(target, by=TargetKind.ID, id=DEPLOYMENT_ID)
    known_link = link(version="1.4.2", id=OTHER_ID)
    given = {"rollout_state": decided, "known": pinned, "known_link": known_link}
    fields = {"deployment": BY_VERSION, "sourceRef": {"name": "checkout"}}
    state = MarkState(change_failure=True, remediation=known_link)
    assert planned(fields, given) == Send(PatchById(DEPLOYMENT_ID, state), pinned)
    assert planned(fields, {"rollout_state": decided}) == Send(
        PatchByVersion("checkout", "prod", "1.5.0", decided.state), target
    )


@pytest.mark.parametrize(
    ("remediation", "known"),
    [
        pytest.param({"type": "rollback", "id": OTHER_ID}, link(id="another-id", version="1.4.2"), id="by id"),
        pytest.param(
            {"type": "rollback", "version": "1.4.1"}, link(id=OTHER_ID, version="1.4.2"), id="another version"
        ),
        pytest.param(
            {"type": "rollforward", "version": "1.4.2"}, link(id=OTHER_ID, version="1.4.2"), id="another type"
        ),
        pytest.param({"type": "rollback", "version": "1.4.2"}, None, id="nothing was read"),
        pytest.param(None, link(id=OTHER_ID, version="1.4.2"), id="no remediation any more"),
    ],
)
def test_a_link_that_was_read_is_used_for_the_same_link_only(remediation: dict[str, Any] | None, known: Any) -> None:
    """What spec says stays as it is otherwise."""
    plan = planned(FAILING | {"remediation": remediation}, {"known_link": known})
    assert isinstance(plan, Send)
    found = plan.request.state.remediation
    assert (found is None) == (remediation is None)
    if found is not None and remediation is not None:
        assert (found.type.value, found.id, found.version) == (
            remediation["type"],
            remediation.get("id"),
            remediation.get("version"),
        )


@pytest.mark.parametrize(
    ("fields", "decided", "expected"),
    [
        pytest.param({}, MarkState(change_failure=True), False, id="spec says nothing"),
        pytest.param(FAILING, MarkState(change_failure=True), False, id="spec says the same"),
        pytest.param({"changeFailure": False}, MarkState(change_failure=True), True, id="spec says the opposite"),
        pytest.param(
            {"remediation": {"type": "rollback", "version": "1.4.2"}},
            MarkState(change_failure=True, remediation=link(version="1.4.2")),
            False,
            id="the same remediation",
        ),
        pytest.param(
            {"remediation": {"type": "rollback", "version": "1.4.1"}},
            MarkState(change_failure=True, remediation=link(version="1.4.2")),
            True,
            id="another remediation",
        ),
        pytest.param(
            {"remediation": {"type": "rollback", "version": "1.4.1"}},
            MarkState(change_failure=True),
            False,
            id="a remediation where the Rollout has none",
        ),
    ],
)
def test_whether_a_spec_overrides_its_rollout(fields: dict, decided: MarkState, *, expected: bool) -> None:
    """Only where both say something, and not the same."""
    assert overrides(spec(**fields), RolloutState(decided, "uid-1", 2, "Aborted")) is expected


def test_an_absent_value_contradicts_nothing() -> None:
    """Two links contradict each other, and so do two values of changeFailure."""
    linked, other = MarkState(remediation=link(id=OTHER_ID)), MarkState(remediation=link(version="1.4.2"))
    assert contradicts(linked, other)
    assert not contradicts(linked, FAILURE)
    assert contradicts(FAILURE, MarkState(change_failure=False))
