"""The operator as a process of its own, started as in production: `dora-operator run` with an environment.

For the demo, tests and benchmarks. Sets nothing that a chart could not set.
"""

import json
import os
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import loopback
from sandbox.cluster import LocalCluster
from sandbox.cluster.process import Background, free_ports

READY_SECONDS = 30.0
OWN_API_KEY = "sandbox-api-key"
OWN_APP_KEY = "sandbox-app-key"


@dataclass(slots=True)
class OperatorProcess:
    """A running operator."""

    process: Background
    base_url: str
    ready_after: float
    """Seconds from the start of the process to its first good probe."""

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.popen.pid

    def probe(self) -> dict[str, Any]:
        """Return what the readiness probe says."""
        with loopback.ask(f"{self.base_url}/readyz") as response:
            found: dict[str, Any] = json.load(response)
        return found

    def metrics(self) -> str:
        """Return what a scrape returns."""
        with loopback.ask(f"{self.base_url}/metrics") as response:
            text: bytes = response.read()
        return text.decode()

    def log(self) -> str:
        """Return everything that it has logged."""
        return self.process.log.read_text()

    def resident_bytes(self) -> int:
        """Return the memory that it holds now."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def terminate(self, seconds: float = 15.0) -> int:
        """Stop it as Kubernetes does, and return its exit code."""
        self.process.signal(signal.SIGTERM)
        return self.process.popen.wait(seconds)

    def kill(self) -> None:
        """Crash it."""
        self.process.kill()


@contextmanager
def running_operator(cluster: LocalCluster, datadog_url: str, **variables: str) -> Iterator[OperatorProcess]:
    """Start an operator on this cluster and this Datadog, wait until it is ready, and end it afterwards."""
    with running_in(environment_for(cluster, datadog_url) | variables) as operator:
        yield operator


def environment_for(cluster: LocalCluster, datadog_url: str) -> dict[str, str]:
    """Return the least that an operator needs to know.

    Nothing is read back: the stand-in has only the deployments that it was given. Each has a Lease of its own: several
    run at once on one cluster, and the next one need not wait for the Lease of one that was killed.
    """
    (port,) = free_ports(1)
    return {
        "KUBECONFIG": str(cluster.kubeconfig),
        "DD_API_KEY": OWN_API_KEY,
        "DD_APP_KEY": OWN_APP_KEY,
        "DORA_OPERATOR_DATADOG_URL": datadog_url,
        "DORA_OPERATOR_HEALTH_PORT": str(port),
        "DORA_OPERATOR_METRICS_PORT": str(port),
        "DORA_OPERATOR_READ_BACK": "false",
        "DORA_OPERATOR_LEASE_NAME": f"dora-operator-{uuid.uuid4().hex[:8]}",
    }


@contextmanager
def running_in(environment: Mapping[str, str], path: str | None = "/readyz") -> Iterator[OperatorProcess]:
    """Start an operator with this environment and no other setting; ready is what this path of its probes says.

    Without a path it is not waited for.
    """
    base_url = f"http://127.0.0.1:{environment['DORA_OPERATOR_HEALTH_PORT']}"
    with tempfile.TemporaryDirectory(prefix="dora-operator-") as folder:
        begun = time.monotonic()
        process = _start(environment, Path(folder))
        try:
            if path is not None:
                process.wait_until(lambda: loopback.is_well(f"{base_url}{path}"), READY_SECONDS)
            yield OperatorProcess(process, base_url, time.monotonic() - begun)
        finally:
            process.stop()


def _start(environment: Mapping[str, str], folder: Path) -> Background:
    command = [str(Path(sys.executable).with_name("dora-operator")), "run"]
    return Background.start("operator", command, folder, environment)
