"""The local cluster itself: alone in its folder, gone when it should be gone, and able to suffer."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sandbox.cluster import LocalCluster
from sandbox.programs.cache import SandboxError

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]


def processes_of(folder: Path) -> list[str]:
    """Return the command lines that speak of a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode(errors="replace")
        except OSError:
            continue  # it ended during the search
        if str(folder) in words:
            found.append(words)
    return found


def wait_until_gone(folder: Path, seconds: float = 10) -> None:
    """Wait until no process of a cluster is left."""
    deadline = time.monotonic() + seconds
    while processes_of(folder):
        assert time.monotonic() < deadline, processes_of(folder)
        time.sleep(0.05)


def test_two_clusters_know_nothing_of_each_other(cluster: LocalCluster) -> None:
    """What is made in one is not seen in the other, and ending one leaves the other alone."""
    with LocalCluster.start() as other:
        other.kubectl("create", "namespace", "only-here")
        with pytest.raises(SandboxError, match="not found"):
            cluster.kubectl("get", "namespace", "only-here")
        folder = other.folder
        assert processes_of(folder)
    wait_until_gone(folder)
    assert not folder.exists()
    assert "default" in cluster.kubectl("get", "namespaces")


@pytest.mark.parametrize(
    ("number", "code", "cleaned"),
    [
        pytest.param(signal.SIGINT, 130, True, id="Ctrl-C"),
        pytest.param(signal.SIGTERM, 143, True, id="SIGTERM"),
        pytest.param(signal.SIGKILL, -9, False, id="SIGKILL, where nobody can clean the folder"),
    ],
)
def test_nothing_is_left_running(number: signal.Signals, code: int, *, cleaned: bool) -> None:
    """However `make cluster` ends, no process of it stays."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "sandbox.cluster"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    said = next(line for line in lines if "export KUBECONFIG=" in line)
    found = re.search(r"KUBECONFIG=(\S+)", said)
    assert found is not None
    folder = Path(found.group(1)).parent
    assert len(processes_of(folder)) == 2
    os.kill(process.pid, number)
    assert process.wait(20) == code
    process.stdout.close()
    wait_until_gone(folder)
    assert folder.exists() is not cleaned


def test_a_crashed_api_server_comes_back_with_its_data() -> None:
    """SIGKILL and a new start on the same port: what was stored is there."""
    with LocalCluster.start() as own:
        own.kubectl("create", "namespace", "kept")
        own.kill_api_server()
        assert own.run_kubectl("get", "namespace", "kept").returncode != 0
        own.restart_api_server()
        assert "kept" in own.kubectl("get", "namespaces")


def test_a_paused_api_server_answers_nothing() -> None:
    """SIGSTOP: requests hang; SIGCONT: they go on."""
    with LocalCluster.start() as own:
        own.pause_api_server()
        hanging = own.run_kubectl("get", "namespaces", "--request-timeout=1s")
        assert hanging.returncode != 0
        own.resume_api_server()
        assert "default" in own.kubectl("get", "namespaces")


def test_the_audit_log_counts_writes(cluster: LocalCluster) -> None:
    """Each write of a client is one entry."""
    cluster.kubectl("create", "namespace", "audited")
    assert len(cluster.audited(verb="create", resource="namespaces", name="audited")) == 1


def test_a_cluster_that_cannot_start_shows_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the program's last words, and nothing of it is left."""
    for name in ("etcd", "kube-apiserver"):
        (tmp_path / name).write_text("#!/bin/sh\necho a library is missing\nexit 3\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with pytest.raises(SandboxError, match=r"(?s)ended with 3.*a library is missing"):
        LocalCluster.start()
