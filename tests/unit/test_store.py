"""What is known of the cluster: the newest version wins, the operator's own writes are not new."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dora_operator.domain.fields import ObjectKey, to_api
from dora_operator.domain.history.verdicts import Verdict
from dora_operator.domain.plan import Dependency
from dora_operator.domain.resource import DoraDeployment
from dora_operator.store import MAX_UNDECIDED, DeploymentStore, Entry, WorkloadStore
from dora_operator.workqueue import Priority
from tests.support.builders import BY_ID, NOW, verdict

KEY = ObjectKey("shop", "mine")


def body(version: int = 1, uid: str = "u1", generation: int = 1, **status: Any) -> dict[str, Any]:
    """Build an object as the API server shows it."""
    return {
        "metadata": {
            "namespace": "shop",
            "name": "mine",
            "uid": uid,
            "generation": generation,
            "resourceVersion": str(version),
            "creationTimestamp": "2026-11-23T12:00:00Z",
        },
        "spec": {"deployment": BY_ID, "changeFailure": True},
        "status": status,
    }


def dependencies(deployment: DoraDeployment) -> Iterable[Dependency]:
    """Let an object depend on something named by its generation."""
    return {ObjectKey("generation", str(deployment.generation))}


@pytest.fixture
def store() -> DeploymentStore:
    """Return an empty store."""
    return DeploymentStore(dependencies)


def known(store: DeploymentStore) -> DoraDeployment:
    """Return the object."""
    found = store.get(KEY)
    assert found is not None
    return found


def entry(store: DeploymentStore) -> Entry:
    """Return all that is known of the object."""
    found = store.entry(KEY)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("first", "second", "news"),
    [
        pytest.param(body(1), body(2, generation=2), True, id="a changed spec"),
        pytest.param(body(1), body(2, attempts=1), True, id="a status that another client wrote"),
        pytest.param(body(1), body(2), False, id="a change of metadata alone"),
        pytest.param(body(2, generation=2), body(1), False, id="an older version that comes late"),
        pytest.param(body(1), body(1), False, id="the same version again"),
        pytest.param(body(9), body(10, uid="u2"), True, id="another object of the same name"),
        pytest.param(body(9, uid="u2"), body(3), False, id="a deleted object of the same name, late"),
        pytest.param(body(9), body(10, generation=2), True, id="versions are numbers"),
    ],
)
def test_what_is_new(store: DeploymentStore, first: dict[str, Any], second: dict[str, Any], *, news: bool) -> None:
    """Only something that a decision could depend on is new."""
    assert store.upsert(first)
    assert store.upsert(second) is news


def test_versions_are_the_newest_even_where_they_are_no_news(store: DeploymentStore) -> None:
    """The list is compared with them."""
    store.upsert(body(1))
    store.upsert(body(2))
    assert store.versions(None) == store.versions("shop") == {KEY: ("u1", "2")}
    assert store.versions("pay") == {}


def test_the_operators_own_write_is_no_news(store: DeploymentStore) -> None:
    """The watch's echo of a status write requeues nothing, whether it comes before or after the answer."""
    store.upsert(body(1))
    before = known(store)
    store.saved(before, body(5, attempts=1))
    assert not store.upsert(body(5, attempts=1))
    assert known(store).status.attempts == 1


def test_an_unsaved_status_outlives_edits(store: DeploymentStore) -> None:
    """Datadog's answer is not forgotten when the spec changes before it could be written."""
    store.upsert(body(1))
    store.keep_unsaved(known(store), replace(known(store).status, attempts=3))
    store.upsert(body(2, generation=2))
    found = known(store)
    assert (found.generation, found.status.attempts, store.stored_status(found).attempts) == (2, 3, None)
    store.saved(found, body(3, generation=2, attempts=3))
    assert known(store).status == store.stored_status(found)


def test_an_unsaved_status_outlives_a_list(store: DeploymentStore) -> None:
    """The API server still shows the old status."""
    store.upsert(body(1))
    store.keep_unsaved(known(store), replace(known(store).status, attempts=3))
    assert not store.upsert(body(2))
    assert known(store).status.attempts == 3


def test_a_status_of_a_deleted_object_is_kept_nowhere(store: DeploymentStore) -> None:
    """Its successor has a status of its own."""
    store.upsert(body(1))
    before = known(store)
    store.upsert(body(9, uid="u2"))
    assert not store.has(before)
    store.keep_unsaved(before, replace(before.status, attempts=3))
    store.saved(before, body(10, attempts=3))
    assert (known(store).uid, known(store).status.attempts) == ("u2", None)


def test_dependencies_follow_the_spec(store: DeploymentStore) -> None:
    """A changed or deleted object leaves none behind."""
    first, second = ObjectKey("generation", "1"), ObjectKey("generation", "2")
    store.upsert(body(1))
    assert [each.key for each in store.depending_on(first)] == [KEY]
    store.upsert(body(2, generation=2))
    assert store.depending_on(first) == []
    assert [each.key for each in store.depending_on(second)] == [KEY]
    assert store.dependencies(KEY) == (second,)
    assert store.forget(KEY, "u1")
    assert store.depending_on(second) == []
    assert len(store) == 0


