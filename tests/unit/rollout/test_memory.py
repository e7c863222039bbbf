"""What is kept beside the verdicts: memory, times, and deployments named by id."""

from dataclasses import replace

import pytest

from dora_operator.domain.rollout.decide import decide
from dora_operator.domain.rollout.verdict import Memory, Policy, SkipReason, asks_again
from tests.unit.rollout.operator_stand_in import NOW
from tests.unit.rollout.stories import Stage, observation_of, played, reconciles

IDS = {"1.0.0": "id-of-1.0.0-aaaa", "1.1.0": "id-of-1.1.0-aaaa", "1.2.0": "id-of-1.2.0-aaaa"}


def test_memory_of_another_rollout_is_forgotten() -> None:
    """Numbers of a deleted Rollout say nothing about a new one of the same name."""
    memory = Memory("another", seen=9, promoted=frozenset({2}), unpromoted=frozenset({1}))
    assert decide(observation_of(played("deploy 1.1.0")), [], Policy(), NOW, memory).memory == Memory(
        "uid-1", seen=2, promoted=frozenset({1})
    )


@pytest.mark.parametrize("is_seen", [True, False])
def test_an_undo_is_recent_when_the_revision_before_was_seen(is_seen: bool) -> None:  # noqa: FBT001
    """Without any time in the objects, only what began since the last decision is recent."""
    stage = played("deploy 1.1.0", "promote")
    stage.after_write = lambda _: None
    stage.play("undo 1")
    for each in stage.simulator.levels.replica_sets.values():
        del each["metadata"]["creationTimestamp"]
    stage.simulator.levels.rollout["status"]["conditions"] = []
    if not is_seen:
        stage.operator.restart()
    reconciles(stage)
    assert bool(stage.operator.asked) is is_seen


@pytest.mark.parametrize(
    ("created", "moved", "is_marked"),
    [
        pytest.param("2026-11-23T03:00:00Z", None, True, id="its newest ReplicaSet is recent"),
        pytest.param("2026-11-01T03:00:00Z", "2026-11-23T03:00:00Z", True, id="it moved recently"),
        pytest.param("2026-11-01T03:00:00Z", "2026-11-01T03:00:00Z", False, id="both long ago"),
        pytest.param("2026-11-01T03:00:00Z", None, False, id="long ago, and nothing about its moves"),
    ],
)
def test_replica_sets_and_conditions_show_when_a_revision_began(
    created: str, moved: str | None, is_marked: bool  # noqa: FBT001
) -> None:  # fmt: skip
    """A rollback in flight that a fresh operator finds is reported when it is recent."""
    stage = played("deploy 1.1.0", "promote")
    stage.after_write = lambda _: None
    stage.play("undo 1")
    for each in stage.simulator.levels.replica_sets.values():
        each["metadata"]["creationTimestamp"] = created
    conditions = [{"type": "Progressing", "status": "True", "lastUpdateTime": moved}] if moved else []
    stage.simulator.levels.rollout["status"]["conditions"] = conditions
    assert bool(decide(observation_of(stage), [], Policy(), NOW).changes) is is_marked


def test_times_come_from_the_objects() -> None:
    """A recovery has the time at which Argo completed the revision."""
    stage = played("deploy 1.1.0", "abort", "retry", "promote")
    (record,) = stage.operator.records
    assert record.time == observation_of(stage).rollout.changed_at
    stage.play("deploy 1.2.0")
    assert stage.operator.records == [record]


def test_a_workload_that_is_observed_is_up_to_date() -> None:
    """workloadRef: the status is believed when both generations are observed."""
    stage = played("deploy 1.1.0")
    seen = []
    for generation in ("2", "3"):
        rollout = stage.simulator.levels.rollout
        rollout["metadata"]["annotations"]["rollout.argoproj.io/workload-generation"] = generation
        rollout["status"]["workloadObservedGeneration"] = "2"
        seen.append(observation_of(stage).rollout.up_to_date)
    assert seen == [True, False]


@pytest.mark.parametrize(
    ("story", "asked", "skipped"),
    [
        pytest.param("deploy 1.1.0, abort", [("1.1.0", True, "")], set(), id="an abort is marked by id"),
        pytest.param(
            "deploy 1.1.0, abort, undo 1, undo 2, abort",
            [("1.1.0", True, ""), ("1.1.0", True, "")],
            set(),
            id="an id that was never promoted can fail again",
        ),
        pytest.param(
            "deploy 1.1.0, promote, undo 1, promote",
            [("1.1.0", True, ""), ("1.1.0", True, "rollback 1.0.0")],
            set(),
            id="a rollback is linked by id",
        ),
        pytest.param(
            "deploy 1.1.0, promote, undo 1, abort",
            [("1.1.0", True, "")],
            {SkipReason.ID_ALREADY_DEPLOYED},
            id="the id of a rollback's target names the deployment that once succeeded",
        ),
    ],
)
def test_deployments_named_by_id(story: str, asked: list[tuple[str, bool, str]], skipped: set[SkipReason]) -> None:
    """The annotation on the pod template names one deployment event."""

    def with_ids(stage: Stage) -> None:
        for each in stage.simulator.levels.replica_sets.values():
            metadata = each["spec"]["template"]["metadata"]
            version = metadata["labels"].pop("tags.datadoghq.com/version")
            metadata["annotations"] = {"dora-operator.io/deployment-id": IDS[version]}
        reconciles(stage)

    stage = played(*story.split(", "), after_write=with_ids)
    names = {deployment_id: version for version, deployment_id in IDS.items()}
    read = [(names[named], failure, _named(link, names)) for named, failure, link in stage.operator.asked]
    assert read == asked
    assert {each.reason for each in stage.operator.skipped} == skipped


def test_a_completed_time_is_not_asked_again() -> None:
    """Only another answer, link, revision or Rollout is a new fact for Datadog."""
    stage = played("deploy 1.1.0", "abort")
    (record,) = stage.operator.records
    assert asks_again(None, record)
    assert not asks_again(record, replace(record, time=None, message=None))
    assert asks_again(record, replace(record, revision=4))
    assert asks_again(record, replace(record, uid="another"))


def _named(link: str, names: dict[str, str]) -> str:
    way, _, deployment_id = link.partition(" ")
    return f"{way} {names[deployment_id]}" if link else ""
