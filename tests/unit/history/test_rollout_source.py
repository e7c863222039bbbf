"""What an observation reads from a Rollout and its ReplicaSets."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dora_operator.domain.history.observation import Failing
from dora_operator.domain.sources.rollout import observation_of
from tests.unit.history.objects import replica_set, rollout

BOTH = (replica_set("V1", "1"), replica_set("V2", "2"))
ABORTED = {"abort": True, "abortedAt": "2026-11-23T03:30:00Z", "message": "RolloutAborted: metric failed"}
ASKED = {"abort": True}
TEMPLATE = {"template": {"metadata": {"labels": {"tags.datadoghq.com/version": "V2"}}}}


def test_a_settled_rollout_is_read_whole() -> None:
    """Revision, hashes, tags, numbers and times."""
    completed = [{"type": "Completed", "status": "False", "lastTransitionTime": "2026-11-23T03:10:00Z"}]
    replica_sets = (replica_set("V1", "3", "1"), replica_set("V2", "2", ready=1))
    seen = observation_of(rollout(status={"conditions": completed}), replica_sets)
    assert (seen.revision, seen.current_hash, seen.stable_hash, seen.failing) == (2, "V2", "V1", None)
    assert {t.pod_template_hash: (t.numbers, t.identity.version) for t in seen.templates} == {
        "V1": ((1, 3), "V1"),
        "V2": ((2,), "V2"),
    }
    assert (seen.served, seen.began_time) == (True, datetime(2026, 11, 23, 3, 10, tzinfo=UTC))


@pytest.mark.parametrize(
    ("body", "replica_sets"),
    [
        pytest.param(rollout(generation=6), BOTH, id="observedGeneration lags"),
        pytest.param(
            rollout(annotations={"rollout.argoproj.io/revision": "3"}), BOTH, id="the annotation names a newer revision"
        ),
        pytest.param(rollout(status={"currentPodHash": "V3"}), BOTH, id="the current ReplicaSet is not listed"),
        pytest.param(rollout(), (BOTH[0], replica_set("V2", "4", "2")), id="the ReplicaSet has a newer revision"),
        pytest.param(
            rollout(
                annotations={"rollout.argoproj.io/revision": "4"},
                status={"abort": True, "message": "RolloutAborted: Rollout aborted update to revision 2: by hand"},
            ),
            (BOTH[0], replica_set("V2", "4", "2")),
            id="the abort is that of an earlier revision of the same template",
        ),
        pytest.param(
            rollout(
                spec={"workloadRef": {"name": "checkout"}},
                annotations={"rollout.argoproj.io/workload-generation": "7"},
                status={"workloadObservedGeneration": "6"},
            ),
            BOTH,
            id="with workloadRef, the pod template is newer than the status",
        ),
        pytest.param(rollout(), (replica_set("V2", "2", uid="another"),), id="the ReplicaSet has another owner"),
    ],
)
def test_between_two_revisions_no_revision_is_named(body: dict[str, Any], replica_sets: tuple[Any, ...]) -> None:
    """The objects do not agree: the status is about the revision before."""
    assert observation_of(body, replica_sets).revision is None


def test_a_workload_generation_without_workload_ref_is_left_over() -> None:
    """The annotation stays after workloadRef was replaced by an inline template."""
    left = rollout(
        annotations={"rollout.argoproj.io/workload-generation": "7"}, status={"workloadObservedGeneration": ""}
    )
    assert observation_of(left, BOTH).revision == 2


TIME = datetime(2026, 11, 23, 3, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "spec", "message", "time"),
    [
        pytest.param(ABORTED, {}, "metric failed", TIME, id="carried out: with message and time"),
        pytest.param(ASKED, {}, "", None, id="asked for: at once, without a time"),
        pytest.param(
            ABORTED,
            {"rollbackWindow": {"revisions": 3}},
            "metric failed",
            TIME,
            id="carried out within a rollbackWindow",
        ),
    ],
)
def test_an_abort_is_failing(status: dict[str, Any], spec: dict[str, Any], message: str, time: datetime | None) -> None:
    """What the controller carries out, or will."""
    failing = observation_of(rollout(status=status, spec=spec), BOTH).failing
    assert failing is not None
    assert (failing.message, failing.time) == (message, time)


@pytest.mark.parametrize(
    ("status", "spec"),
    [
        pytest.param(ASKED | {"promoteFull": True}, {}, id="it may be taken back: promote --full is under way"),
        pytest.param(ASKED, {"rollbackWindow": {"revisions": 3}}, id="it may be taken back: within a rollbackWindow"),
        pytest.param(ABORTED | {"stableRS": "V2"}, {}, id="the current revision is the stable one"),
        pytest.param(ABORTED | {"stableRS": ""}, {}, id="the first revision has nothing to go back to"),
        pytest.param(
            {"abort": False, "abortedAt": "2026-11-23T03:30:00Z"}, {}, id="a retry leaves abortedAt for a write"
        ),
        pytest.param({"phase": "Degraded", "message": "RolloutAborted: x"}, {}, id="degraded without abort"),
    ],
)
def test_these_are_no_aborts(status: dict[str, Any], spec: dict[str, Any]) -> None:
    """Nothing fails."""
    assert observation_of(rollout(status=status, spec=spec), BOTH).failing is None


def test_ephemeral_metadata_does_not_change_the_tags_of_the_current_revision() -> None:
    """`canaryMetadata` is merged into the ReplicaSet's pod template, not into that of the Rollout."""
    canary = replica_set("V2", "2", labels={"env": "canary"})
    own = replica_set("V2", "2")["spec"]
    seen = observation_of(rollout(spec=own), (BOTH[0], canary))
    assert [t.identity.env for t in seen.templates] == ["prod", "prod"]
    between = observation_of(rollout(spec=own, generation=6), (BOTH[0], canary))
    assert [t.identity.env for t in between.templates] == ["prod", "canary"]  # the template may be a newer one