def test_a_late_deletion_does_not_drop_the_successor(store: DeploymentStore) -> None:
    """DELETED of an old uid leaves the new object of the same name."""
    store.upsert(body(1))
    store.upsert(body(9, uid="u2"))
    assert not store.forget(KEY, "u1")
    assert store.get(KEY) is not None


def test_since_when_a_state_is_desired(store: DeploymentStore) -> None:
    """The earliest time of a generation counts while the state is due; a new generation begins again."""
    late, early = NOW + timedelta(seconds=5), NOW - timedelta(seconds=5)
    store.upsert(body(1))
    for at, expected in ((NOW, NOW), (late, NOW), (early, early), (late, early)):
        store.note_desired(KEY, at)
        assert entry(store).desired_since == expected
    store.upsert(body(2, generation=2))
    assert entry(store).desired_since is None


WANTED, ACCEPTED = {"changeFailure": True}, {"accepted": {"changeFailure": True}}
READY = {"type": "Ready", "status": "True", "reason": "Accepted", "message": "", "observedGeneration": 1}
DONE = {"observedGeneration": 1, "desired": WANTED, "conditions": [READY | {"lastTransitionTime": NOW.isoformat()}]}
SOURCE = {"source": to_api(verdict())}


@pytest.mark.parametrize(
    ("status", "pending", "expected"),
    [
        pytest.param({}, None, Priority.NORMAL, id="what a user wants"),
        pytest.param({}, verdict(), Priority.URGENT, id="a failure of a workload, not written yet"),
        pytest.param(SOURCE, None, Priority.URGENT, id="a failure of a workload"),
        pytest.param(DONE | SOURCE, None, Priority.URGENT, id="a failure that is accepted nowhere, whatever Ready is"),
        pytest.param(DONE | ACCEPTED | SOURCE, None, Priority.LOW, id="an accepted failure"),
        pytest.param(DONE | ACCEPTED, verdict(verdict="Recovered"), Priority.NORMAL, id="its end"),
        pytest.param(DONE | ACCEPTED, None, Priority.LOW, id="an accepted state"),
    ],
)
def test_the_class_follows_from_the_resource(
    store: DeploymentStore, status: dict[str, Any], pending: Verdict | None, expected: Priority
) -> None:
    """Whatever queued it: a change, a failure, the end of a wait, a list after a restart."""
    store.upsert(body(1, **status))
    entry(store).pending_verdict = pending
    assert store.priority(KEY) is expected


def test_a_change_of_metadata_alone_changes_no_decision(store: DeploymentStore) -> None:
    """Labels and annotations of others, as a GitOps tool writes them, do not put a mark off."""
    store.upsert(body(1))
    before = known(store)
    store.upsert(body(2))
    assert store.is_current(before)
    store.upsert(body(3, generation=2))
    assert not store.is_current(before)


def rollout(version: int, uid: str = "u1", **status: Any) -> dict[str, Any]:
    """Build a Rollout as the API server shows it."""
    metadata = {"namespace": "shop", "name": "mine", "uid": uid, "resourceVersion": str(version), "generation": 1}
    return {"metadata": metadata, "spec": {}, "status": {"currentPodHash": "h2", "stableRS": "h1"} | status}


def test_the_newest_rollout_wins() -> None:
    """Older versions and late deletions change nothing; another uid is another Rollout."""
    store = WorkloadStore()
    assert store.upsert(rollout(5), NOW)
    assert not store.upsert(rollout(5), NOW)
    assert not store.upsert(rollout(4), NOW)
    (tracked,) = store
    tracked.unidentified = True
    assert not store.upsert(rollout(3, uid="u0"), NOW)
    assert store.upsert(rollout(6, uid="u2"), None)
    assert not store.delete(KEY, "u1")
    (tracked,) = store
    assert (tracked.workload.uid, tracked.seen_at, tracked.unidentified) == ("u2", None, False)
    assert not store.delete(KEY, "u2")
    assert len(store) == 0


@pytest.mark.parametrize(("decides", "kept"), [(True, MAX_UNDECIDED), (False, 0)], ids=["the leader", "a follower"])
def test_undecided_states_are_kept_by_the_leader(*, decides: bool, kept: int) -> None:
    """A queue of keys would lose an abort that is over before a worker is free. Their number is bounded."""
    store = WorkloadStore(are_decided=decides)
    for version in range(1, 60):
        store.upsert(rollout(version, abort=version % 2 == 0), NOW)
    (tracked,) = store
    assert len(tracked.undecided) == kept
    tracked.decided(tracked.workload, settled=True)
    assert tracked.undecided == ()


def test_a_state_that_was_decided_is_not_kept() -> None:
    """It has had its decision; nor is a version that differs in nothing that a decision reads one by one."""
    store = WorkloadStore(are_decided=True)
    store.upsert(rollout(1), NOW)
    (tracked,) = store
    store.upsert(rollout(2, replicas=3), NOW)
    assert tracked.undecided == ()
    tracked.decided(tracked.workload, settled=True)
    store.upsert(rollout(3, abort=True), NOW)
    assert tracked.undecided == ()
