"""A Git repository with `gitops/repository` in it, and what brings its commits into a cluster: Argo CD or kubectl."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sandbox.cluster import LocalCluster, argo_cd
from tests.support.gitops import GITOPS, argo_health
from tests.support.pages import blocks
from tests.support.rollouts import PATIENCE_SECONDS
from tests.support.shop import eventually

NAMESPACE = "shop"
ROLLOUT = "checkout/app/rollout.yaml"
MARKS = "checkout/dora"
APPLICATIONS = ("checkout", "checkout-dora")
URL = "https://git.example.com/platform/deployments.git"
Health = tuple[str, str]
"""What Argo CD shows for a resource, and its message."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A bare repository and a clone, in which people and CI work."""

    origin: Path
    clone: Path

    @classmethod
    def create(cls, folder: Path) -> "Repository":
        """Make the repository from `gitops/repository`."""
        one = cls(folder / "deployments.git", folder / "clone")
        _git("init", "--quiet", "--bare", "--initial-branch=main", str(one.origin), cwd=folder)
        shutil.copytree(GITOPS / "repository", one.clone)
        _git("init", "--quiet", "--initial-branch=main", cwd=one.clone)
        _git("remote", "add", "origin", str(one.origin), cwd=one.clone)
        one.commit("Begin")
        return one

    def commit(
        self, message: str, *, release: str | None = None, marks: Mapping[str, str] = {}, removed: Iterable[str] = ()
    ) -> None:
        """Push a commit: another version of the Rollout, and files of marks that come or go."""
        if release is not None:
            text = (self.clone / ROLLOUT).read_text(encoding="utf-8")
            (old,) = re.findall(r"tags\.datadoghq\.com/version: (\S+)", text)
            (self.clone / ROLLOUT).write_text(text.replace(old, release), encoding="utf-8")
        for name, text in marks.items():
            (self.clone / MARKS / f"{name}.yaml").write_text(text, encoding="utf-8")
        for name in removed:
            (self.clone / MARKS / f"{name}.yaml").unlink()
        _git("add", "--all", cwd=self.clone)
        author = ("-c", "user.name=ci", "-c", "user.email=ci@example.com")
        _git(*author, "commit", "--quiet", f"--message={message}", cwd=self.clone)
        _git("push", "--quiet", "origin", "main", cwd=self.clone)

    def head(self) -> str:
        """Return the newest commit."""
        return _git("rev-parse", "main", cwd=self.origin)


class Delivery(Protocol):
    """What brings commits into the cluster, and shows the health of what they brought."""

    @property
    def repository(self) -> Repository:
        """Where the commits are."""

    def sync(self) -> None:
        """Bring the newest commit into the cluster, and wait until it is applied."""

    def health(self, name: str) -> Health | None:
        """Return the health of a DoraDeployment of Git, or nothing where it does not exist."""


@dataclass(frozen=True, slots=True)
class ArgoCd:
    """Argo CD's own controller, set up as docs/how-to/argo-cd.md says."""

    cluster: LocalCluster
    repository: Repository

    def set_up(self) -> None:
        """Install Argo CD, add the health check, and create the Applications with another repository."""
        argo_cd.add_to(self.cluster)
        (patch,) = [block.text for block in blocks("console") if "patch configmap argocd-cm" in block.text]
        self.cluster.kubectl(*patch.replace("gitops/", f"{GITOPS}/").split()[1:])
        text = (GITOPS / "argo-cd" / "application.yaml").read_text(encoding="utf-8")
        assert text.count(URL) == len(APPLICATIONS)
        self.cluster.kubectl("apply", "-f", "-", input=text.replace(URL, f"file://{self.repository.origin}"))

    def sync(self) -> None:
        """Ask for a refresh, as a webhook of the Git server does, and wait for the automatic sync."""
        names = [f"application/{name}" for name in APPLICATIONS]
        refresh = "argocd.argoproj.io/refresh=normal"
        self.cluster.kubectl("-n", argo_cd.NAMESPACE, "annotate", *names, refresh, "--overwrite")
        eventually(lambda: all(map(self._is_synced, APPLICATIONS)), self._words, PATIENCE_SECONDS)

    def health(self, name: str) -> Health | None:
        """Return what the Application says about the resource: Argo CD's own evaluation."""
        for one in self._application("checkout-dora")["status"].get("resources", ()):
            if (one["kind"], one["name"]) == ("DoraDeployment", name):
                found = one.get("health", {})
                return found.get("status", ""), found.get("message", "")
        return None

    def _is_synced(self, name: str) -> bool:
        body = self._application(name)
        status = body.get("status", {})
        sync, operation = status.get("sync", {}), status.get("operationState", {})
        head = self.repository.head()
        refreshed = "argocd.argoproj.io/refresh" not in body["metadata"].get("annotations", {})
        applied = operation.get("phase") == "Succeeded"
        return bool(refreshed and applied and (sync.get("status"), sync.get("revision")) == ("Synced", head))

    def _application(self, name: str) -> dict[str, Any]:
        text = self.cluster.kubectl("-n", argo_cd.NAMESPACE, "get", "application", name, "-o", "json")
        found: dict[str, Any] = json.loads(text)
        return found

    def _words(self) -> str:
        found = {name: self._application(name).get("status") for name in APPLICATIONS}
        return f"not in sync with {self.repository.head()}: {json.dumps(found, indent=1)}"


@dataclass(frozen=True, slots=True)
class Kubectl:
    """`kubectl apply --server-side --prune`, with Argo CD's health check in a Lua interpreter."""

    cluster: LocalCluster
    repository: Repository

    def set_up(self) -> None:
        """Do nothing: there is nothing to install."""

    def sync(self) -> None:
        """Apply a fresh checkout of the newest commit, and prune what it no longer has."""
        checkout = self.repository.origin.with_name(f"checkout-{self.repository.head()[:12]}")
        _git("clone", "--quiet", str(self.repository.origin), str(checkout), cwd=checkout.parent)
        arguments = ("apply", "--server-side", "--prune", "--applyset=checkout", "-R", "-f", str(checkout))
        self.cluster.kubectl("-n", NAMESPACE, *arguments)

    def health(self, name: str) -> Health | None:
        """Return what health.lua says about the resource."""
        text = self.cluster.kubectl("-n", NAMESPACE, "get", "dora", name, "--ignore-not-found", "-o", "json")
        return argo_health(json.loads(text)) if text else None


def shown(name: str) -> str:
    """Return the manifest with this name that docs/how-to/argo-cd.md shows."""
    page = [block.text for block in blocks("yaml") if block.where.startswith("docs/how-to/argo-cd.md")]
    (text,) = [text for text in page if f"name: {name}\n" in text]
    return text


def _git(*arguments: str, cwd: Path) -> str:
    environment = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "PATH": os.environ["PATH"]}
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()
