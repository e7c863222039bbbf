"""Rollouts on the real cluster while the operator is down, and Rollouts that are deleted."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn
from sandbox.datadog.faults import Match, Respond
from sandbox.running import OperatorProcess, running_operator
from tests.support.rollouts import App, AppNamespace, cleared, expect, marked, namespace_of, release
from tests.support.shop import eventually

pytestmark = pytest.mark.cluster

Start = Callable[..., AbstractContextManager[OperatorProcess]]


@pytest.fixture
def unwatched(
    rollouts_cluster: LocalCluster, rollouts_datadog: StandIn, request: pytest.FixtureRequest
) -> Iterator[AppNamespace]:
    """Return a fresh namespace that no operator watches yet."""
    app_namespace = AppNamespace(rollouts_cluster, rollouts_datadog, namespace_of(request))
    rollouts_cluster.kubectl("create", "namespace", app_namespace.namespace)
    yield app_namespace
    rollouts_datadog.clear_faults()


@pytest.fixture
def operator(unwatched: AppNamespace) -> Start:
    """Return what starts an operator for this namespace alone."""

    def start(**variables: str) -> AbstractContextManager[OperatorProcess]:
        own = {"DORA_OPERATOR_NAMESPACES": unwatched.namespace}
        return running_operator(unwatched.cluster, unwatched.datadog.url, **(own | variables))

    return start


def test_what_happened_while_it_was_down(unwatched: AppNamespace, operator: Start) -> None:
    """Killed before, started after: aborted, aborted and undone, promoted and undone, retried; each reported once."""
    aborted, undone, rolled_back, retried = apps = [
        unwatched.app(name) for name in ("aborted", "undone", "rolled", "retried")
    ]
    release(*apps)
    rolled_back.release("1.1.0")
    with operator() as running:
        for app in (aborted, undone, retried):
            app.deploy("1.1.0")
        for app in (aborted, undone, retried):
            app.until("Paused")
        retried.argo("abort")
        retried.wait_asked(marked("1.1.0"))
        # A kill between Datadog's answer and the status may repeat a request: here all is written down.
        written = retried.record("1.1.0")["metadata"]["name"]
        retried.kubectl("wait", "--for=condition=Ready", f"dora/{written}", "--timeout=20s")
        running.kill()
    for app in (aborted, undone):
        app.argo("abort")
    for app in (aborted, undone, retried):
        app.until("Degraded")
    undone.argo("undo")
    retried.argo("retry")
    rolled_back.argo("undo")
    for app in (retried, rolled_back):
        app.until("Paused")
        app.argo("promote")
    for app in (undone, retried, rolled_back):
        app.until("Healthy")
    once = [
        (aborted, [marked("1.1.0")]),
        (undone, [marked("1.1.0")]),
        (rolled_back, [marked("1.1.0", "rollback", "1.0.0")]),  # the history knows that 1.1.0 was promoted
        (retried, [marked("1.1.0"), cleared("1.1.0")]),
    ]
    with operator():
        expect(*once)
    with operator():
        expect(*once)


def test_settings_that_change_what_is_said(unwatched: AppNamespace, operator: Start) -> None:
    """With rollbackMarks Replaced V1, V2, V3, V1 marks V3; with retrySuccess Keep a promoted retry clears nothing."""
    rolled_back, retried = unwatched.app("back"), unwatched.app("retried")
    with operator(DORA_OPERATOR_ROLLBACK_MARKS="Replaced", DORA_OPERATOR_RETRY_SUCCESS="Keep"):
        release(rolled_back, retried, versions=("1.0.0", "1.1.0"))
        for app in (rolled_back, retried):
            app.deploy("1.2.0")
        for app in (rolled_back, retried):
            app.until("Paused")
        retried.argo("abort")
        rolled_back.argo("promote")
        rolled_back.until("Healthy")
        retried.until("Degraded")
        retried.wait_asked(marked("1.2.0"))
        retried.argo("retry")
        rolled_back.argo("undo", "--to-revision=1")
        for app in (rolled_back, retried):
            app.until("Paused")
        expect((rolled_back, [marked("1.2.0")]), (retried, [marked("1.2.0")]))
        for app in (rolled_back, retried):
            app.argo("promote")
            app.until("Healthy")
        whole = [marked("1.2.0"), marked("1.2.0", "rollback", "1.0.0")]
        expect((rolled_back, whole), (retried, [marked("1.2.0")]))


def test_deleted_right_after_the_abort(unwatched: AppNamespace, operator: Start) -> None:
    """The mark still arrives, after Datadog is well again too, and its DoraDeployment outlives the Rollout."""
    at_once, unsent = unwatched.app("once"), unwatched.app("unsent")
    unavailable = Respond(status=503, body="upstream")
    with operator():
        unwatched.datadog.fault(unavailable, match=Match(body_contains=unsent.name))
        release(at_once, unsent)
        for app in (at_once, unsent):
            app.deploy("1.1.0")
        for app in (at_once, unsent):
            app.until("Paused")
        for app in (at_once, unsent):
            app.argo("abort")
        at_once.kubectl("delete", "rollout", at_once.name)
        eventually(unsent.asked, unsent.levels)
        unsent.kubectl("delete", "rollout", unsent.name)
        unwatched.datadog.clear_faults()
        for app in (at_once, unsent):
            record = eventually(lambda app=app: app.records(), app.levels)[0]["metadata"]["name"]
            app.kubectl("wait", "--for=condition=Ready", f"dora/{record}", "--timeout=20s")
        expect((at_once, [marked("1.1.0")]))
        assert set(unsent.asked()) == {marked("1.1.0")}
        answers = [one.status for one in unwatched.datadog.requests() if unsent.name in one.body]
        assert answers[-1] == 202
        assert answers.count(202) == 1
        assert len(at_once.records()) == len(unsent.records()) == 1


def abort_and_delete(app: App) -> None:
    """Abort the update from 1.0.0 to 1.1.0, see it marked, and delete the Rollout."""
    app.release("1.0.0")
    app.deploy("1.1.0")
    app.until("Paused")
    app.argo("abort")
    app.until("Degraded")
    app.wait_asked(marked("1.1.0"))
    app.kubectl("delete", "rollout", app.name, "--cascade=foreground", "--timeout=30s")


def test_created_again_with_the_same_name(unwatched: AppNamespace, operator: Start) -> None:
    """Another uid is another Rollout: the marked version as its first revision says nothing."""
    app = unwatched.app()
    with operator():
        abort_and_delete(app)
        app.release("1.1.0")
        expect((app, [marked("1.1.0")]))
        app.deploy("1.2.0")
        app.until("Paused")
        app.argo("abort")
        app.until("Degraded")
        expect((app, [marked("1.1.0"), marked("1.2.0")]))


def test_created_again_and_failing_again(unwatched: AppNamespace, operator: Start) -> None:
    """The same version aborted by another Rollout of the same name is a new failure of a newer deployment."""
    app = unwatched.app()
    with operator():
        abort_and_delete(app)
        app.release("1.0.0")
        expect((app, [marked("1.1.0")]))
        app.deploy("1.1.0")
        app.until("Paused")
        app.argo("abort")
        app.until("Degraded")
        expect((app, [marked("1.1.0"), marked("1.1.0")]))
        assert len(app.records()) == 1


def test_created_again_from_another_template_and_promoted(unwatched: AppNamespace, operator: Start) -> None:
    """The record of the former Rollout, of another pod hash, does not hold back what the new one says."""
    app = unwatched.app()
    with operator():
        abort_and_delete(app)
        app.release("1.0.0")
        app.deploy("1.1.0", note="again")
        app.until("Paused")
        app.argo("abort")
        app.wait_asked(marked("1.1.0"), marked("1.1.0"))
        app.argo("retry")
        app.until("Paused")
        app.argo("promote")
        app.until("Healthy")
        expect((app, [marked("1.1.0"), marked("1.1.0"), cleared("1.1.0")]))
        uid = app.get()["metadata"]["uid"]
        (record,) = [one for one in app.records() if one["status"]["source"]["uid"] == uid]
        assert [type_ for type_, _ in app.event_reasons("DoraDeployment", record["metadata"]["name"])] == ["Normal"] * 2
