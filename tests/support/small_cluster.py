"""An API server in a thread with set answers, and `kubectl dora` run against it in this process."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubectl_dora.main import run

DORA = "/apis/dora-operator.io/v1alpha1/namespaces/shop/doradeployments"
HISTORIES = "/apis/dora-operator.io/v1alpha1/namespaces/shop/dorahistories"
DEPLOYMENTS = "/apis/apps/v1/deployments"
REPLICA_SETS = "/apis/apps/v1/namespaces/shop/replicasets"
NAMESPACE = "/api/v1/namespaces/shop"
ROLLOUTS = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a path is answered with: a document, or text."""

    body: Any
    status: int = 200
    seconds: float = 0
    """Time until the answer."""


def listed(*items: Mapping[str, Any]) -> Answer:
    """Return a list."""
    return Answer({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": list(items)})


def refused(status: int, message: str) -> Answer:
    """Return an error of the API server."""
    return Answer({"apiVersion": "v1", "kind": "Status", "status": "Failure", "message": message}, status)


def forbidden(what: str) -> Answer:
    """Return a refusal by RBAC."""
    return refused(403, f'{what} is forbidden: User "jo" cannot list resource "{what}"')


@dataclass
class SmallCluster:
    """The answers by path, and the requests that came."""

    folder: Path
    answers: dict[str, Answer] = field(default_factory=dict)
    otherwise: Answer = field(default_factory=lambda: Answer("404 page not found", 404))
    requests: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)
    """Method, path with its query, headers and body."""
    url: str = ""

    @property
    def kubeconfig(self) -> Path:
        """Write a kubeconfig with two contexts, clusters and users, and return it."""
        file = self.folder / "kubeconfig"
        users = [{"name": name, "user": {"token": f"token-of-{name}"}} for name in ("jo", "sam")]
        clusters = [("here", self.url), ("gone", "http://127.0.0.1:9")]
        contexts = [("home", "here"), ("away", "gone")]
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "home",
            "clusters": [{"name": name, "cluster": {"server": url}} for name, url in clusters],
            "contexts": [
                {"name": name, "context": {"cluster": cluster, "user": "jo", "namespace": "shop"}}
                for name, cluster in contexts
            ],
            "users": users,
        }
        file.write_text(yaml.safe_dump(document))
        return file

    def answer(self, method: str, path: str) -> Answer:
        """Return the answer to a request."""
        plain = path.partition("?")[0]
        return self.answers.get(f"{method} {plain}") or self.answers.get(plain) or self.otherwise


def _handler(cluster: SmallCluster) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found = cluster.answer(self.command, self.path)
            cluster.requests.append((self.command, self.path, dict(self.headers), json.loads(body) if body else None))
            time.sleep(found.seconds)
            text = found.body if isinstance(found.body, str) else json.dumps(found.body)
            self.send_response(found.status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PATCH = _serve  # noqa: N815 - names of the standard library

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """A command that ends leaves requests unanswered."""


@contextmanager
def serving(folder: Path) -> Iterator[SmallCluster]:
    """Serve while the context is open."""
    cluster = SmallCluster(folder)
    server = _Server(("127.0.0.1", 0), _handler(cluster))
    cluster.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield cluster
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Terminal:
    """Runs commands in this process."""

    capsys: pytest.CaptureFixture[str]

    def __call__(self, *words: object) -> Ran:
        """Run `kubectl dora` with these words."""
        self.capsys.readouterr()
        code = run([str(word) for word in words])
        printed = self.capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return Ran(code, printed.out, printed.err)


def dora_deployment(name: str, created: str = "2026-11-24T00:00:00Z", **changes: Any) -> dict[str, Any]:
    """Return a DoraDeployment for checkout 1.5.0 as the API server has it."""
    metadata = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "resourceVersion": "7", "generation": 1}
    metadata["creationTimestamp"] = created
    metadata |= changes.pop("metadata", {})
    status = changes.pop("status", {})
    tags = {"service": "checkout", "env": "prod", "version": "1.5.0"}
    spec = {"deployment": tags, "changeFailure": True} | changes
    head = {"apiVersion": "dora-operator.io/v1alpha1", "kind": "DoraDeployment"}
    return head | {"metadata": metadata, "spec": spec, "status": status}


def condition(kind: str, status: str, reason: str) -> dict[str, Any]:
    """Return a condition of generation 1."""
    time_ = "2026-11-24T00:00:00Z"
    named = {"type": kind, "status": status, "reason": reason, "message": ""}
    return named | {"observedGeneration": 1, "lastTransitionTime": time_}