@pytest.mark.parametrize(
    ("labels", "annotations", "expected"),
    [
        pytest.param({}, {}, ("checkout", "prod", "V2", None), id="the labels"),
        pytest.param(
            {}, {"dora-operator.io/version": "9"}, ("checkout", "prod", "9", None), id="an annotation overrides"
        ),
        pytest.param(
            {},
            {"dora-operator.io/deployment-id": "4242fcdd31586083"},
            ("checkout", "prod", "V2", "4242fcdd31586083"),
            id="an id",
        ),
        pytest.param(
            {}, {"dora-operator.io/deployment-id": "no"}, ("checkout", None, None, None), id="a broken id: no labels"
        ),
        pytest.param({"version": "bad\n"}, {}, ("checkout", "prod", None, None), id="a version that is no tag"),
    ],
)
def test_the_identity_of_a_template(
    labels: dict[str, str], annotations: dict[str, str], expected: tuple[Any, ...]
) -> None:
    """By id, else by the three tags; a broken id never falls back to them."""
    (read,) = observation_of(rollout(), (replica_set("V2", "2", labels=labels, annotations=annotations),)).templates
    assert (read.identity.service, read.identity.env, read.identity.version, read.identity.deployment_id) == expected


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(max_size=5),
    lambda child: (
        some.lists(child, max_size=3)
        | some.dictionaries(
            some.sampled_from(["metadata", "status", "spec", "annotations", "conditions"]), child, max_size=4
        )
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(JSON, some.lists(JSON, max_size=3))
def test_any_object_is_read(body: Any, replica_sets: list[Any]) -> None:
    """Other controllers wrote these objects: nothing raises."""
    seen = observation_of(body if isinstance(body, dict) else {}, replica_sets)
    assert seen.revision is None
    assert not isinstance(seen.failing, Failing)
