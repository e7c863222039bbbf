"""The local cluster: starts etcd and kube-apiserver in a folder of their own, and takes everything away again."""

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sandbox.cluster import audit, control_plane, files, rollouts
from sandbox.cluster.process import CONTROL_PLANE, Background, free_ports
from sandbox.programs.build import ensure
from sandbox.programs.cache import SandboxError
from sandbox.programs.catalogue import CORE, ROLLOUTS

READY_SECONDS = 60.0
TRIES = 3
"""A port that was free may be taken a moment later; then everything is started again on others."""

NO_STATUS = "accessor error: <nil> is of the type <nil>"
"""kubectl wait gives up on an object whose status has not been written at all yet, such as a CRD of just now."""
NO_STATUS_TRIES = 50


@dataclass(slots=True)
class LocalCluster:
    """A running cluster. Use as a context manager, or call `stop`."""

    folder: Path
    url: str
    kubeconfig: Path
    token: str
    etcd: Background
    api_server: Background
    _certificate: Path
    controllers: list[Background] = field(default_factory=list)
    """What `rollouts` has added, in the order of their start."""
    _stopped: bool = field(default=False)

    @classmethod
    def start(cls, *, with_rollouts: bool = False) -> "LocalCluster":
        """Build what is missing, start a cluster and wait until it is ready.

        With Rollouts: also Argo Rollouts' controller, kube-controller-manager, and kwok, which plays the pods.

        Raises:
            SandboxError: it cannot be built or started; the message says what to do.
        """
        programs = ensure((*CORE, *ROLLOUTS) if with_rollouts else CORE)
        cluster = cls._started_somewhere(programs)
        if with_rollouts:
            try:
                rollouts.add_to(cluster, programs)
            except BaseException:
                cluster.stop()
                raise
        return cluster

    @classmethod
    def _started_somewhere(cls, programs: dict[str, Path]) -> "LocalCluster":
        for attempt in range(1, TRIES + 1):
            folder = Path(tempfile.mkdtemp(prefix="dora-cluster-"))
            try:
                return _started(programs, folder)
            except BaseException as error:
                shutil.rmtree(folder, ignore_errors=True)
                if (
                    not isinstance(error, SandboxError)
                    or "address already in use" not in str(error)
                    or attempt == TRIES
                ):
                    raise
        raise AssertionError("unreachable")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def audit_log(self) -> Path:
        """One JSON object a line for each request that the API server answered."""
        return self.folder / "audit.log"

    def audited(self, **wanted: str) -> list[dict[str, Any]]:
        """Return the audit entries with these values of `user`, `verb`, `resource` and `subresource`."""
        return [entry for entry in audit.entries(self.audit_log) if audit.matches(entry, wanted)]

    def run_kubectl(self, *arguments: str, input: str | None = None) -> subprocess.CompletedProcess[str]:  # noqa: A002
        """Run kubectl against this cluster and return what came of it."""
        beside = Path(sys.executable).with_name("kubectl")
        return subprocess.run(
            [str(beside) if beside.exists() else "kubectl", *arguments],
            env=os.environ | {"KUBECONFIG": str(self.kubeconfig)},
            input=input,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def kubectl(self, *arguments: str, input: str | None = None) -> str:  # noqa: A002 - kubectl's own word
        """Run kubectl and return what it printed.

        Raises:
            SandboxError: it failed.
        """
        result = self.run_kubectl(*arguments, input=input)
        for _ in range(NO_STATUS_TRIES):
            if result.returncode == 0 or NO_STATUS not in result.stderr:
                break
            time.sleep(0.2)
            result = self.run_kubectl(*arguments, input=input)
        if result.returncode != 0:
            raise SandboxError(f"kubectl {' '.join(arguments)}: {result.stderr.strip()}")
        return result.stdout

    def argo(self, *arguments: str) -> str:
        """Run the plugin `kubectl argo rollouts` and return what it printed.

        Raises:
            SandboxError: it failed.
        """
        program = ensure(ROLLOUTS)["kubectl-argo-rollouts"]
        command = [str(program), *arguments, "--kubeconfig", str(self.kubeconfig)]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        if result.returncode != 0:
            raise SandboxError(f"kubectl argo rollouts {' '.join(arguments)}: {result.stderr.strip()}")
        return result.stdout

    def pause_api_server(self) -> None:
        """Let the API server hang, as an overloaded one does."""
        self.api_server.signal(signal.SIGSTOP)

    def resume_api_server(self) -> None:
        """Let it go on."""
        self.api_server.signal(signal.SIGCONT)

    def kill_api_server(self) -> None:
        """Crash the API server."""
        self.api_server.kill()

    def restart_api_server(self) -> None:
        """Start a crashed API server again, on the same port and data."""
        self.api_server = Background.start("kube-apiserver", self.api_server.command, self.folder, CONTROL_PLANE)
        self.api_server.wait_until(self._ready, READY_SECONDS)

    def stop(self) -> None:
        """End all programs and remove the folder. Safe to call twice."""
        if self._stopped:
            return
        self._stopped = True
        atexit.unregister(self.stop)
        for controller in reversed(self.controllers):
            controller.kill()  # they have nothing to save, and are slow to say goodbye
        self.api_server.stop()
        self.etcd.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _ready(self) -> bool:
        return control_plane.answers(f"{self.url}/readyz", self._certificate, self.token)


def _started(programs: dict[str, Path], folder: Path) -> LocalCluster:
    client_port, peer_port, api_port = free_ports(3)
    endpoint, url = f"http://127.0.0.1:{client_port}", f"https://127.0.0.1:{api_port}"
    started: list[Background] = []
    try:
        command = control_plane.etcd_command(programs["etcd"], folder, endpoint, peer_port)
        etcd = Background.start("etcd", command, folder, CONTROL_PLANE)
        started.append(etcd)
        tokens, token = files.write_tokens(folder)
        command = control_plane.api_server_command(programs["kube-apiserver"], folder, endpoint, api_port, tokens)
        api_server = Background.start("kube-apiserver", command, folder, CONTROL_PLANE)
        started.append(api_server)
        certificate = folder / "certificates" / "apiserver.crt"
        api_server.wait_until(lambda: control_plane.answers(f"{url}/readyz", certificate, token), READY_SECONDS)
    except BaseException:
        for program in reversed(started):
            program.kill()
        raise
    kubeconfig = files.write_kubeconfig(folder, url, certificate, token)
    cluster = LocalCluster(folder, url, kubeconfig, token, etcd, api_server, certificate)
    atexit.register(cluster.stop)
    return cluster
