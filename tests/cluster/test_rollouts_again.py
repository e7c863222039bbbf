"""Versions that are tried more than once, on the real cluster: what Datadog is asked, in order."""

from typing import Any

import pytest

from tests.support.rollouts import AppNamespace, cleared, expect, marked, release
from tests.support.shop import eventually

pytestmark = pytest.mark.cluster


def test_promoted_after_all(app_namespace: AppNamespace) -> None:
    """The mark is cleared by a full promotion of the aborted update too, and by new pods of the same version."""
    full, other_pods = app_namespace.app("full"), app_namespace.app("pods")
    apps = (full, other_pods)
    release(*apps)
    for app in apps:
        app.deploy("1.1.0")
    for app in apps:
        app.until("Paused")
        app.argo("abort")
    for app in apps:
        app.until("Degraded")
        app.wait_asked(marked("1.1.0"))
    full.argo("promote", "--full")
    other_pods.deploy("1.1.0", note="another template")
    other_pods.until("Paused")
    expect((other_pods, [marked("1.1.0")]))
    other_pods.argo("promote")
    for app in apps:
        app.until("Healthy")
    expect(*((app, [marked("1.1.0"), cleared("1.1.0")]) for app in apps))


def test_aborted_twice_in_one_revision(app_namespace: AppNamespace) -> None:
    """A retry that is aborted again is the same failure, and asked once."""
    app = app_namespace.app()
    app.release("1.0.0")
    app.deploy("1.1.0")
    app.until("Paused")
    app.argo("abort")
    app.until("Degraded")
    app.argo("retry")
    app.until("Paused")
    app.argo("abort")
    app.until("Degraded")
    expect((app, [marked("1.1.0")]))


def test_tried_again_after_a_rollback(app_namespace: AppNamespace) -> None:
    """Forward again to the version that was rolled back says nothing; its abort there is a failure of its own.

    By version Datadog would mark either deployment, so without reading neither is marked again.
    """
    app = app_namespace.app()
    app.release("1.0.0", "1.1.0", "1.0.0")
    so_far = [marked("1.1.0"), marked("1.1.0", "rollback", "1.0.0")]
    expect((app, so_far))
    app.deploy("1.1.0")
    app.until("Paused")
    expect((app, so_far))
    app.argo("abort")
    app.until("Degraded")
    eventually(lambda: app.ready_reasons() == ["Accepted", "Ambiguous"], lambda: f"{app.records()}\n{app.levels()}")
    expect((app, so_far))


def test_a_rollback_that_is_aborted(app_namespace: AppNamespace) -> None:
    """The good deployment of its target is never marked; called off, the version that stayed is cleared."""
    app = app_namespace.app()
    app.release("1.0.0", "1.1.0")
    app.argo("undo")
    app.until("Paused")
    app.wait_asked(marked("1.1.0"))
    app.argo("abort")
    app.until("Degraded")
    eventually(lambda: "Ambiguous" in app.ready_reasons(), app.levels)
    expect((app, [marked("1.1.0")]))
    app.argo("undo")
    app.until("Healthy")
    expect((app, [marked("1.1.0"), cleared("1.1.0")]))


def test_marked_by_two_aborts_and_put_right_by_one_release(app_namespace: AppNamespace) -> None:
    """Every failed version since the stable one is linked to the version that is promoted in the end."""
    app = app_namespace.app()
    app.release("1.0.0")
    for version in ("1.1.0", "1.2.0"):
        app.deploy(version)
        app.until("Paused")
        app.argo("abort")
        app.until("Degraded")
    app.wait_asked(marked("1.1.0"), marked("1.2.0"))
    app.release("1.3.0")
    links = [marked(version, "rollforward", "1.3.0") for version in ("1.1.0", "1.2.0")]
    eventually(lambda: len(app.asked()) == 4, app.levels)
    expect((app, [marked("1.1.0"), marked("1.2.0"), *app.asked()[2:]]))
    assert sorted(app.asked()[2:]) == links  # two deployments at once: in either order


def test_aborted_and_undone_between_two_observations(app_namespace: AppNamespace) -> None:
    """However much of it the operator gets to see: one mark."""
    app = app_namespace.app()
    app.release("1.0.0")
    app.deploy("1.1.0")
    app.until("Paused")
    app.argo("abort")
    app.argo("undo")
    app.until("Healthy")
    expect((app, [marked("1.1.0")]))


def test_history_that_the_controller_has_deleted(app_namespace: AppNamespace) -> None:
    """Versions whose ReplicaSets are gone are in the DoraHistory: one that comes again is a rollback to it."""
    how: dict[str, Any] = {"spec": {"revisionHistoryLimit": 1}, "pods_after": "600ms"}
    undone, again = (
        app_namespace.app(name, **how) for name in ("undone", "again")
    )  # slow: of one second any may be deleted
    release(undone, again, versions=("1.0.0", "1.1.0", "1.2.0"))
    for app in (undone, again):
        eventually(lambda app=app: app.versions() == ["1.1.0", "1.2.0"], app.levels)
    undone.argo("undo")
    undone.until("Paused")
    undone.argo("promote")
    undone.until("Healthy")
    again.release("1.0.0")
    expect(
        (undone, [marked("1.2.0"), marked("1.2.0", "rollback", "1.1.0")]),
        (again, [marked("1.1.0"), marked("1.1.0", "rollback", "1.0.0")]),
    )
