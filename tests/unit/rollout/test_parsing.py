"""What a Rollout, a ReplicaSet and an Event become, as whole values; also where a field is missing or odd."""

from datetime import UTC, datetime
from typing import Any

import pytest

from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.rollout import raw
from dora_operator.domain.rollout.identity import ById, ByVersion, Unidentified
from dora_operator.domain.rollout.observation import (
    ReplicaSet,
    Rollout,
    parse_replica_sets,
    parse_rollout,
)
from tests.support.builders import BY_VERSION, DEPLOYMENT_ID, NOW, after

LABELS = {f"tags.datadoghq.com/{name}": value for name, value in BY_VERSION.items()}
TEMPLATE = {"metadata": {"labels": LABELS}}
AT = "2026-11-23T12:00:00Z"


def rollout(**changes: Any) -> dict[str, Any]:
    """Return a Rollout with every field that is read; `status__abort=…` changes status.abort."""
    body: dict[str, Any] = {
        "metadata": {
            "namespace": "shop",
            "name": "checkout",
            "uid": "uid-1",
            "resourceVersion": "7",
            "generation": 5,
            "annotations": {
                "rollout.argoproj.io/revision": "3",
                "dora-operator.io/on-missing": "Create",
                "dora-operator.io/number": 7,
                "other": "x",
            },
        },
        "spec": {"replicas": 4, "selector": {"matchLabels": {"app": "checkout"}}, "template": TEMPLATE},
        "status": {
            "observedGeneration": "5",
            "abort": True,
            "abortedAt": AT,
            "message": "RolloutAborted: metric failed\nagain",
            "stableRS": "aaa",
            "currentPodHash": "bbb",
            "conditions": [
                {"type": "Progressing", "status": "True", "lastUpdateTime": "2026-11-23T11:00:00Z"},
                {"type": "Completed", "status": "False", "lastUpdateTime": "2026-11-23T11:30:00Z"},
                {"type": "Paused"},
            ],
        },
    }
    for path, value in changes.items():
        *parents, name = path.split("__")
        target = body
        for parent in parents:
            target = target[parent]
        if value is None:
            target.pop(name, None)
        else:
            target[name] = value
    return body


def test_every_field_of_a_rollout() -> None:
    """Read from where Argo Rollouts writes it."""
    assert parse_rollout(rollout()) == Rollout(
        key=ObjectKey("shop", "checkout"),
        uid="uid-1",
        resource_version="7",
        annotations={"dora-operator.io/on-missing": "Create"},
        match_labels={"app": "checkout"},
        revision=3,
        generation=5,
        observed_generation=5,
        up_to_date=True,
        abort=True,
        aborted_at=NOW,
        abort_message="metric failed again",
        stable_hash="aaa",
        current_hash="bbb",
        replicas=4,
        changed_at=after(-1800),
    )


def test_an_empty_rollout() -> None:
    """Every field is absent, and nothing raises."""
    assert parse_rollout({}) == Rollout(
        key=ObjectKey("", ""),
        uid="",
        resource_version="",
        annotations={},
        match_labels={},
        revision=None,
        generation=None,
        observed_generation=None,
        up_to_date=False,
        abort=False,
        aborted_at=None,
        abort_message="",
        stable_hash="",
        current_hash="",
        replicas=1,
        changed_at=None,
    )


COMPLETED = {"type": "Completed", "status": "True", "lastTransitionTime": "2026-11-23T10:00:00Z"}


@pytest.mark.parametrize(
    ("changes", "name", "expected"),
    [
        pytest.param({"status__observedGeneration": "4"}, "up_to_date", False, id="the status is about an older spec"),
        pytest.param(
            {"metadata__generation": None, "status__observedGeneration": None}, "up_to_date", False, id="no generation"
        ),
        pytest.param({"status__abort": "true"}, "abort", False, id="abort as text is not true"),
        pytest.param({"status__message": "Paused"}, "abort_message", "", id="another message"),
        pytest.param({"spec__replicas": 0}, "replicas", 0, id="scaled to zero"),
        pytest.param({"spec__replicas": -1}, "replicas", 1, id="a negative number is none"),
        pytest.param({"status__conditions": [COMPLETED]}, "changed_at", after(-7200), id="completed"),
        pytest.param(
            {"status__conditions": [{"type": "Progressing", "lastUpdateTime": AT}, COMPLETED]},
            "changed_at",
            after(-7200),
            id="completed counts, whatever moved later",
        ),
        pytest.param({"status__conditions": [COMPLETED | {"status": "False"}]}, "changed_at", None, id="not completed"),
        pytest.param({"status__conditions": "odd"}, "changed_at", None, id="conditions that are no list"),
        pytest.param({"metadata__uid": "ü"}, "uid", "", id="a uid that Kubernetes cannot have"),
        pytest.param({"metadata__uid": "u" * 253}, "uid", "u" * 253, id="the longest name"),
        pytest.param({"metadata__uid": "u" * 254}, "uid", "", id="a longer one"),
        pytest.param({"spec__selector": {"matchLabels": {"a": 1}}}, "match_labels", {}, id="a label that is no text"),
    ],
)
def test_fields_of_a_rollout_that_are_odd(changes: dict[str, Any], name: str, expected: object) -> None:
    """Each is absent or has its default."""
    assert getattr(parse_rollout(rollout(**changes)), name) == expected


