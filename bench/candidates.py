"""The operator and its peers, as processes that can be measured."""

import functools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import earlier
from sandbox import loopback
from sandbox.cluster import LocalCluster
from sandbox.cluster.process import Background
from sandbox.datadog import StandIn
from sandbox.datadog.recording import Recorded
from sandbox.programs.build import ensure
from sandbox.programs.catalogue import Program
from sandbox.running import environment_for

LISTED_SECONDS = 300.0
ROOT = Path(__file__).parents[1]
GO_PEER = Program("controller-runtime", ".", 150, str(Path(__file__).parent / "peers" / "controller_runtime"))
"""Built when a benchmark first wants it; no cluster, test or demo needs it."""


@dataclass(frozen=True, slots=True)
class Running:
    """A started candidate."""

    process: Background
    ready_seconds: float
    """From the start of the process until it was ready."""

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.popen.pid

    def resident_mib(self) -> float:
        """Return the memory that it holds now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def first_request(self, datadog: StandIn) -> Recorded:
        """Wait for its first request to Datadog.

        Raises:
            SandboxError: the process ended, or sends none.
        """
        self.process.wait_until(lambda: bool(datadog.requests()), LISTED_SECONDS)
        return datadog.requests()[0]

    def end(self) -> float:
        """Stop it as Kubernetes does, and return how many seconds that took."""
        begun = time.monotonic()
        self.process.popen.terminate()
        self.process.popen.wait(LISTED_SECONDS)
        return time.monotonic() - begun


@dataclass(frozen=True, slots=True)
class Candidate:
    """A program that reports changed DoraDeployments to Datadog."""

    name: str
    command: Callable[[str], Sequence[str]]
    """Takes the port of its probes."""
    probe: str = ""
    """Path of the probe that says that it is ready; empty: it prints `ready`."""
    lists_first: bool = True
    """It is ready when its first list is complete; else the time until then says nothing."""
    crds: Callable[[], Path] = lambda: ROOT / "crds"
    settles: bool = False
    """It leaves a status that its next start takes for settled."""
    variables: Mapping[str, str] = field(default_factory=dict)

    @contextmanager
    def launched(self, cluster: LocalCluster, datadog: StandIn, **variables: str) -> Iterator[Running]:
        """Start it, and do not wait until it is ready."""
        with self._started(cluster, datadog, variables) as (process, _):
            yield Running(process, 0.0)

    @contextmanager
    def running(self, cluster: LocalCluster, datadog: StandIn, **variables: str) -> Iterator[Running]:
        """Start it, and wait until it is ready."""
        begun = time.monotonic()
        with self._started(cluster, datadog, variables) as (process, port):
            url = f"http://127.0.0.1:{port}{self.probe}"
            ready = (lambda: loopback.is_well(url)) if self.probe else (lambda: "ready" in process.log.read_text())
            process.wait_until(ready, LISTED_SECONDS)
            yield Running(process, time.monotonic() - begun)

    @contextmanager
    def _started(
        self, cluster: LocalCluster, datadog: StandIn, variables: Mapping[str, str]
    ) -> Iterator[tuple[Background, str]]:
        environment = environment_for(cluster, datadog.url)
        port = environment["DORA_OPERATOR_HEALTH_PORT"]
        environment |= {"API_TOKEN": cluster.token, "DATADOG_URL": datadog.url}
        with tempfile.TemporaryDirectory(prefix="dora-bench-") as folder:
            command = self.command(port)
            process = Background.start(self.name, command, Path(folder), {**environment, **self.variables, **variables})
            try:
                yield process, port
            finally:
                process.stop()


@functools.cache
def go_peer() -> Path:
    """Return the peer in Go, built where it is missing. Call it before a clock runs."""
    return ensure([GO_PEER])[GO_PEER.name]


def _python_peer(module: str) -> Callable[[str], Sequence[str]]:
    return lambda port: (sys.executable, "-m", f"bench.peers.{module}", port)


OPERATOR = Candidate(
    "dora-operator",
    lambda _: (str(Path(sys.executable).with_name("dora-operator")), "run"),
    probe="/readyz",
    settles=True,
    variables={"DORA_OPERATOR_READ_BACK": "false"},  # no peer reads back; what it costs is measured apart
)
EARLIER = Candidate(
    earlier.COMMIT,
    lambda _: (str(earlier.installed().bin / "dora-operator"), "run"),
    probe="/readyz",
    crds=lambda: earlier.installed().crds,
    settles=True,
    variables={"PYTHONPATH": ""},
)
CONTROLLER_RUNTIME = Candidate("controller-runtime", lambda port: (str(go_peer()), port), probe="/readyz")
BARE_WATCH = Candidate("bare watch", _python_peer("bare_watch"), variables={"PYTHONPATH": str(ROOT)})
NAIVE_KOPF = Candidate(
    "naive kopf",
    _python_peer("naive_kopf"),
    probe="/healthz",
    lists_first=False,
    variables={"PYTHONPATH": str(ROOT)},
)


def prepare() -> None:
    """Build and install what is missing, before a clock runs."""
    go_peer()
    earlier.installed()


@contextmanager
def own_cluster(candidate: Candidate) -> Iterator[LocalCluster]:
    """Start a cluster with the CRD of a candidate."""
    with LocalCluster.start() as cluster:
        apply_crds(cluster, candidate)
        yield cluster


def apply_crds(cluster: LocalCluster, candidate: Candidate) -> None:
    """Apply the CRD of a candidate, and wait until it is served."""
    cluster.kubectl("apply", "-f", str(candidate.crds()))
    cluster.kubectl("wait", "--for=condition=Established", "crd/doradeployments.dora-operator.io")
