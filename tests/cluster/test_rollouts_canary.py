"""Canaries of the real Argo Rollouts controller, driven by its plugin: what Datadog is asked, in order."""

import time

import pytest

from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn
from sandbox.running import OperatorProcess, running_operator
from tests.support.rollouts import NOWHERE, QUIET_SECONDS, AppNamespace, canary, cleared, expect, marked, release

pytestmark = pytest.mark.cluster


def test_abort_retry_and_promote(app_namespace: AppNamespace) -> None:
    """An abort by hand marks at once; the promotion after a retry clears the mark."""
    app = app_namespace.app()
    app.release("1.0.0")
    app.deploy("1.1.0")
    app.until("Paused")
    app.argo("abort")
    app.until("Degraded")
    app.wait_asked(marked("1.1.0"))
    app.argo("retry")
    app.until("Paused")
    expect((app, [marked("1.1.0")]))
    app.argo("promote")
    app.until("Healthy")
    expect((app, [marked("1.1.0"), cleared("1.1.0")]))
    record = app.record("1.1.0")["metadata"]["name"]
    both = [("Normal", "Cleared"), ("Normal", "Marked")]
    assert (app.event_reasons("DoraDeployment", record), app.event_reasons("Rollout")) == (both, both)


def test_abort_then_a_newer_version(app_namespace: AppNamespace) -> None:
    """The aborted version is linked to the newer one when that is promoted, and not before."""
    app = app_namespace.app()
    app.release("1.0.0")
    app.deploy("1.1.0")
    app.until("Paused")
    app.argo("abort")
    app.wait_asked(marked("1.1.0"))
    app.until("Degraded")
    app.deploy("1.2.0")
    app.until("Paused")
    expect((app, [marked("1.1.0")]))
    app.argo("promote")
    app.until("Healthy")
    expect((app, [marked("1.1.0"), marked("1.1.0", "rollforward", "1.2.0")]))
    record = app.record("1.1.0")["metadata"]["name"]
    both = [("Normal", "Linked"), ("Normal", "Marked")]
    assert (app.event_reasons("DoraDeployment", record), app.event_reasons("Rollout")) == (both, both)


def test_rollback_after_promotion(app_namespace: AppNamespace) -> None:
    """By undo and by git revert: marked when it starts, linked when the old version is promoted."""
    undone, reverted = app_namespace.app("undone"), app_namespace.app("reverted")
    release(undone, reverted, versions=("1.0.0", "1.1.0"))
    expect((undone, []), (reverted, []))
    undone.argo("undo")
    reverted.deploy("1.0.0")
    for app in (undone, reverted):
        app.until("Paused")
    expect((undone, [marked("1.1.0")]), (reverted, [marked("1.1.0")]))
    for app in (undone, reverted):
        app.argo("promote")
        app.until("Healthy")
    whole = [marked("1.1.0"), marked("1.1.0", "rollback", "1.0.0")]
    expect((undone, whole), (reverted, whole))


def test_undo_to_a_revision_and_rollback_window(app_namespace: AppNamespace) -> None:
    """Both mark the first deployment after the target; within the window no step is gone through."""
    far = app_namespace.app("far")
    fast = app_namespace.app("fast", spec={"rollbackWindow": {"revisions": 3}}, pods_after="400ms")
    release(far, fast, versions=("1.0.0", "1.1.0", "1.2.0"))
    far.argo("undo", "--to-revision=1")
    fast.argo("undo", "--to-revision=1")
    fast.until("Healthy")
    far.until("Paused")
    expect((far, [marked("1.1.0")]))
    far.argo("promote")
    far.until("Healthy")
    whole = [marked("1.1.0"), marked("1.1.0", "rollback", "1.0.0")]
    expect((far, whole), (fast, whole))


def test_undo_before_promotion(app_namespace: AppNamespace) -> None:
    """In flight it marks as an abort does; after an abort it says nothing more."""
    flying, aborted = app_namespace.app("flying"), app_namespace.app("aborted")
    release(flying, aborted)
    for app in (flying, aborted):
        app.deploy("1.1.0")
    for app in (flying, aborted):
        app.until("Paused")
    aborted.argo("abort")
    aborted.until("Degraded")
    for app in (flying, aborted):
        app.argo("undo")
        app.until("Healthy")
    expect((flying, [marked("1.1.0")]), (aborted, [marked("1.1.0")]))


def test_nothing_is_said_about_what_is_no_failure(app_namespace: AppNamespace) -> None:
    """First revision, superseded in flight, scaled, restarted, paused, degraded without abort: no request, no write."""
    superseded, handled = app_namespace.app("superseded"), app_namespace.app("handled")
    slow = app_namespace.app("slow", spec={"progressDeadlineSeconds": 1})
    apps = (superseded, handled, slow)
    release(*apps)
    superseded.deploy("1.1.0")
    slow.deploy("1.1.0", node=NOWHERE)
    handled.kubectl("scale", "rollout", handled.name, "--replicas=2")
    handled.argo("restart")
    handled.until("Healthy")
    superseded.until("Paused")
    superseded.deploy("1.2.0")
    handled.argo("pause")
    handled.deploy("1.1.0")
    handled.until("Paused")
    superseded.until("Paused")
    superseded.argo("promote")
    superseded.until("Healthy")
    slow.until("Degraded")
    expect(*((app, []) for app in apps))
    assert [app.records() for app in apps] == [[], [], []]


def test_abort_by_the_progress_deadline(app_namespace: AppNamespace) -> None:
    """A version whose pods never become ready is aborted by the controller, and marked."""
    app = app_namespace.app(spec={"progressDeadlineSeconds": 1, "progressDeadlineAbort": True})
    app.release("1.0.0")
    app.deploy("1.1.0", node=NOWHERE)
    app.until("Degraded")
    expect((app, [marked("1.1.0")]))


def test_a_canary_without_steps(app_namespace: AppNamespace) -> None:
    """Nothing waits between start and promotion of an undo: still a mark and then its link."""
    app = app_namespace.app(strategy=canary(), pods_after="400ms")
    app.release("1.0.0", "1.1.0")
    app.argo("undo")
    app.until("Healthy")
    expect((app, [marked("1.1.0"), marked("1.1.0", "rollback", "1.0.0")]))


def test_a_restart_over_all_of_this_asks_nothing(
    app_namespace: AppNamespace, rollouts_cluster: LocalCluster, rollouts_operator: OperatorProcess
) -> None:
    """An operator that starts now finds every verdict written down and accepted."""
    app = app_namespace.app()
    app.release("1.0.0")
    app.deploy("1.1.0")
    app.until("Paused")
    app.argo("abort")
    expect((app, [marked("1.1.0")]))
    same = {"DORA_OPERATOR_ABORT_RECOVERY": "NextVersion"}
    with StandIn() as other, running_operator(rollouts_cluster, other.url, **same):
        time.sleep(QUIET_SECONDS)
        assert [request.body for request in other.requests()] == []
