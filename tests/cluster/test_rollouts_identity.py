"""Which deployment a Rollout on the real cluster speaks of, and which Rollouts are not spoken of."""

import pytest

from tests.support.rollouts import App, AppNamespace, expect, marked, release

pytestmark = pytest.mark.cluster

OLD_ID, BAD_ID, NEW_ID = "oldEvent-01", "badEvent-02", "newEvent-03"


def abort_an_update(*apps: App) -> None:
    """Release 1.0.0, update to 1.1.0, and abort that by hand."""
    release(*apps)
    for app in apps:
        app.deploy("1.1.0")
    for app in apps:
        app.until("Paused")
        app.argo("abort")
    for app in apps:
        app.until("Degraded")


def test_by_id(app_namespace: AppNamespace) -> None:
    """The annotation deployment-id on the pod template names both the failed deployment and its remediation."""
    app = app_namespace.app(ids=(OLD_ID, BAD_ID, NEW_ID))
    app.deploy("1.0.0", deployment_id=OLD_ID)
    app.until("Healthy")
    app.deploy("1.1.0", deployment_id=BAD_ID)
    app.until("Paused")
    app.argo("abort")
    app.until("Degraded")
    app.wait_asked(marked(BAD_ID))
    app.deploy("1.2.0", deployment_id=NEW_ID)
    app.until("Paused")
    app.argo("promote")
    app.until("Healthy")
    expect((app, [marked(BAD_ID), marked(BAD_ID, "rollforward", NEW_ID)]))


def test_an_annotation_overrides_a_label(app_namespace: AppNamespace) -> None:
    """The version of the annotation is sent, also where there is no label."""
    other, only = app_namespace.app("other"), app_namespace.app("only", untagged=("version",))
    for app in (other, only):
        app.deploy("1.0.0", version="build-1")
        app.until("Healthy")
        app.deploy("1.1.0", version="build-2")
        app.until("Paused")
        app.argo("abort")
    expect((other, [marked("build-2")]), (only, [marked("build-2")]))


def test_a_workload_of_its_own(app_namespace: AppNamespace) -> None:
    """A Rollout that runs a Deployment's template: the ReplicaSets show its versions."""
    app = app_namespace.app()
    app.spec = {"workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": app.name}}
    app.release("1.0.0", "1.1.0")
    app.deploy("1.2.0")
    app.until("Paused")
    app.argo("abort")
    app.until("Degraded")
    app.wait_asked(marked("1.2.0"))
    app.deploy("1.0.0")
    app.until("Paused")
    first = [marked("1.2.0"), marked("1.1.0")]
    expect((app, first))
    app.argo("promote")
    app.until("Healthy")
    expect((app, [*first, marked("1.1.0", "rollback", "1.0.0")]))


def test_a_missing_label_is_reported_once(app_namespace: AppNamespace) -> None:
    """Nothing is sent, and one Warning Event on the Rollout names the label, however often it is reconciled."""
    app = app_namespace.app(untagged=("version",))
    abort_an_update(app)
    app.kubectl("annotate", "rollout", app.name, "reconcile=again")
    app.argo("retry")
    app.until("Paused")
    app.argo("abort")
    app.until("Degraded")
    expect((app, []))
    ((type_, reason, message),) = app.events("Rollout")
    assert (type_, reason) == ("Warning", "NotIdentified")
    assert "tags.datadoghq.com/version" in message
    assert app.records() == []


def test_ignored(app_namespace: AppNamespace) -> None:
    """The annotation ignore on the Rollout: nothing is sent or written, and the label of the selector does as much."""
    annotated = app_namespace.app("annotated", annotations={"dora-operator.io/ignore": "true"})
    unselected = app_namespace.app("unselected", labels={"separate": "yes"})
    abort_an_update(annotated, unselected)
    expect((annotated, []), (unselected, []))
    assert annotated.records() == unselected.records() == []


def test_a_namespace_that_is_ignored(app_namespace: AppNamespace) -> None:
    """The annotation ignore on the Namespace: nothing is sent or written."""
    app_namespace.cluster.kubectl("annotate", "namespace", app_namespace.namespace, "dora-operator.io/ignore=true")
    app = app_namespace.app()
    abort_an_update(app)
    app.argo("undo")
    app.until("Healthy")
    expect((app, []))
    assert app.records() == []
