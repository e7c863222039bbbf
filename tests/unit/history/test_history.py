"""The model: its size, what is dropped, its names, and how it is read."""

import json

import pytest

from dora_operator.crd import structural_schema
from dora_operator.domain.fields import to_api
from dora_operator.domain.history.history import (
    MAX_REVISIONS,
    History,
    PinnedDeployment,
    State,
    history_name,
    manifest,
    parse,
    pinned,
)
from tests.unit.history.objects import WORKLOAD
from tests.unit.history.stories import Stage, played


def _releases(count: int, *ends: str) -> list[str]:
    return [action for n in range(1, count + 1) for action in (f"deploy 1.{n}.0", *ends)]


def _history(stage: Stage) -> History:
    assert stage.watcher.history is not None
    return stage.watcher.history


def test_twenty_revisions_are_smaller_than_8_kb() -> None:
    """Every second one failed and is known in Datadog; absent fields are omitted."""
    story = [
        action
        for n in range(1, 41)
        for action in (f"deploy 1.{n}.0", *(("abort", "retry") if n % 2 else ()), "promote")
    ]
    history = _history(played(*story))
    for revision in history.revisions[::2]:
        row = PinnedDeployment(id="4242fcdd31586083", change_failure=False, time=revision.ended_time)
        history = pinned(history, revision.number, revision.pod_template_hash, row)
    written = json.dumps(to_api(history), separators=(",", ":"))
    assert len(history.revisions) == MAX_REVISIONS
    assert len(written) < 8_000
    assert "null" not in written


def test_open_failures_and_the_stable_revision_are_never_dropped() -> None:
    """Forty aborted releases in a row: all are open, and the stable one is older than all."""
    stage = played("deploy 0.9.0", "promote", *_releases(40, "abort"))
    history = _history(stage)
    assert [r.number for r in history.revisions if r.state is State.PROMOTED] == [2]
    assert len([r for r in history.revisions if r.is_failing]) == 40
    stage.play("deploy 2.0.0")
    stage.play("promote")
    assert len(_history(stage).revisions) == MAX_REVISIONS


def test_what_kubernetes_keeps_is_read_as_it_was_written() -> None:
    """A history that cannot be understood is as if there were none."""
    history = _history(played("deploy 1.1.0", "abort"))
    body = manifest("shop", history, "argoproj.io/v1alpha1")
    assert parse(body) == history
    assert body["metadata"]["name"] == "rollout-checkout"
    assert body["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    assert parse({"workload": {"kind": "Rollout"}}) is None


def test_the_model_gives_a_structural_schema() -> None:
    """The second CRD is made from it."""
    schema = structural_schema(History)
    assert schema["properties"]["revisions"]["maxItems"] == 100
    assert "title" not in json.dumps(schema)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("checkout", "rollout-checkout", id="short"),
        pytest.param("a" * 245, "rollout-" + "a" * 245, id="as long as a name may be"),
    ],
)
def test_the_name_of_a_history(name: str, expected: str) -> None:
    """Kind and name, in lower case."""
    assert history_name("Rollout", name) == expected


def test_names_that_are_too_long_are_cut_and_kept_apart() -> None:
    """A digest of the whole name is at the end."""
    one, other = history_name("Rollout", "a" * 253), history_name("Rollout", "a" * 252 + "b")
    assert len(one) == len(other) == 253
    assert one != other


def test_an_empty_history_has_no_current_revision() -> None:
    """As before the first observation of a settled workload."""
    assert History(workload=WORKLOAD).current is None
