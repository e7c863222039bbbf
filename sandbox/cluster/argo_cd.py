"""Argo CD on a local cluster: its application controller and repository server, with a release's CRDs and settings.

`make gitops-test` builds them. There is no API server of Argo CD and no user interface: kubectl reads and writes the
Applications, and the controller stores the health of each resource in them (`--persist-resource-health`).
"""

import json
import os
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sandbox import loopback
from sandbox.cluster import LocalCluster
from sandbox.cluster.process import CONTROL_PLANE, Background, free_ports
from sandbox.programs.build import ensure, ensure_manifests
from sandbox.programs.catalogue import ARGO_CD, ARGO_CD_FILES, GITOPS

NAMESPACE = "argocd"
READY_SECONDS = 60.0
DEFAULT_PROJECT = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "AppProject",
    "metadata": {"name": "default"},
    "spec": {
        "sourceRepos": ["*"],
        "destinations": [{"namespace": "*", "server": "*"}],
        "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
    },
}
"""Argo CD's API server creates it when it starts; there is none here."""
VERIFY = "git-verify-wrapper.sh"


@dataclass(frozen=True, slots=True)
class _Ports:
    cache: int
    repository: int
    repository_metrics: int
    controller_metrics: int


def add_to(cluster: LocalCluster) -> None:
    """Install Argo CD in a running cluster, and wait until its controller runs. It ends with the cluster.

    Raises:
        SandboxError: something does not build or start; the message shows its last words.
    """
    program = ensure((ARGO_CD,))[ARGO_CD.name]
    files = ensure_manifests((ARGO_CD_FILES,))[ARGO_CD_FILES.name]
    _install(cluster, files / "manifests")
    folder = cluster.folder / "argo-cd"
    for name in ("gpg", "tls", "ssh", "plugins", "bin"):
        (folder / name).mkdir(parents=True)
    shutil.copy(files / "hack" / VERIFY, folder / "bin" / VERIFY)
    (folder / "bin" / VERIFY).chmod(0o755)
    ports = _Ports(*free_ports(4))
    variables = CONTROL_PLANE | _variables(cluster, folder)
    probes = {
        "cache": None,
        "repo-server": ports.repository_metrics,
        "application-controller": ports.controller_metrics,
    }
    for name, port in probes.items():
        command = (str(program), *_arguments(ports)[name])
        background = Background.start(f"argo-cd-{name}", command, folder, variables)
        cluster.controllers.append(background)
        if port is not None:
            background.wait_until(partial(loopback.is_well, f"http://127.0.0.1:{port}/healthz"), READY_SECONDS)


def _install(cluster: LocalCluster, settings: Path) -> None:
    """Apply the CRDs, and the settings of a release, to the namespace that Argo CD's documentation names."""
    crds = ensure_manifests(GITOPS)["argo-cd-crds"]
    cluster.kubectl("create", "namespace", NAMESPACE)
    cluster.kubectl("apply", "--server-side", "-R", "-f", str(crds))
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    cluster.kubectl("-n", NAMESPACE, "apply", "-R", "-f", str(settings))
    cluster.kubectl("-n", NAMESPACE, "apply", "-f", "-", input=json.dumps(DEFAULT_PROJECT))


def _variables(cluster: LocalCluster, folder: Path) -> dict[str, str]:
    return {
        "KUBECONFIG": str(cluster.kubeconfig),
        "ARGOCD_FAKE_IN_CLUSTER": "true",  # https://kubernetes.default.svc is the cluster of the kubeconfig
        "ARGOCD_GPG_ENABLED": "false",
        "ARGOCD_GNUPGHOME": str(folder / "gpg"),
        "ARGOCD_TLS_DATA_PATH": str(folder / "tls"),
        "ARGOCD_SSH_DATA_PATH": str(folder / "ssh"),
        "ARGOCD_ASK_PASS_SOCK": str(folder / "ask-pass.sock"),
        "ARGOCD_PLUGINSOCKFILEPATH": str(folder / "plugins"),
        "TMPDIR": str(folder),
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }


def _arguments(ports: _Ports) -> dict[str, tuple[str, ...]]:
    cache = f"127.0.0.1:{ports.cache}"
    return {
        "cache": ("cache", cache),
        "repo-server": (
            "argocd-repo-server",
            "--address=127.0.0.1",
            f"--port={ports.repository}",
            "--metrics-address=127.0.0.1",
            f"--metrics-port={ports.repository_metrics}",
            f"--redis={cache}",
        ),
        "application-controller": (
            "argocd-application-controller",
            f"--namespace={NAMESPACE}",
            f"--repo-server=127.0.0.1:{ports.repository}",
            f"--redis={cache}",
            f"--metrics-port={ports.controller_metrics}",
            "--persist-resource-health",
            "--app-resync=10",  # seconds; by default two minutes. On a busy machine a health was seen to wait for it.
            "--app-resync-jitter=0",
        ),
    }
