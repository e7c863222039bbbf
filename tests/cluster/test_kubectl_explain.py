"""`kubectl dora explain` on the real cluster: it shows what the operator did, and why it did nothing."""

import json

import pytest

from tests.support.kubectl_dora import dora
from tests.support.rollouts import App, AppNamespace, marked
from tests.support.shop import eventually

pytestmark = pytest.mark.cluster


def explain(app: App, *arguments: str) -> dict[str, object]:
    """Return the explanation of an app's Rollout."""
    found: dict[str, object] = dora(
        app.cluster, "explain", f"rollout/{app.name}", "-n", app.namespace, "-o", "json", *arguments
    ).json()
    return found


def test_an_abort_is_explained_from_the_rollout_to_the_answer(app_namespace: AppNamespace) -> None:
    """The chain is complete: revision, deployment, decision, resource, request, answer."""
    app = app_namespace.app()
    app.release("1.0.0")
    app.deploy("1.1.0")
    app.until("Paused")
    app.argo("abort")
    app.wait_asked(marked("1.1.0"))
    eventually(lambda: app.record("1.1.0").get("status", {}).get("acceptedTime"), app.levels)
    newest, first = explain(app)["revisions"]
    assert newest["verdict"]["verdict"] == "Aborted"
    (resource,) = newest["resources"]
    assert resource["madeBy"] == "operator"
    assert newest["revision"]["failure"]["cause"] == "Abort"
    attributes = json.loads(resource["request"]["body"])["data"]["attributes"]
    assert attributes == {"service": app.name, "env": "prod", "version": "1.1.0", "change_failure": True}
    assert resource["status"]["httpStatus"] == 202
    assert first["whyNot"]["reason"] == "Succeeded"
    text = dora(app.cluster, "explain", f"rollout/{app.name}", "-n", app.namespace)
    assert text.code == 0, text.err
    for words in ("Aborted: change failure", "cause Abort at", "HTTP 202, accepted at"):
        assert words in text.out
    one = dora(app.cluster, "explain", resource["name"], "-n", app.namespace)
    assert f"explain rollout/{app.name} --revision 2" in one.out, one.err


def test_a_rollout_that_opts_out_says_so(app_namespace: AppNamespace) -> None:
    """The reason stands above everything else."""
    app = app_namespace.app(annotations={"dora-operator.io/ignore": "true"})
    app.release("1.0.0")
    assert "OptedOut" in {each["reason"] for each in explain(app)["blockers"]}


def test_what_does_not_exist_is_named_with_a_fix(app_namespace: AppNamespace) -> None:
    """Exit code 3, and one line for the cause and one for the fix."""
    for arguments in (("rollout/nothing",), ("nothing",)):
        found = dora(app_namespace.cluster, "explain", *arguments, "-n", app_namespace.namespace)
        assert found.code == 3
        assert "nothing" in found.err
        assert "fix: " in found.err
