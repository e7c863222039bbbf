"""What is known of the cluster: the newest version wins, the operator's own writes are not new, links are kept."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.resource import DoraDeployment
from dora_operator.domain.rollout.verdict import Decision
from dora_operator.store import MOST_PASSED, DeploymentStore, RolloutStore
from tests.support.builders import BY_ID, NOW

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


def links(deployment: DoraDeployment) -> Iterable[str]:
    """Link an object with its generation."""
    return {f"generation {deployment.generation}"}


@pytest.fixture
def store() -> DeploymentStore:
    """Return an empty store."""
    return DeploymentStore(links)


def known(store: DeploymentStore) -> DoraDeployment:
    """Return the object."""
    found = store.get(KEY)
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
        pytest.param(body(9), body(3, uid="u2"), True, id="another object of the same name"),
        pytest.param(body(9), body(10, generation=2), True, id="versions are numbers"),
    ],
)
def test_what_is_new(store: DeploymentStore, first: dict[str, Any], second: dict[str, Any], *, news: bool) -> None:
    """Only something that a decision could depend on is new."""
    assert store.observe(first)
    assert store.observe(second) is news


def test_versions_are_the_newest_even_where_they_are_no_news(store: DeploymentStore) -> None:
    """The list is compared with them."""
    store.observe(body(1))
    store.observe(body(2))
    assert store.versions(None) == store.versions("shop") == {KEY: ("u1", "2")}
    assert store.versions("pay") == {}


def test_the_operators_own_write_is_no_news(store: DeploymentStore) -> None:
    """The watch's echo of a status write requeues nothing, whether it comes before or after the answer."""
    store.observe(body(1))
    before = known(store)
    store.saved(before, body(5, attempts=1))
    assert not store.observe(body(5, attempts=1))
    assert known(store).status.attempts == 1


def test_an_unsaved_status_outlives_edits(store: DeploymentStore) -> None:
    """Datadog's answer is not forgotten when the spec changes before it could be written."""
    store.observe(body(1))
    store.keep_unsaved(known(store), replace(known(store).status, attempts=3))
    store.observe(body(2, generation=2))
    found = known(store)
    assert (found.generation, found.status.attempts, store.stored_status(found).attempts) == (2, 3, None)
    store.saved(found, body(3, generation=2, attempts=3))
    assert known(store).status == store.stored_status(found)


def test_an_unsaved_status_outlives_a_list(store: DeploymentStore) -> None:
    """The API server still shows the old status."""
    store.observe(body(1))
    store.keep_unsaved(known(store), replace(known(store).status, attempts=3))
    assert not store.observe(body(2))
    assert known(store).status.attempts == 3
    store.drop_unsaved(known(store))
    assert known(store).status.attempts is None


def test_a_status_of_a_deleted_object_is_kept_nowhere(store: DeploymentStore) -> None:
    """Its successor has a status of its own."""
    store.observe(body(1))
    before = known(store)
    store.observe(body(9, uid="u2"))
    assert not store.has(before)
    store.keep_unsaved(before, replace(before.status, attempts=3))
    store.saved(before, body(10, attempts=3))
    assert (known(store).uid, known(store).status.attempts) == ("u2", None)


def test_links_follow_the_spec(store: DeploymentStore) -> None:
    """A changed or deleted object leaves no link behind."""
    store.observe(body(1))
    assert [each.key for each in store.linked("generation 1")] == [KEY]
    store.observe(body(2, generation=2))
    assert store.linked("generation 1") == []
    assert [each.key for each in store.linked("generation 2")] == [KEY]
    assert store.links(KEY) == ("generation 2",)
    assert store.forget(KEY, "u1") is not None
    assert store.linked("generation 2") == []
    assert len(store) == 0


def test_a_late_deletion_does_not_drop_the_successor(store: DeploymentStore) -> None:
    """DELETED of an old uid leaves the new object of the same name."""
    store.observe(body(1))
    store.observe(body(9, uid="u2"))
    assert store.forget(KEY, "u1") is None
    assert store.get(KEY) is not None


def test_a_state_is_due_since_the_first_request_for_it(store: DeploymentStore) -> None:
    """The earliest time of a generation counts; a new generation begins again."""
    late, early = NOW + timedelta(seconds=5), NOW - timedelta(seconds=5)
    store.observe(body(1))
    for at, expected in ((NOW, NOW), (late, NOW), (early, early), (late, early)):
        store.note_due(KEY, at)
        assert store.due_at(KEY) == expected
    store.observe(body(2, generation=2))
    assert store.due_at(KEY) is None


def rollout(version: int, uid: str = "u1", **status: Any) -> dict[str, Any]:
    """Build a Rollout as the API server shows it."""
    metadata = {"namespace": "shop", "name": "mine", "uid": uid, "resourceVersion": str(version), "generation": 1}
    return {"metadata": metadata, "spec": {}, "status": {"observedGeneration": "1", "currentPodHash": "h1"} | status}


def test_the_newest_rollout_wins() -> None:
    """Older versions and late deletions change nothing; another uid is another Rollout."""
    store = RolloutStore()
    assert store.observe(rollout(5), NOW)
    assert not store.observe(rollout(5), NOW)
    assert not store.observe(rollout(4), NOW)
    (tracked,) = store
    tracked.unidentified = True
    assert store.observe(rollout(2, uid="u2"), None)
    assert not store.forget(KEY, "u1")
    (tracked,) = store
    assert (tracked.rollout.uid, tracked.seen_at, tracked.unidentified) == ("u2", None, False)
    assert store.forget(KEY, "u2")
    assert len(store) == 0


@pytest.mark.parametrize(("decides", "kept"), [(True, MOST_PASSED), (False, 0)], ids=["the leader", "a follower"])
def test_states_that_pass_undecided_are_kept_by_the_leader(*, decides: bool, kept: int) -> None:
    """A queue of keys would lose an abort that is over before a worker is free. Their number is bounded."""
    store = RolloutStore(are_decided=decides)
    for version in range(1, 60):
        store.observe(rollout(version, abort=version % 2 == 0), NOW)
    (tracked,) = store
    assert len(tracked.passed) == kept
    tracked.decided(Decision(), [*tracked.passed, tracked.rollout], settled=True)
    assert tracked.passed == ()


def test_a_state_that_was_decided_is_not_kept() -> None:
    """It has had its decision; nor is a version that differs in nothing that a decision reads one by one."""
    store = RolloutStore(are_decided=True)
    store.observe(rollout(1), NOW)
    (tracked,) = store
    store.observe(rollout(2, replicas=3), NOW)
    assert tracked.passed == ()
    tracked.decided(Decision(), [tracked.rollout], settled=True)
    store.observe(rollout(3, abort=True), NOW)
    assert tracked.passed == ()
