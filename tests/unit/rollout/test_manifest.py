"""A verdict as a DoraDeployment and back, and the event for a restored version."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dora_operator.domain.rollout.identity import ById, ByVersion, Identified
from dora_operator.domain.rollout.manifest import label_value, read_record, resource_name, wanted_resource
from dora_operator.domain.rollout.observation import Observation, observe
from dora_operator.domain.rollout.restored import Back, OnTheWay, Restoration, linked, step_back
from dora_operator.domain.rollout.verdict import (
    Kind,
    Policy,
    Remediation,
    RemediationType,
    RestoredDeployment,
    Verdict,
)
from tests.unit.rollout.operator_stand_in import Operator
from tests.unit.rollout.simulator import Simulator

AT = datetime(2026, 11, 23, 3, 44, 56, tzinfo=UTC)
VERDICT = Verdict(
    rollout_uid="uid-1",
    pod_template_hash="7bddf7c8fc",
    identity=ByVersion("checkout", "prod", "1.1.0"),
    kind=Kind.ABORTED,
    revision=2,
    cause=2,
    at=AT,
    message="Rollout aborted update to revision 2",
)
RECORD = Policy(restored_deployment=RestoredDeployment.RECORD)


def aborted_rollout() -> tuple[Simulator, Operator]:
    """Return a Rollout that stands aborted, and an operator that has recorded it."""
    simulator, operator = Simulator(), Operator()
    for play in (simulator.start, lambda: simulator.deploy(("1.1.0", "a")), lambda: simulator.abort(by_hand=False)):
        for _ in play():
            operator.look(simulator.levels)
    return simulator, operator


def observed(simulator: Simulator) -> Observation:
    """Return what the simulator shows."""
    return observe(simulator.levels.rollout, simulator.levels.replica_sets.values())


def test_the_manifest_of_an_abort() -> None:
    """Name, labels and spec as documented; no owner, so that a deleted Rollout takes no unsent report along."""
    manifest = wanted_resource(observed(aborted_rollout()[0]), VERDICT)
    assert json.loads(manifest["metadata"].pop("annotations")["dora-operator.io/verdict"])["kind"] == "Aborted"
    assert manifest == {
        "apiVersion": "dora-operator.io/v1alpha1",
        "kind": "DoraDeployment",
        "metadata": {
            "name": "checkout-7bddf7c8fc",
            "namespace": "shop",
            "labels": {"dora-operator.io/rollout": "checkout"},
        },
        "spec": {
            "deployment": {"service": "checkout", "env": "prod", "version": "1.1.0"},
            "changeFailure": True,
            "rolloutRef": {"name": "checkout", "version": "1.1.0"},
        },
    }


def test_with_an_id_alone_the_pod_hash_says_which_revision() -> None:
    """The CRD wants rolloutRef.version beside deployment.id, and not every pod template has a version label."""
    by_id = replace(VERDICT, identity=ById("43vkaZNgiso"))
    spec = wanted_resource(observed(aborted_rollout()[0]), by_id)["spec"]
    assert spec["deployment"] == {"id": "43vkaZNgiso"}
    assert spec["rolloutRef"] == {"name": "checkout", "version": "7bddf7c8fc"}


def test_the_manifest_of_a_recovery_says_false() -> None:
    """A cleared mark is sent as false."""
    assert (
        wanted_resource(observed(Simulator()), replace(VERDICT, kind=Kind.RECOVERED))["spec"]["changeFailure"] is False
    )


@pytest.mark.parametrize(
    ("remediation", "written"),
    [
        pytest.param(
            Remediation(RemediationType.ROLLBACK, version="1"), {"type": "rollback", "version": "1"}, id="version"
        ),
        pytest.param(
            Remediation(RemediationType.ROLLFORWARD, deployment_id="4242fcdd31586083"),
            {"type": "rollforward", "id": "4242fcdd31586083"},
            id="id",
        ),
    ],
)  # fmt: skip
def test_the_manifest_links_by_exactly_one(remediation: Remediation, written: dict[str, str]) -> None:
    """Datadog refuses both id and version."""
    assert (
        wanted_resource(observed(Simulator()), replace(VERDICT, remediation=remediation))["spec"]["remediation"]
        == written
    )


IDENTITIES = some.sampled_from(
    [VERDICT.identity, ById("4242fcdd31586083"), ById("4242fcdd31586083", "checkout", None, "1.1.0")]
)
REMEDIATIONS = some.sampled_from(
    [
        None,
        Remediation(RemediationType.ROLLBACK, "4242fcdd31586083"),
        Remediation(RemediationType.ROLLFORWARD, None, "2"),
    ]
)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    IDENTITIES,
    some.sampled_from(Kind),
    some.integers(0, 10**9),
    some.none() | some.datetimes(timezones=some.just(UTC)),
    some.text(),
    REMEDIATIONS,
)
def test_what_was_written_is_read_back(
    identity: Identified, kind: Kind, revision: int, at: datetime | None, message: str, remediation: Remediation | None
) -> None:
    """The record is the verdict, whatever it says."""
    verdict = Verdict("uid", "hash", identity, kind, revision, revision + 1, at, message, remediation, restored_at=at)
    written = json.loads(json.dumps(wanted_resource(observed(aborted_rollout()[0]), verdict)))
    assert read_record(written) == verdict


@pytest.mark.parametrize(
    "annotation",
    ["", "{", "[]", "7", '{"kind": "Aborted"}', '{"kind": "Unheard", "revision": 1, "cause": 1}', "[" * 100_000],
)
def test_a_resource_without_a_readable_verdict_is_no_record(annotation: str) -> None:
    """Users write DoraDeployments too."""
    manifest = wanted_resource(observed(Simulator()), VERDICT)
    manifest["metadata"]["annotations"] = {"dora-operator.io/verdict": annotation}
    assert read_record(manifest) is None
    assert read_record(manifest | {"metadata": None, "spec": []}) is None


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(some.text(max_size=300), some.text(max_size=300))
def test_names_and_labels_are_always_legal(rollout: str, pod_template_hash: str) -> None:
    """A DNS subdomain of at most 253 characters, a label of at most 63."""
    legal = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
    name, label = resource_name(rollout, pod_template_hash), label_value(rollout)
    assert re.fullmatch(legal, name)
    assert re.fullmatch(legal, label)
    assert len(name) <= 253
    assert len(label) <= 63


def test_long_names_stay_apart() -> None:
    """Two Rollouts that differ only where they are cut have two names."""
    assert resource_name("a" * 260, "hash") != resource_name("a" * 261, "hash")
    assert label_value("a" * 64) != label_value("a" * 65)
    assert label_value("a" * 63) == "a" * 63


def test_the_time_of_the_return_is_noted_before_the_event() -> None:
    """The event is a function of the record alone: later posts have the same id and the same times."""
    simulator, operator = aborted_rollout()
    (verdict,) = operator.records
    assert verdict.at is not None
    back = step_back(observed(simulator), verdict, RECORD, verdict.at + timedelta(days=1, milliseconds=7))
    assert back == Back(replace(verdict, restored_at=verdict.at + timedelta(days=1)))
    assert isinstance(back, Back)
    noted = read_record(wanted_resource(observed(simulator), back.verdict))
    assert noted is not None
    first, second = (step_back(observed(simulator), noted, RECORD, AT + timedelta(days=days)) for days in (2, 3))
    assert isinstance(first, Restoration)
    assert first == second
    assert re.fullmatch(r"[A-Za-z0-9_.:-]{16,128}", first.deployment_id)
    assert (first.service, first.env, first.version) == ("checkout", "prod", "1.0.0")
    assert (first.started_at, first.finished_at) == (verdict.at, verdict.at + timedelta(days=1))


def test_an_event_never_ends_before_it_starts() -> None:
    """The API server's clock and the operator's may differ."""
    simulator, operator = aborted_rollout()
    (verdict,) = operator.records
    assert verdict.at is not None
    back = step_back(observed(simulator), verdict, RECORD, verdict.at - timedelta(seconds=3))
    assert back == Back(replace(verdict, restored_at=verdict.at))


def test_nothing_is_restored_before_the_stable_version_is_whole_or_without_the_setting() -> None:
    """No event while replicas are missing, when the abort has no time yet, or when nobody asked for it."""
    simulator, operator = aborted_rollout()
    (verdict,) = operator.records
    assert step_back(observed(simulator), verdict, Policy(), AT) is None
    assert step_back(observed(simulator), replace(verdict, at=None), RECORD, AT) == OnTheWay()
    assert step_back(observed(simulator), replace(verdict, kind=Kind.UNDONE), RECORD, AT) is None
    assert step_back(observed(simulator), replace(verdict, revision=1), RECORD, AT) is None
    for each in simulator.levels.replica_sets.values():
        each["status"]["readyReplicas"] = 1
    assert step_back(observed(simulator), verdict, RECORD, AT) == OnTheWay()


def test_no_event_names_a_version_that_became_stable_later() -> None:
    """What was restored is older than what failed."""
    simulator, operator = aborted_rollout()
    (verdict,) = operator.records
    for play in (lambda: simulator.deploy(("1.2.0", "a")), simulator.promote):
        for _ in play():
            pass
    assert step_back(observed(simulator), replace(verdict, restored_at=AT), RECORD, AT) is None


def restored(simulator: Simulator, verdict: Verdict) -> Verdict:
    """Return the verdict with the link to its event."""
    event = step_back(observed(simulator), replace(verdict, restored_at=AT), RECORD, AT)
    assert isinstance(event, Restoration)
    return linked(verdict, event)


def test_a_restored_link_stays_until_a_retry_succeeds() -> None:
    """A newer version changes nothing about a recorded recovery; the promotion of the version itself takes it away."""
    for ends_by_retry in (True, False):
        simulator, operator = aborted_rollout()
        (verdict,) = operator.records
        manifest = wanted_resource(observed(simulator), restored(simulator, verdict))
        operator.manifests[manifest["metadata"]["name"]] = json.dumps(manifest)
        operator.asked.clear()
        for play in (simulator.retry if ends_by_retry else lambda: simulator.deploy(("1.2.0", "a")), simulator.promote):  # noqa: B023
            for _ in play():
                operator.look(simulator.levels)
        assert operator.asked == ([("1.1.0", False, "")] if ends_by_retry else [])
