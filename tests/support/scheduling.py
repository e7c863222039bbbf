"""A scheduler with one thought: a pod that names no node goes to the only one. kwok does the rest."""

import json
import ssl
import threading
import urllib.request
from types import TracebackType
from typing import Any, Self

from sandbox import loopback
from sandbox.cluster import LocalCluster
from sandbox.cluster.rollouts import NODE

PERIOD_SECONDS = 0.2


class Scheduler:
    """Runs in a thread while it is entered."""

    def __init__(self, cluster: LocalCluster) -> None:
        config = json.loads(cluster.kubeconfig.read_text())
        authority = config["clusters"][0]["cluster"]["certificate-authority"]
        self._context = ssl.create_default_context(cafile=authority)
        self._cluster = cluster
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(PERIOD_SECONDS):
            try:
                waiting = self._ask("/api/v1/pods?fieldSelector=spec.nodeName%3D")["items"]
                for pod in waiting:
                    self._bind(pod["metadata"])
            except OSError:
                continue  # the pod is gone already, or the cluster ends

    def _bind(self, pod: dict[str, Any]) -> None:
        target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod["name"]}, "target": target}
        self._ask(f"/api/v1/namespaces/{pod['namespace']}/pods/{pod['name']}/binding", body)

    def _ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self._cluster.token}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self._cluster.url + path, data, headers)
        with loopback.ask(request, tls=self._context) as answer:
            return json.load(answer)
