"""The Rollouts of the demo: manifests, and a web service that their analysis asks."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sandbox.cluster.rollouts import NODE, pace

CANARY_WITH_ANALYSIS = """
    canary:
      steps:
      - setWeight: 50
      - analysis:
          templates:
          - templateName: success-rate"""
CANARY_AT_ONCE = """
    canary: {}"""


def rollout(name: str, version: str, strategy: str) -> str:
    """Return a Rollout whose pods carry Datadog's unified service tags.

    What Datadog does not have of it, the operator may create.
    """
    return f"""
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata:
  name: {name}
  annotations:
    dora-operator.io/on-missing: Create
spec:
  replicas: 1
  selector:
    matchLabels:
      app: {name}
  strategy:{strategy}
  template:
    metadata:
      annotations: {json.dumps(pace("100ms"))}
      labels:
        app: {name}
        tags.datadoghq.com/service: {name}
        tags.datadoghq.com/env: prod
        tags.datadoghq.com/version: {version}
    spec:
      nodeName: {NODE}
      terminationGracePeriodSeconds: 0
      containers:
      - name: app
        image: {name}:{version}
"""


def analysis_template(url: str) -> str:
    """Return the analysis: it asks a web service, and fails when that says so."""
    return f"""
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata:
  name: success-rate
spec:
  metrics:
  - name: success-rate
    failureLimit: 0
    successCondition: result >= 0.95
    provider:
      web:
        url: {url}
        jsonPath: "{{$.successRate}}"
"""


@contextmanager
def metrics_service(success_rate: float) -> Iterator[str]:
    """Serve a success rate on loopback, and yield its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(f'{{"successRate": {success_rate}}}'.encode())

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
