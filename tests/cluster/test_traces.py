"""A running operator that traces, and a collector that takes what it is sent."""

from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn
from sandbox.running import running_operator
from tests.support.shop import Shop, eventually

pytestmark = pytest.mark.cluster


class Collector(HTTPServer):
    """Takes spans as OTLP over HTTP."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[bytes] = []

    def spans(self) -> list[str]:
        """Return the names of all spans, and the objects that they name."""
        found = []
        for body in self.bodies:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for span in (one for scope in resource.scope_spans for one in scope.spans):
                    subject = [each.value.string_value for each in span.attributes if each.key == "k8s.object.name"]
                    found.append(" ".join([span.name, *subject]))
        return found


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        """Take a batch."""
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Return a collector that listens."""
    with Collector() as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_mark_is_traced(cluster: LocalCluster, collector: Collector) -> None:
    """The reconcile and its requests to Datadog and the API server arrive, and no key with them."""
    cluster.kubectl("create", "namespace", "traces")
    shop = Shop(cluster, "traces")
    variables = {
        "DORA_OPERATOR_NAMESPACES": "traces",
        "DORA_OPERATOR_TRACES": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    with StandIn() as datadog, running_operator(cluster, datadog.url, **variables) as operator:
        shop.apply("checkout", changeFailure=True)
        shop.wait("checkout", "Accepted")
        wanted = Counter({"reconcile DoraDeployment checkout": 1, "PATCH": 2})
        eventually(lambda: wanted <= Counter(collector.spans()), lambda: f"{collector.spans()}\n{operator.log()}")
    assert not any(b"sandbox-" in body for body in collector.bodies)
