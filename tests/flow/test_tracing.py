"""Traces: one span for a reconcile, its requests inside, and never a key."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from dora_operator import tracing
from dora_operator.clients.datadog import DatadogClient, Keys, open_http
from dora_operator.clients.errors import KubernetesError
from dora_operator.clients.kubernetes import KubernetesClient, open_kubernetes
from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.request import PatchById
from dora_operator.domain.resource import MarkState
from dora_operator.domain.sites import Site
from dora_operator.metrics import Metrics
from tests.support.builders import NOW

KEY = ObjectKey("shop", "a")
CANARIES = ("canary-api", "canary-app", "canary-token", "canary-body")


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    """Trace into memory."""
    exporter = InMemorySpanExporter()
    with tracing.enabled(on=True, processor=SimpleSpanProcessor(exporter)):
        yield exporter


@asynccontextmanager
async def clients(
    monkeypatch: pytest.MonkeyPatch, folder: Path, status: int
) -> AsyncIterator[tuple[DatadogClient, KubernetesClient]]:
    """Open both clients of a server that echoes what it gets."""

    async def answer(request: web.Request) -> web.Response:
        echo = {"body": await request.text(), "headers": dict(request.headers), "say": "canary-body"}
        return web.json_response(echo | {"metadata": {}}, status=status, headers={"X-Echo": "canary-api"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        config = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {"token": "canary-token"}}],
        }
        (folder / "kubeconfig").write_text(yaml.safe_dump(config))
        monkeypatch.setenv("KUBECONFIG", str(folder / "kubeconfig"))
        async with open_http(connections=1) as http, open_kubernetes(Metrics(), lambda: NOW) as kubernetes:
            datadog = DatadogClient(http, base_url=url, timeout_seconds=5, metrics=Metrics())
            yield datadog, kubernetes


async def reconcile(datadog: DatadogClient, kubernetes: KubernetesClient) -> None:
    """Send a request to each server, as a reconcile does."""
    with tracing.span("DoraDeployment", KEY):
        request = PatchById("deployment-a", MarkState(change_failure=True))
        await datadog.patch(request, Site.US1, Keys("canary-api", "canary-app"))
        tracing.note_result("done", is_error=False)
        try:
            await kubernetes.read_annotations("shop")
        except KubernetesError:
            tracing.note_result("unavailable", is_error=True)


async def spans_of(
    exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch, folder: Path, status: int
) -> Sequence[ReadableSpan]:
    """Return the spans of one reconcile, in the order of their ends."""
    async with clients(monkeypatch, folder, status) as (datadog, kubernetes):
        await reconcile(datadog, kubernetes)
    return exporter.get_finished_spans()


async def test_a_reconcile_and_its_requests(
    exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Both requests are children of the reconcile, which names its object and how it ended."""
    patch, get, whole = await spans_of(exporter, monkeypatch, tmp_path, 200)
    assert [span.name for span in (patch, get, whole)] == ["PATCH", "GET", "reconcile DoraDeployment"]
    assert patch.parent == get.parent == whole.context
    assert dict(whole.attributes or {}) == {
        "k8s.object.namespace": "shop", "k8s.object.name": "a", "result": "done"
    }  # fmt: skip
    assert whole.parent is None
    assert str((patch.attributes or {})["http.url"]).endswith("/api/v2/dora/deployments/deployment-a")
    assert all(span.status.is_unset for span in (patch, get, whole))


async def test_a_failed_request_is_an_error(
    exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """So is its reconcile, if it says so."""
    spans = await spans_of(exporter, monkeypatch, tmp_path, 500)
    assert [span.status.is_ok or span.status.is_unset for span in spans] == [False, False, False]
    assert (spans[2].attributes or {})["result"] == "unavailable"


@pytest.mark.parametrize("status", [200, 403, 500])
async def test_no_key_is_in_a_span(
    exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int
) -> None:
    """Whatever the server echoes, and even if all headers are to be captured."""
    for kind in ("REQUEST", "RESPONSE"):
        monkeypatch.setenv(f"OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_{kind}", ".*")
    spans = await spans_of(exporter, monkeypatch, tmp_path, status)
    assert len(spans) == 3
    assert not any(canary in span.to_json() for span in spans for canary in CANARIES)


async def test_nothing_is_traced_while_it_is_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same calls cost nothing then."""
    exporter = InMemorySpanExporter()
    with tracing.enabled(on=False, processor=SimpleSpanProcessor(exporter)):
        assert tracing.trace_configs() == []
        assert not await spans_of(exporter, monkeypatch, tmp_path, 200)


def test_a_collector_that_never_answers_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last spans have a moment, then the process goes on ending."""
    shutting_down, released = Event(), Event()

    def hang(_: object) -> None:
        shutting_down.set()
        released.wait(60)

    monkeypatch.setattr(InMemorySpanExporter, "shutdown", hang)
    monkeypatch.setattr(tracing, "LAST_SPANS_SECONDS", 0.1)
    with tracing.enabled(on=True, processor=SimpleSpanProcessor(InMemorySpanExporter())):
        pass
    assert shutting_down.wait(5)
    assert not released.is_set()
    released.set()


@pytest.mark.parametrize("package", ["sdk.trace", "instrumentation.aiohttp_client", "exporter.otlp.proto.http"])
def test_without_the_packages_the_start_says_what_to_do(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Enabled and not installed is an error before anything begins."""
    for name in [name for name in sys.modules if name.startswith(f"opentelemetry.{package}")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, f"opentelemetry.{package}", None)
    with pytest.raises(tracing.CannotTraceError, match="install dora-operator"), tracing.enabled(on=True):
        pass


def test_nothing_of_it_is_imported_while_it_is_off() -> None:
    """It would cost a start a quarter of a second."""
    code = (
        "import sys, dora_operator.clients.datadog, dora_operator.clients.kubernetes\n"
        "from dora_operator import tracing\n"
        "with tracing.enabled(on=False), tracing.span('DoraDeployment', ('shop', 'a')):\n"
        "    tracing.trace_configs(), tracing.note_result('done', is_error=False)\n"
        "print('opentelemetry' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
