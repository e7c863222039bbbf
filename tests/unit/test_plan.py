"""What a DoraDeployment asks for: one plan for each combination of spec and context."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_operator.domain.plan import (
    CHECKS,
    Hold,
    Refuse,
    RolloutState,
    Send,
    Wait,
    contradicts,
    desired_state,
    follows,
    state_of,
)
from dora_operator.domain.reasons import Reason
from dora_operator.domain.request import PatchById, PatchByVersion
from dora_operator.domain.resource import MarkState
from dora_operator.domain.spec import DeploymentSelector
from tests.support.builders import (
    BY_VERSION,
    DEPLOYMENT_ID,
    NOW,
    OTHER_ID,
    after,
    link,
    planned,
    rival,
    spec,
    verdict,
)

ROLLBACK = {"type": "rollback", "id": OTHER_ID}
REFERRING = {"type": "rollback", "doraDeploymentRef": {"name": "other"}}
BEFORE, AFTER = after(-1), after(1)


@pytest.mark.parametrize(
    ("fields", "given_context", "expected"),
    [
        pytest.param(
            {"changeFailure": True}, {}, PatchById(DEPLOYMENT_ID, MarkState(change_failure=True)), id="a failure by id"
        ),
        pytest.param(
            {"changeFailure": False},
            {},
            PatchById(DEPLOYMENT_ID, MarkState(change_failure=False)),
            id="false is a value, not an absence",
        ),
        pytest.param(
            {"remediation": ROLLBACK},
            {},
            PatchById(DEPLOYMENT_ID, MarkState(remediation=link(id=OTHER_ID))),
            id="by id, a remediation alone is enough",
        ),
        pytest.param(
            {"deployment": BY_VERSION, "changeFailure": True},
            {},
            PatchByVersion("checkout", "prod", "1.5.0", MarkState(change_failure=True)),
            id="a failure by service, env and version",
        ),
        pytest.param(
            {"changeFailure": True, "remediation": REFERRING},
            {"referenced": DeploymentSelector(id=OTHER_ID)},
            PatchById(DEPLOYMENT_ID, MarkState(change_failure=True, remediation=link(id=OTHER_ID))),
            id="a reference becomes the id of the other resource",
        ),
        pytest.param(
            {"deployment": BY_VERSION, "changeFailure": True, "remediation": REFERRING},
            {"referenced": DeploymentSelector(**(BY_VERSION | {"version": "1.4.2"}))},
            PatchByVersion(
                "checkout", "prod", "1.5.0", MarkState(change_failure=True, remediation=link(version="1.4.2"))
            ),
            id="a reference becomes the version of the other resource",
        ),
        pytest.param(
            {"changeFailure": True, "sourceRef": {"name": "checkout", "version": "1.5.0"}},
            {},
            PatchById(DEPLOYMENT_ID, MarkState(change_failure=True)),
            id="what spec says needs no Rollout",
        ),
    ],
)
def test_what_is_sent(fields: dict, given_context: dict, expected: PatchById | PatchByVersion) -> None:
    """A complete spec becomes exactly one request."""
    plan = planned(fields, given_context)
    assert isinstance(plan, Send)
    assert plan.request == expected


@pytest.mark.parametrize(
    ("fields", "given_context", "kind", "reason"),
    [
        pytest.param({"changeFailure": True, "suspend": True}, {}, Hold, Reason.SUSPENDED, id="suspended"),
        pytest.param({"changeFailure": True, "dryRun": True}, {}, Hold, Reason.DRY_RUN, id="a dry run of the resource"),
        pytest.param({"changeFailure": True}, {"dry_run": True}, Hold, Reason.DRY_RUN, id="a dry run of the operator"),
        pytest.param(
            {"changeFailure": True, "dryRun": True, "suspend": True},
            {},
            Hold,
            Reason.SUSPENDED,
            id="suspend is stronger than a dry run",
        ),
        pytest.param(
            {"sourceRef": {"name": "checkout", "version": "1.5.0"}},
            {},
            Wait,
            Reason.WAITING_FOR_ROLLOUT,
            id="the Rollout has not decided",
        ),
        pytest.param(
            {"sourceRef": {"name": "checkout", "version": "1.5.0"}, "remediation": ROLLBACK},
            {},
            Wait,
            Reason.WAITING_FOR_ROLLOUT,
            id="a remediation alone does not replace what the Rollout decides",
        ),
        pytest.param(
            {"changeFailure": True, "remediation": REFERRING},
            {},
            Wait,
            Reason.WAITING_FOR_REMEDIATION,
            id="the referenced resource does not exist",
        ),
        pytest.param(
            {"changeFailure": True, "remediation": REFERRING},
            {"referenced": DeploymentSelector(id=DEPLOYMENT_ID)},
            Refuse,
            Reason.REMEDIATION_MISMATCH,
            id="the referenced resource marks the same deployment",
        ),
        pytest.param(
            {"deployment": BY_VERSION, "changeFailure": True, "remediation": REFERRING},
            {"referenced": DeploymentSelector(**(BY_VERSION | {"service": "cart", "version": "1.4.2"}))},
            Refuse,
            Reason.REMEDIATION_MISMATCH,
            id="the referenced resource is of another service",
        ),
        pytest.param(
            {"deployment": BY_VERSION, "remediation": ROLLBACK},
            {},
            Refuse,
            Reason.INVALID_SPEC,
            id="by version without changeFailure, from a CRD without rules",
        ),
        pytest.param(
            {"deployment": {"service": "checkout"}, "changeFailure": True},
            {},
            Refuse,
            Reason.INVALID_SPEC,
            id="half a selector, from a CRD without rules",
        ),
        pytest.param(
            {"changeFailure": False},
            {"rivals": (rival("older", BEFORE, changeFailure=True),)},
            Refuse,
            Reason.CONFLICT,
            id="an older resource wants the opposite",
        ),
        pytest.param(
            {"changeFailure": True, "remediation": ROLLBACK},
            {"rivals": (rival("older", BEFORE, remediation={"type": "rollback", "version": "1.0.0"}),)},
            Refuse,
            Reason.CONFLICT,
            id="an older resource names another remediation",
        ),
        pytest.param(
            {"changeFailure": False, "suspend": True},
            {"rivals": (rival("older", BEFORE, changeFailure=True),)},
            Refuse,
            Reason.CONFLICT,
            id="a conflict is shown before a suspension",
        ),
        pytest.param(
            {"changeFailure": False},
            {"rivals": (rival("a-same-second", NOW, changeFailure=True),)},
            Refuse,
            Reason.CONFLICT,
            id="of two of the same second, the first by name wins",
        ),
    ],
)
def test_what_is_not_sent(fields: dict, given_context: dict, kind: type, reason: Reason) -> None:
    """A spec that must not be sent has one reason and a message."""
    plan = planned(fields, given_context)
    assert isinstance(plan, kind)
    assert plan.reason is reason
    assert plan.message


@pytest.mark.parametrize(
    "rivals",
    [
        pytest.param((rival("newer", AFTER, changeFailure=True),), id="a newer one wants the opposite"),
        pytest.param((rival("older", BEFORE, changeFailure=False),), id="an older one wants the same"),
        pytest.param((rival("older", BEFORE, remediation=ROLLBACK),), id="an older one is about something else"),
        pytest.param(
            (
                rival("oldest", BEFORE - timedelta(days=1), changeFailure=False),
                rival("loser", BEFORE, changeFailure=True),
            ),
            id="an older one wants the opposite but loses itself",
        ),
    ],
)
def test_rivals_that_do_not_matter(rivals: tuple) -> None:
    """Only a contradiction with an older resource that is itself in force holds a request back."""
    assert isinstance(planned({"changeFailure": False}, {"rivals": rivals}), Send)


def test_the_order_of_the_checks() -> None:
    """The chain is an interface: what comes first is what the user sees first."""
    names = [check.__name__ for check in CHECKS]
    assert names == [
        "_names_no_deployment",
        "_is_not_allowed",
        "_waits_for_rollout",
        "_has_nothing_to_say",
        "_remediation_is_missing",
        "_remediation_does_not_fit",
        "_older_one_wants_the_opposite",
        "_is_held_back",
    ]


states = st.builds(
    MarkState,
    change_failure=st.none() | st.booleans(),
    remediation=st.none() | st.builds(link, id=st.sampled_from(["aaaaaaaaaaa", "bbbbbbbbbbb"])),
)


@given(states, states)
def test_contradiction_is_symmetric_and_never_with_itself(one: MarkState, other: MarkState) -> None:
    """Two resources agree about whether they contradict each other."""
    assert contradicts(one, other) is contradicts(other, one)
    assert not contradicts(one, one)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6))
def test_of_any_rivals_the_senders_agree(wishes: list[tuple[int, bool]]) -> None:
    """However many resources name one deployment, those that send want the same, and the oldest sends."""
    resources = [(f"r{n}", NOW + timedelta(seconds=age), failure) for n, (age, failure) in enumerate(wishes)]
    senders = []
    for name, created_at, failure in resources:
        others = tuple(rival(n, c, changeFailure=f) for n, c, f in resources if n != name)
        given_context = {"name": name, "created_at": created_at, "rivals": others}
        if isinstance(planned({"changeFailure": failure}, given_context), Send):
            senders.append((created_at, name, failure))
    assert len({failure for _, _, failure in senders}) == 1
    assert min(senders)[:2] == min((created_at, name) for name, created_at, _ in resources)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, MarkState(change_failure=True, remediation=link(version="1.4.2")), id="all that it says"),
        pytest.param(
            {"changeFailure": False}, MarkState(change_failure=False), id="no link where the spec says it is no failure"
        ),
        pytest.param(
            {"remediation": ROLLBACK},
            MarkState(change_failure=True, remediation=link(id=OTHER_ID)),
            id="the spec's own link",
        ),
    ],
)
def test_what_a_resource_takes_from_its_rollout(fields: dict[str, Any], expected: MarkState) -> None:
    """A remediation belongs to a failure: what is no failure has none."""
    decided = MarkState(change_failure=True, remediation=link(version="1.4.2"))
    wanted = spec(deployment=BY_VERSION, sourceRef={"name": "checkout"}, **fields)
    assert desired_state(wanted, None, RolloutState(decided, "uid-1", 2, "RolledBack")) == expected


BY_PLAIN_ID = {"deployment": {"id": DEPLOYMENT_ID}}


@pytest.mark.parametrize(
    ("fields", "decided", "does_follow"),
    [
        pytest.param({"deployment": BY_VERSION, "sourceRef": {"name": "checkout"}}, {}, True, id="its own version"),
        pytest.param({"deployment": BY_VERSION}, {}, False, id="no sourceRef"),
        pytest.param({"deployment": BY_VERSION, "sourceRef": {"name": "cart"}}, {}, False, id="another Rollout"),
        pytest.param(
            {"deployment": BY_VERSION, "sourceRef": {"name": "checkout", "version": "1.4.0"}},
            {},
            False,
            id="another version of the Rollout",
        ),
        pytest.param(
            BY_PLAIN_ID | {"sourceRef": {"name": "checkout", "version": "1.5.0"}}, {}, True, id="an id, by version"
        ),
        pytest.param(
            BY_PLAIN_ID | {"sourceRef": {"name": "checkout", "version": "any"}},
            {"deployment_id": DEPLOYMENT_ID},
            True,
            id="the same id, whatever the version",
        ),
        pytest.param(
            BY_PLAIN_ID | {"sourceRef": {"name": "checkout", "version": "any"}},
            {"deployment_id": OTHER_ID},
            False,
            id="another id",
        ),
    ],
)
def test_which_resources_follow_a_verdict(
    fields: dict[str, Any], decided: dict[str, Any], *, does_follow: bool
) -> None:
    """A resource follows what its Rollout does to its version, or to its id."""
    assert follows(spec(**fields), verdict(**decided)) is does_follow


def test_what_a_verdict_asks_for() -> None:
    """Change failure and remediation, and which deployment of the version is meant."""
    remediation = link(version="1.4.2")
    decided = state_of(verdict(remediation=remediation))
    assert decided == RolloutState(MarkState(change_failure=True, remediation=remediation), "uid-1", 2, "Aborted")
    assert state_of(verdict(verdict="Recovered")).state == MarkState(change_failure=False)
    assert state_of(verdict(verdict="Kept")).state == MarkState(change_failure=True)
