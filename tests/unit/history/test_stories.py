"""Every row of docs/rollouts.md's table, and what the rules say beyond it: a story in, the ordered requests out."""

from dataclasses import replace

import pytest

from dora_operator.domain.history.policy import Policy, RetrySuccess, RollbackMarks
from tests.unit.history.stories import LINKED, Watcher, played

Asked = tuple[str, bool, str]


def mark(version: str) -> Asked:
    """Return the request that says it failed."""
    return version, True, ""


def clear(version: str) -> Asked:
    """Return the request that says it did not fail after all."""
    return version, False, ""


def back(version: str, to: str) -> Asked:
    """Return the request that links a rollback."""
    return version, True, f"rollback {to}"


def forward(version: str, to: str) -> Asked:
    """Return the request that links a rollforward."""
    return version, True, f"rollforward {to}"


THREE_PROMOTED = "deploy 1.1.0, promote, deploy 1.2.0, promote"

STORIES = [
    pytest.param("deploy 1.1.0, abort", [mark("1.1.0")], id="an abort by hand marks the new version"),
    pytest.param("deploy 1.1.0, analysis", [mark("1.1.0")], id="an abort by an analysis marks the new version"),
    pytest.param(
        "deploy 1.1.0, abort, retry, promote", [mark("1.1.0"), clear("1.1.0")], id="a retry that is promoted clears"
    ),
    pytest.param("deploy 1.1.0, abort, retry", [mark("1.1.0")], id="a retry alone clears nothing"),
    pytest.param("deploy 1.1.0, abort, retry, abort", [mark("1.1.0")], id="a retry that aborts again is the same mark"),
    pytest.param(
        "deploy 1.1.0, abort, deploy 1.1.0/b, promote",
        [mark("1.1.0"), clear("1.1.0")],
        id="the same version under a new pod hash clears when promoted",
    ),
    pytest.param(
        "deploy 1.1.0, abort, deploy 1.1.0/b, abort",
        [mark("1.1.0"), mark("1.1.0")],
        id="the same version under a new pod hash fails as a deployment of its own",
    ),
    pytest.param(
        "deploy 1.1.0, abort, deploy 1.2.0, promote",
        [mark("1.1.0"), forward("1.1.0", "1.2.0")],
        id="a newer version promoted after an abort is the rollforward",
    ),
    pytest.param(
        "deploy 1.1.0, abort, deploy 1.2.0", [mark("1.1.0")], id="a newer version links nothing before it is promoted"
    ),
    pytest.param(
        "deploy 1.1.0, abort, undo 1, deploy 1.2.0, promote",
        [mark("1.1.0"), forward("1.1.0", "1.2.0")],
        id="a rollforward also follows an abort that was undone",
    ),
    pytest.param(
        "deploy 1.1.0, abort, deploy 1.2.0, abort, deploy 1.3.0, promote",
        [mark("1.1.0"), mark("1.2.0"), forward("1.1.0", "1.3.0"), forward("1.2.0", "1.3.0")],
        id="one promoted version ends two aborts",
    ),
    pytest.param("deploy 1.1.0, abort, undo 1", [mark("1.1.0")], id="an undo after an abort adds nothing"),
    pytest.param("deploy 1.1.0, undo 1", [mark("1.1.0")], id="an undo in flight marks as an abort does"),
    pytest.param(
        "deploy 1.1.0, undo 1, undo 2, promote",
        [mark("1.1.0"), clear("1.1.0")],
        id="a version undone in flight and promoted later is cleared",
    ),
    pytest.param(
        "deploy 1.1.0, promote, undo 1", [mark("1.1.0")], id="a rollback marks when it starts, and links nothing yet"
    ),
    pytest.param(
        "deploy 1.1.0, promote, undo 1, promote",
        [mark("1.1.0"), back("1.1.0", "1.0.0")],
        id="a rollback links its target when that is promoted",
    ),
    pytest.param(
        "deploy 1.1.0, promote, deploy 1.0.0/b, promote",
        [mark("1.1.0"), back("1.1.0", "1.0.0")],
        id="an older version under a new pod hash is a rollback too",
    ),
    pytest.param(
        f"{THREE_PROMOTED}, undo 1, promote",
        [mark("1.1.0"), back("1.1.0", "1.0.0")],
        id="V1 V2 V3 V1 marks V2, the first deployment after the target",
    ),
    pytest.param(
        f"{THREE_PROMOTED}, undo 2, promote",
        [mark("1.2.0"), back("1.2.0", "1.1.0")],
        id="V1 V2 V3 V2 marks V3",
    ),
    pytest.param(
        "deploy 1.1.0, abort, deploy 1.2.0, promote, undo 1, promote",
        [mark("1.1.0"), forward("1.1.0", "1.2.0"), mark("1.2.0"), back("1.2.0", "1.0.0")],
        id="an aborted version is not the first deployment after the target",
    ),
    pytest.param(
        "deploy 1.1.0, abort, deploy 1.2.0, promote, deploy 1.3.0, promote, undo 1, promote",
        [mark("1.1.0"), forward("1.1.0", "1.2.0"), mark("1.2.0"), back("1.2.0", "1.0.0")],
        id="a version that a link names was promoted, and is the first deployment after the target",
    ),
    pytest.param(
        "deploy 1.1.0, deploy 1.2.0, promote, undo 1, promote",
        [mark("1.2.0"), back("1.2.0", "1.0.0")],
        id="a version superseded in flight is not the first deployment after the target",
    ),
    pytest.param(
        "deploy 1.1.0, abort, undo 1, deploy 1.2.0, promote, undo 2, promote",
        [mark("1.1.0"), forward("1.1.0", "1.2.0"), mark("1.2.0"), back("1.2.0", "1.1.0")],
        id="a return to what was stable all along is not the first deployment after the target",
    ),
    pytest.param(
        "deploy 1.1.0, promote, undo 1, promote, undo 2, promote",
        [mark("1.1.0"), back("1.1.0", "1.0.0")],
        id="rolling forward again to the version that was rolled back is no rollback and no recovery",
    ),
    pytest.param(
        "deploy 1.1.0, promote, undo 1, promote, undo 2, promote, undo 3, promote",
        [mark("1.1.0"), back("1.1.0", "1.0.0")] * 2,
        id="the second rollback of a version is a new failure",
    ),
    pytest.param(
        "deploy 1.1.0, promote, undo 1, promote, deploy 1.2.0, promote, undo 3, promote",
        [mark("1.1.0"), back("1.1.0", "1.0.0"), mark("1.2.0"), back("1.2.0", "1.0.0")],
        id="V1 V2 V1 V3 V1 marks V3: the target's last deployment counts",
    ),
    pytest.param(
        "deploy 1.1.0, promote, undo 1, abort",
        [mark("1.1.0"), mark("1.0.0")],
        id="a rollback that is aborted marks its target, and leaves the replaced version marked",
    ),
    pytest.param(
        "deploy 1.1.0, promote, undo 1, abort, retry, promote",
        [mark("1.1.0"), mark("1.0.0"), back("1.1.0", "1.0.0"), clear("1.0.0")],
        id="a rollback that is aborted and retried links and clears",
    ),
    pytest.param(
        "deploy 1.1.0, promote, undo 1, undo 2",
        [mark("1.1.0"), clear("1.1.0")],
        id="a rollback that is called off clears the mark",
    ),
    pytest.param(
        "deploy 1.1.0, promote, undo 1, deploy 1.2.0, promote",
        [mark("1.1.0"), forward("1.1.0", "1.2.0")],
        id="a rollback replaced by a newer version ends as a rollforward",
    ),
    pytest.param(
        "deploy 1.1.0, promote, deploy 1.2.0, undo 1, promote",
        [mark("1.1.0"), mark("1.2.0"), back("1.1.0", "1.0.0")],
        id="an undo in flight past the stable version is both an undo and a rollback",
    ),
    pytest.param("deploy 1.1.0, promote, scale, annotate", [], id="a promotion is nothing"),
    pytest.param("deploy 1.1.0, deploy 1.2.0, promote", [], id="superseded in flight by a newer version is nothing"),
    pytest.param("scale, annotate, scale", [], id="scaling and annotating is nothing"),
    pytest.param("abort, retry, promote", [], id="the first revision has nothing to go back to"),
    pytest.param("deploy 1.0.0/b, abort", [], id="an abort of a configuration change leaves the stable version alone"),
    pytest.param("deploy 1.0.0/b, promote, undo 1, promote", [], id="V1 V1 is no rollback"),
    pytest.param("annotate, deploy 1.1.0, annotate, promote", [], id="a number repeated in the history is no reuse"),
    pytest.param(
        f"{THREE_PROMOTED}, undo 2, promote, undo 1, promote",
        [mark("1.2.0"), back("1.2.0", "1.1.0"), mark("1.1.0"), back("1.1.0", "1.0.0")],
        id="a stepwise rollback marks one release for each step, never the return",
    ),
    pytest.param(
        "deploy 1.1.0, promote, undo 1, promote, deploy 1.2.0, promote, undo 2, promote",
        [mark("1.1.0"), back("1.1.0", "1.0.0"), mark("1.2.0"), back("1.2.0", "1.1.0")],
        id="a return between target and failure is not the first deployment after the target",
    ),
    pytest.param(
        f"{THREE_PROMOTED}, undo 2, undo 1, promote",
        [mark("1.2.0"), mark("1.1.0"), clear("1.2.0"), back("1.1.0", "1.0.0")],
        id="a rollback changed to a still older version marks by its last target alone",
    ),
    pytest.param(
        "deploy 1.1.0, abort, skip 1.2.0, deploy 1.1.0",
        [mark("1.1.0")],
        id="an abort that is still shown of a template that is used again is no second failure",
    ),
    pytest.param(
        "deploy 1.1.0, withdraw 1.2.0, promote",
        [mark("1.1.0"), clear("1.1.0")],
        id="an abort that never took effect is taken back when the version is superseded",
    ),
    pytest.param(
        "deploy 1.1.0, withdraw 1.0.0",
        [mark("1.1.0")],
        id="an abort that never took effect and a return to the older version is an undo",
    ),
    pytest.param(
        "deploy 1.1.0, abort, deploy 1.2.0, promote, deploy 1.1.0/b, promote",
        [mark("1.1.0"), forward("1.1.0", "1.2.0"), mark("1.2.0"), back("1.2.0", "1.1.0")],
        id="a failure that a newer version ended is not cleared when its version comes back",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("story", "requests"), STORIES)
def test_a_story_asks_exactly_these_requests(story: str, requests: list[Asked]) -> None:
    """What the Rollout does, decided after every write, asks for these requests in this order."""
    assert _played(story, LINKED) == requests


@pytest.mark.parametrize(
    ("story", "requests"),
    [
        pytest.param(
            f"{THREE_PROMOTED}, undo 1, promote",
            [mark("1.2.0"), back("1.2.0", "1.0.0")],
            id="V1 V2 V3 V1 marks V3, the replaced one",
        ),
        pytest.param(
            f"{THREE_PROMOTED}, undo 2, promote", [mark("1.2.0"), back("1.2.0", "1.1.0")], id="V1 V2 V3 V2 marks V3"
        ),
        pytest.param(
            "deploy 1.1.0, promote, deploy 1.2.0, undo 2, undo 1, promote",
            [mark("1.2.0"), mark("1.1.0"), back("1.1.0", "1.0.0")],
            id="a return to the stable version is no deployment that could be replaced",
        ),
        pytest.param(
            f"{THREE_PROMOTED}, undo 2, undo 1, promote",
            [mark("1.2.0"), back("1.2.0", "1.0.0")],
            id="a rollback changed to a still older version in flight does not mark its first target",
        ),
    ],
)
def test_replaced_marks_the_version_that_was_stable(story: str, requests: list[Asked]) -> None:
    """`rollback_marks: Replaced` marks the version that the rollback replaces."""
    assert _played(story, replace(LINKED, rollback_marks=RollbackMarks.REPLACED)) == requests


@pytest.mark.parametrize(
    ("story", "requests"),
    [
        pytest.param("deploy 1.1.0, abort, retry, promote", [mark("1.1.0")], id="a retry that is promoted"),
        pytest.param("deploy 1.1.0, promote, undo 1, undo 2", [mark("1.1.0")], id="a rollback that is called off"),
        pytest.param(
            "deploy 1.1.0, abort, retry, promote, deploy 1.2.0, promote",
            [mark("1.1.0")],
            id="a newer version after a retry that was promoted is no rollforward",
        ),
        pytest.param(
            "deploy 1.1.0, abort, retry, promote, undo 1, promote",
            [mark("1.1.0"), back("1.1.0", "1.0.0")],
            id="a kept mark can still be rolled back",
        ),
    ],
)
def test_keep_never_clears(story: str, requests: list[Asked]) -> None:
    """`retry_success: Keep` leaves the mark as it is."""
    assert _played(story, replace(LINKED, retry_success=RetrySuccess.KEEP)) == requests


def _played(story: str, policy: Policy) -> list[Asked]:
    return played(*story.split(", "), watcher=Watcher(policy)).watcher.asked
