"""What a cluster needs beside its API server so that Rollouts live in it: controllers, and pods without kubelets.

kwok plays the pods' lives; one Node is enough, and pods name it themselves, so no scheduler runs.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.cluster.process import CONTROL_PLANE, Background, free_ports
from sandbox.programs.build import ensure_manifests
from sandbox.programs.cache import SandboxError

if TYPE_CHECKING:
    from sandbox.cluster.local import LocalCluster

NODE = "sandbox-node"
READY_SECONDS = 60.0
CONTROLLERS = (
    "replicaset-controller,deployment-controller,garbage-collector-controller,namespace-controller,"
    "clusterrole-aggregation-controller"
)


def pace(step: str) -> dict[str, str]:
    """Return the annotations by which a pod's life goes so fast; without them kwok takes seconds for each step."""
    stages = [f"pod-{stage}.stage.kwok.x-k8s.io" for stage in ("create", "ready", "delete")]
    return {f"{stage}/{word}": step for stage in stages for word in ("delay", "jitter-delay")}


def add_to(cluster: "LocalCluster", programs: dict[str, Path]) -> None:
    """Start everything that Rollouts need in a running cluster, and wait until it works.

    Raises:
        SandboxError: something does not start; the message shows its last words.
    """
    manifests = ensure_manifests()
    install_crds(cluster)
    commands = {
        "kube-controller-manager": _controller_manager(cluster, programs),
        "kwok": _kwok(cluster, programs, manifests["kwok-stages"]),
        "rollouts-controller": _rollouts_controller(cluster, programs),
    }
    for name, command in commands.items():
        cluster.controllers.append(Background.start(name, command, cluster.folder, CONTROL_PLANE))
    cluster.kubectl("create", "-f", "-", input=json.dumps(_node()))
    _wait(cluster, lambda: _node_is_ready(cluster), f"Node {NODE} is not ready")


KINDS = ("rollouts", "experiments", "analysisruns", "analysistemplates", "clusteranalysistemplates")


def install_crds(cluster: "LocalCluster") -> None:
    """Apply the CRDs of Argo Rollouts, and wait until they are served."""
    folder = ensure_manifests()["argo-rollouts-crds"]
    cluster.kubectl("apply", "--server-side", "-R", "-f", str(folder))
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")


def remove_crds(cluster: "LocalCluster") -> None:
    """Take the CRDs of Argo Rollouts away, with every Rollout."""
    # An API server that has never listed a kind may fail to list it when it deletes it, and tries again minutes later.
    cluster.kubectl("get", "-A", ",".join(f"{name}.argoproj.io" for name in KINDS))
    cluster.kubectl("delete", "-R", "-f", str(ensure_manifests()["argo-rollouts-crds"]), "--wait=true")


def _controller_manager(cluster: "LocalCluster", programs: dict[str, Path]) -> tuple[str, ...]:
    return (
        str(programs["kube-controller-manager"]),
        f"--kubeconfig={cluster.kubeconfig}",
        f"--controllers={CONTROLLERS}",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    )


def _kwok(cluster: "LocalCluster", programs: dict[str, Path], stages: Path) -> tuple[str, ...]:
    (port,) = free_ports(1)
    return (
        str(programs["kwok"]),
        f"--kubeconfig={cluster.kubeconfig}",
        "--manage-all-nodes=true",
        f"--server-address=127.0.0.1:{port}",
        *(f"--config={file}" for file in sorted(stages.rglob("*.yaml"))),
    )


def _rollouts_controller(cluster: "LocalCluster", programs: dict[str, Path]) -> tuple[str, ...]:
    metrics, health = free_ports(2)
    return (
        str(programs["rollouts-controller"]),
        f"--kubeconfig={cluster.kubeconfig}",
        "--leader-elect=false",
        f"--metricsport={metrics}",
        f"--healthzPort={health}",
        "--qps=200",
        "--burst=400",
    )


def _node() -> dict[str, object]:
    capacity = {"cpu": "1k", "memory": "1Ti", "pods": "10k"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NODE},
        "status": {"allocatable": capacity, "capacity": capacity},
    }


def _node_is_ready(cluster: "LocalCluster") -> bool:
    path = '{.status.conditions[?(@.type=="Ready")].status}'
    return cluster.kubectl("get", "node", NODE, "-o", f"jsonpath={path}") == "True"


def _wait(cluster: "LocalCluster", ready: Callable[[], bool], words: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not ready():
        for program in cluster.controllers:
            if program.popen.poll() is not None:
                raise SandboxError(f"{program.name} ended; its last words:\n{program.last_words()}")
        if time.monotonic() > deadline:
            raise SandboxError(
                f"{words} after {READY_SECONDS:.0f} s; kwok's last words:\n{cluster.controllers[1].last_words()}"
            )
        time.sleep(0.1)