@pytest.mark.parametrize(
    ("template", "observed", "expected"),
    [("2", "2", True), ("2", "1", False), ("2", None, False), (None, None, True)],
)
def test_a_workload_has_a_generation_of_its_own(template: str | None, observed: str | None, *, expected: bool) -> None:
    """The status is about the newest pod template when both generations are."""
    body = rollout(status__workloadObservedGeneration=observed)
    if template is not None:
        body["metadata"]["annotations"]["rollout.argoproj.io/workload-generation"] = template
    assert parse_rollout(body).up_to_date is expected


def replica_set(**metadata: Any) -> dict[str, Any]:
    """Return a ReplicaSet of the Rollout."""
    own = {
        "labels": {"rollouts-pod-template-hash": "aaa"},
        "annotations": {"rollout.argoproj.io/revision": "3", "rollout.argoproj.io/revision-history": "1"},
        "creationTimestamp": AT,
        "ownerReferences": [{"uid": "another"}, {"uid": "uid-1"}],
    }
    spec = {"replicas": 2, "template": TEMPLATE}
    return {"metadata": own | metadata, "spec": spec, "status": {"readyReplicas": 1}}


def test_every_field_of_a_replica_set() -> None:
    """With the tags of its own pod template."""
    bare = {"metadata": replica_set()["metadata"]}
    found = parse_replica_sets("uid-1", [replica_set(), bare])
    assert found[0] == ReplicaSet("aaa", (1, 3), NOW, ByVersion(**BY_VERSION), 2, 1)
    assert found[1].replicas == found[1].ready == 0
    assert isinstance(found[1].identity, Unidentified)


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"labels": {}}, id="without a hash"),
        pytest.param({"annotations": {}}, id="without a revision"),
        pytest.param({"ownerReferences": []}, id="without an owner"),
    ],
)
def test_a_replica_set_that_is_not_usable(metadata: dict[str, Any]) -> None:
    """It is left out."""
    assert parse_replica_sets("uid-1", [replica_set(**metadata)]) == ()


def test_a_rollout_without_uid_owns_nothing() -> None:
    """No ReplicaSet."""
    assert parse_replica_sets("", [replica_set(ownerReferences=[{"uid": ""}])]) == ()


def by_id(hash_: str, deployment_id: str, version: str) -> dict[str, Any]:
    """Return a ReplicaSet whose pod template names an id."""
    body = replica_set(labels={"rollouts-pod-template-hash": hash_})
    labels = LABELS | {"tags.datadoghq.com/version": version}
    annotations = {"dora-operator.io/deployment-id": deployment_id}
    body["spec"] = {"template": {"metadata": {"labels": labels, "annotations": annotations}}}
    return body


def test_an_id_is_shared_by_different_versions_only() -> None:
    """The same version may be deployed again with its id; another id stays."""
    bodies = [by_id("a", DEPLOYMENT_ID, "1"), by_id("b", DEPLOYMENT_ID, "2"), by_id("c", "another-id-", "3")]
    first, second, third = parse_replica_sets("uid-1", bodies)
    assert isinstance(first.identity, Unidentified)
    assert first.identity == second.identity
    assert first.identity.problem == f"pod templates of different versions have the id {DEPLOYMENT_ID}"
    assert first.identity.fix == "set a new dora-operator.io/deployment-id in the pod template with every version"
    assert third.identity == ById("another-id-")
    again = parse_replica_sets("uid-1", [by_id("a", DEPLOYMENT_ID, "1"), by_id("b", DEPLOYMENT_ID, "1")])
    assert [each.identity for each in again] == [ById(DEPLOYMENT_ID)] * 2


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (9_999_999_999, 9_999_999_999),
        (10_000_000_000, None),
        (-1, None),
        (True, None),
        (1.5, None),
        ("7", 7),
        ("9999999999", 9_999_999_999),
        ("10000000000", None),
        ("٣", None),
        ("", None),
        (None, None),
    ],
)
def test_counts(value: object, expected: int | None) -> None:
    """Numbers, or their digits in ASCII, that are not negative and not too long."""
    assert raw.counted(value) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-11-23T12:00:00Z", NOW),
        ("2026-11-23T14:00:00+02:00", NOW),
        ("2026-11-23T12:00:00", NOW),
        ("soon", None),
        ("", None),
    ],
)
def test_moments_are_in_utc(written: str, expected: datetime | None) -> None:
    """Also those with another zone, or none."""
    found = raw.moment({"at": written}, "at")
    assert found == expected
    assert found is None or found.tzinfo is UTC


def test_reading_below_something_else() -> None:
    """A path through a value of another type ends in nothing."""
    source = {"a": {"b": [{"c": 1}, 2]}, "t": ({"x": 1},), "n": {"k": "v", "kk": "w", "z": 1}}
    assert raw.mapping(source, "a", "b", "c") == {}
    assert raw.mapping(source, "a")["b"]
    assert raw.items(source, "a", "b") == [{"c": 1}]
    assert raw.items(source, "t") == [{"x": 1}]
    assert raw.items(source, "a") == []
    assert raw.texts(source, "n") == {"k": "v", "kk": "w"}
    assert raw.texts(source, "n", prefix="kk") == {"kk": "w"}
    assert raw.text(source, "a", "b") == ""
