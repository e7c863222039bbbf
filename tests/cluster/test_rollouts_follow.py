"""DoraDeployments that users wrote, and that follow a Rollout on the real cluster."""

import json
from typing import Any

import pytest

from tests.support.rollouts import App, AppNamespace, cleared, expect, marked, release
from tests.support.shop import Shop, eventually

pytestmark = pytest.mark.cluster

AN_ID = "followed-0042"


def by_version(app: App) -> dict[str, str]:
    """Return how a user names the deployment of 1.1.0."""
    return {"service": app.name, "env": "prod", "version": "1.1.0"}


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return status and reason of each condition by type."""
    return {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}


def test_followed_through_the_users_resource(app_namespace: AppNamespace) -> None:
    """By version, and by id with sourceRef.version: waits, then says what the Rollout did, and nobody else does."""
    shop = Shop(app_namespace.cluster, app_namespace.namespace)
    app, named = app_namespace.app("app"), app_namespace.app("named", ids=(AN_ID,))
    release(app, named)
    shop.apply("mine", deployment=by_version(app), sourceRef={"name": app.name})
    shop.apply("mine-by-id", deployment={"id": AN_ID}, sourceRef={"name": named.name, "version": "1.1.0"})
    specs = [shop.get(name)["spec"] for name in ("mine", "mine-by-id")]
    for name in ("mine", "mine-by-id"):
        assert conditions(shop.wait(name, "WaitingForRollout"))["Ready"][0] == "False"
    for each in (app, named):
        each.deploy("1.1.0")
        each.until("Paused")
    expect((app, []), (named, []))
    for each in (app, named):
        each.argo("abort")
    expect((app, [marked("1.1.0")]), (named, [marked(AN_ID)]))
    for name in ("mine", "mine-by-id"):
        assert shop.wait(name, "Accepted")["source"]["verdict"] == "Aborted"
    assert len(app.records()) == len(named.records()) == 1
    assert [shop.get(name)["spec"] for name in ("mine", "mine-by-id")] == specs
    for name in ("mine", "mine-by-id"):
        owners = json.loads(shop.kubectl("get", "dora", name, "--show-managed-fields", "-o", "json"))["metadata"][
            "managedFields"
        ]
        assert [one["manager"] for one in owners if "f:spec" in one["fieldsV1"]] == ["kubectl-client-side-apply"]
    assert app.event_reasons("DoraDeployment", "mine") == app.event_reasons("Rollout") == [("Normal", "Marked")]
    for each in (app, named):
        each.argo("retry")
        each.until("Paused")
        each.argo("promote")
        each.until("Healthy")
    expect((app, [marked("1.1.0"), cleared("1.1.0")]), (named, [marked(AN_ID), cleared(AN_ID)]))


def test_the_spec_wins(app_namespace: AppNamespace) -> None:
    """What the user wrote is sent although the Rollout says otherwise, and a condition says so."""
    shop, app = Shop(app_namespace.cluster, app_namespace.namespace), app_namespace.app()
    app.release("1.0.0")
    app.deploy("1.1.0")
    app.until("Paused")
    shop.apply("mine", deployment=by_version(app), changeFailure=False, sourceRef={"name": app.name})
    app.wait_asked(cleared("1.1.0"))
    app.argo("abort")
    app.until("Degraded")
    expect((app, [cleared("1.1.0")]))
    status = shop.wait("mine", "Accepted")
    assert status["source"]["verdict"] == "Aborted"
    assert conditions(status)["Overridden"][0] == "True"
    assert len(app.records()) == 1


def test_written_after_the_abort(app_namespace: AppNamespace) -> None:
    """A resource for a version that is marked already follows too, and what it says is one request at most."""
    shop, app = Shop(app_namespace.cluster, app_namespace.namespace), app_namespace.app()
    app.release("1.0.0")
    app.deploy("1.1.0")
    app.until("Paused")
    app.argo("abort")
    app.wait_asked(marked("1.1.0"))
    shop.apply("mine", deployment={"id": AN_ID + "-late"}, sourceRef={"name": app.name, "version": "1.1.0"})
    assert shop.wait("mine", "Accepted")["source"]["verdict"] == "Aborted"
    app.ids = (AN_ID + "-late",)
    expect((app, [marked("1.1.0"), marked(AN_ID + "-late")]))


@pytest.mark.parametrize("spec", [{}, {"changeFailure": False}], ids=["it agrees", "spec wins"])
def test_taken_over(app_namespace: AppNamespace, spec: dict[str, Any]) -> None:
    """It takes the place of the operator's own record: no second request for the same, no conflict, no Event again."""
    shop, app = Shop(app_namespace.cluster, app_namespace.namespace), app_namespace.app()
    app.release("1.0.0")
    app.deploy("1.1.0")
    app.until("Paused")
    app.argo("abort")
    app.wait_asked(marked("1.1.0"))
    eventually(lambda: app.event_reasons("Rollout") == [("Normal", "Marked")], app.levels)
    shop.apply("mine", deployment=by_version(app), sourceRef={"name": app.name}, **spec)
    assert shop.wait("mine", "Accepted")["source"]["verdict"] == "Aborted"
    eventually(lambda: [one["metadata"]["name"] for one in app.records()] == ["mine"], app.levels)
    expect((app, [marked("1.1.0"), *([cleared("1.1.0")] if spec else [])]))
    said = [("Normal", "Cleared")] if spec else []
    assert app.event_reasons("DoraDeployment", "mine") == said
    assert app.event_reasons("Rollout") == sorted([("Normal", "Marked"), *said])
