"""Blue-green and analyses of the real Argo Rollouts controller: what Datadog is asked, in order."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.support.rollouts import App, AppNamespace, canary, cleared, expect, marked, release
from tests.support.shop import eventually

pytestmark = pytest.mark.cluster

BAD = [{"templateName": "bad"}]


class Judge(BaseHTTPRequestHandler):
    """Finds every version bad."""

    def do_GET(self) -> None:
        """Answer the controller's web provider."""
        body = json.dumps({"ok": False}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's own word
        """Say nothing."""


@pytest.fixture(scope="module")
def judge() -> Iterator[str]:
    """Return the URL of a server that finds every version bad."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Judge) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def judged(app_namespace: AppNamespace, judge: str) -> AppNamespace:
    """Return a namespace with an analysis that fails."""
    provider = {"web": {"url": judge, "jsonPath": "{$.ok}"}}
    metric = {"name": "ok", "successCondition": "result == true", "provider": provider}
    metadata = {"name": "bad", "namespace": app_namespace.namespace}
    template = {"kind": "AnalysisTemplate", "metadata": metadata, "spec": {"metrics": [metric]}}
    app_namespace.app().apply({"apiVersion": "argoproj.io/v1alpha1"} | template)
    return app_namespace


def blue_green(app_namespace: AppNamespace, name: str, **more: Any) -> App:
    """Return an app with two Services, and these in place."""
    active, preview = f"{name}-active", f"{name}-preview"
    strategy = {"activeService": active, "previewService": preview, "scaleDownDelaySeconds": 1} | more
    app = app_namespace.app(name, strategy={"blueGreen": strategy})
    spec = {"selector": {"app": app.name}, "ports": [{"port": 80}]}
    app.apply(
        *({"apiVersion": "v1", "kind": "Service", "metadata": {"name": one}, "spec": spec} for one in (active, preview))
    )
    return app


@pytest.mark.parametrize(
    "strategy",
    [
        pytest.param(canary({"setWeight": 50}, {"analysis": {"templates": BAD}}), id="a step"),
        pytest.param(canary({"setWeight": 50}, {"pause": {}}, analysis={"templates": BAD}), id="in the background"),
        pytest.param(
            canary(
                {
                    "experiment": {
                        "templates": [{"name": "canary", "specRef": "canary"}],
                        "analyses": [{"name": "bad", "templateName": "bad", "requiredForCompletion": True}],
                    }
                }
            ),
            id="an experiment",
        ),
    ],
)
def test_a_canary_aborted_by_an_analysis(judged: AppNamespace, strategy: dict[str, Any]) -> None:
    """The controller aborts by itself, and the version is marked once, with the controller's own words on record."""
    app = judged.app(strategy=strategy)
    app.release("1.0.0")
    app.deploy("1.1.0")
    app.until("Degraded")
    expect((app, [marked("1.1.0")]))
    assert "aborted update to revision 2" in app.record("1.1.0")["status"]["source"]["message"]


def test_blue_green_aborted(judged: AppNamespace) -> None:
    """By hand, before and after promotion by an analysis: marked once each."""
    by_hand = blue_green(judged, "hand", autoPromotionEnabled=False)
    before = blue_green(judged, "before", prePromotionAnalysis={"templates": BAD})
    after = blue_green(judged, "after", postPromotionAnalysis={"templates": BAD})
    apps = (by_hand, before, after)
    release(*apps)
    for app in apps:
        app.deploy("1.1.0")
    by_hand.until("Paused")
    by_hand.argo("abort")
    for app in apps:
        app.until("Degraded")
    expect(*((app, [marked("1.1.0")]) for app in apps))
    by_hand.argo("retry")
    by_hand.until("Paused")
    by_hand.argo("promote")
    by_hand.until("Healthy")
    expect((by_hand, [marked("1.1.0"), cleared("1.1.0")]))


def test_blue_green_rolled_back(app_namespace: AppNamespace) -> None:
    """By undo after promotion: marked when it starts, linked when the old version is promoted."""
    app = blue_green(app_namespace, "app", autoPromotionEnabled=False)
    app.release("1.0.0")
    app.deploy("1.1.0")
    app.until("Paused")
    app.argo("promote")
    app.until("Healthy")
    app.until_scaled_down()
    expect((app, []))
    app.argo("undo")
    app.until("Paused")
    expect((app, [marked("1.1.0")]))
    app.argo("promote")
    app.until("Healthy")
    expect((app, [marked("1.1.0"), marked("1.1.0", "rollback", "1.0.0")]))


def test_blue_green_rolled_back_at_once(app_namespace: AppNamespace) -> None:
    """While the old pods still run, nothing waits between start and promotion of an undo: one request or two."""
    app = blue_green(app_namespace, "app", scaleDownDelaySeconds=300)
    app.release("1.0.0", "1.1.0")
    expect((app, []))
    app.argo("undo")
    app.until("Healthy")
    linked = marked("1.1.0", "rollback", "1.0.0")
    eventually(lambda: linked in app.asked(), app.levels)
    expect((app, [marked("1.1.0"), linked][-len(app.asked()) :]))
