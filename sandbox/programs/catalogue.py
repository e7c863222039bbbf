"""Which programs there are, and under which names the cache keeps them. Pure but for reading their modules."""

import hashlib
import platform
from dataclasses import dataclass
from pathlib import Path

MODULE_FOLDER = Path(__file__).parent
KUBERNETES_VERSION = "v1.37.2"
OLDEST_KUBERNETES_VERSION = "v1.33.13"
"""The versions of go.mod and oldest/go.mod: the newest and the oldest minor version that is supported."""


def _linker_flags(version: str) -> str:
    """Return flags that set the version, without which kube-apiserver reports one that kubectl cannot parse."""
    return f"-s -w -X k8s.io/component-base/version.gitVersion={version}"


LINKER_FLAGS = _linker_flags(KUBERNETES_VERSION)


@dataclass(frozen=True, slots=True)
class Program:
    """A program and the Go package that it is built from."""

    name: str
    package: str
    seconds: int
    """Usual time of a cold build on 2 cores, after those before it in the catalogue."""
    module: str = "."
    """Folder of its Go module: below this one, or absolute where the program is written here, beside its user.

    Programs whose dependencies do not go together have one each.
    """
    linker_flags: str = LINKER_FLAGS


CORE = (
    Program("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", 310),
    Program("etcd", "go.etcd.io/etcd/server/v3", 10),
)
ROLLOUTS = (
    Program("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager", 90),
    Program("rollouts-controller", "github.com/argoproj/argo-rollouts/cmd/rollouts-controller", 65),
    Program("kwok", "sigs.k8s.io/kwok/cmd/kwok", 10),
    Program("kubectl-argo-rollouts", "github.com/argoproj/argo-rollouts/cmd/kubectl-argo-rollouts", 20),
)
OLDEST = {
    name: Program(name, f"k8s.io/kubernetes/cmd/{name}", seconds, "oldest", _linker_flags(OLDEST_KUBERNETES_VERSION))
    for name, seconds in (("kube-apiserver", 300), ("kube-controller-manager", 90))
}
"""The same programs in the oldest supported version, which DORA_OPERATOR_KUBERNETES=oldest chooses."""
PROMTOOL = Program("promtool", "github.com/prometheus/prometheus/cmd/promtool", 210, "promtool")
"""For `make compat`: it tests the alert rules."""
HELM = Program("helm", "helm.sh/helm/v4/cmd/helm", 120, "helm")
"""For the tests of the chart alone; no cluster needs it."""
ACTIONLINT = Program("actionlint", "github.com/rhysd/actionlint/cmd/actionlint", 10, "lint")
"""For `make check`: it reads .github/workflows."""
CHART_LINTERS = (
    Program("kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform", 10, "lint"),
    Program("kube-score", "github.com/zegl/kube-score/cmd/kube-score", 15, "lint"),
)
"""For the tests of the chart alone."""
ARGO_CD = Program("argo-cd", ".", 420, "argocd")
"""For `make gitops-test`: Argo CD's application controller and repository server, and the cache that they share."""


@dataclass(frozen=True, slots=True)
class Manifests:
    """Files that a module brings along and the cluster needs: copied before the module cache is dropped."""

    name: str
    module: str
    patterns: tuple[str, ...]
    folder: str = "."
    """Folder of the Go module that says which version, below this one."""


MANIFESTS = (
    Manifests("argo-rollouts-crds", "github.com/argoproj/argo-rollouts", ("manifests/crds/*-crd.yaml",)),
    Manifests(
        "kwok-stages",
        "sigs.k8s.io/kwok",
        (
            "kustomize/stage/node/fast/node-initialize.yaml",
            "kustomize/stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
            "kustomize/stage/pod/general/pod-*.yaml",
        ),
    ),
)


GITOPS = (
    Manifests(
        "argo-cd-crds",
        "github.com/argoproj/argo-cd/v3",
        ("manifests/crds/application-crd.yaml", "manifests/crds/appproject-crd.yaml"),
        "argocd",
    ),
    Manifests("flux-kustomize-crds", "github.com/fluxcd/kustomize-controller", ("config/crd/bases/*.yaml",), "gitops"),
    Manifests(
        "flux-source-crds",
        "github.com/fluxcd/source-controller",
        ("config/crd/bases/source.toolkit.fluxcd.io_gitrepositories.yaml",),
        "gitops",
    ),
)
"""For the tests of documentation and gitops/ alone; no cluster needs them. 60 MB are fetched, 0.5 MB is kept."""
ARGO_CD_FILES = Manifests(
    "argo-cd-files",
    "github.com/argoproj/argo-cd/v3",
    ("manifests/base/config/argocd-*.yaml", "hack/git-verify-wrapper.sh"),
    "argocd",
)
"""The settings of an installation of Argo CD, and a script that its repository server finds on PATH."""


MONITORING = (
    Manifests(
        "prometheus-operator-crds",
        "github.com/prometheus-operator/prometheus-operator",
        tuple(
            f"example/prometheus-operator-crd/monitoring.coreos.com_{plural}.yaml"
            for plural in ("servicemonitors", "podmonitors", "prometheusrules")
        ),
        "monitoring",
    ),
)
"""For the tests of the chart alone; no cluster needs them."""


def cache_key(name: str, *inputs: str, module: str = ".") -> str:
    """Return the folder name under which something is kept; other inputs, such as a toolchain, give another one."""
    digest = hashlib.sha256()
    for part in (name, *inputs, LINKER_FLAGS, platform.system(), platform.machine()):
        digest.update(part.encode() + b"\0")
    folder = MODULE_FOLDER / module
    for file in ("go.mod", "go.sum"):
        digest.update((folder / file).read_bytes())
    nested = {file.parent for file in folder.rglob("go.mod")} - {folder}  # a folder with a go.mod is another module
    for source in sorted(folder.rglob("*.go")):  # a module that only names others has none
        if nested.isdisjoint(source.parents):
            digest.update(source.relative_to(folder).as_posix().encode() + b"\0" + source.read_bytes())
    return f"{name}-{digest.hexdigest()[:16]}"
