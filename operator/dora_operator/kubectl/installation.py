"""The operator's Deployment in a cluster: where it runs, which image, and with which settings.

The settings decide what Rollouts mean, so `explain` and `backfill` read them from the Deployment's environment.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from dora_operator.domain.fields import API_VERSION, GROUP
from dora_operator.kubectl.cluster import Cluster
from dora_operator.kubectl.errors import ClusterError, NotFoundError
from dora_operator.kubectl.facts import default_settings, settings_of
from dora_operator.settings import Settings

SELECTOR = "app.kubernetes.io/name=dora-operator"
CONTAINER = "operator"


@dataclass(frozen=True, slots=True)
class Installation:
    """One Deployment of the operator."""

    namespace: str
    name: str
    version: str
    """Tag of the image."""
    replicas: int
    ready: int
    settings: Settings
    problem: str = ""
    """Why the settings are the defaults."""

    @property
    def title(self) -> str:
        """Name for people."""
        return f"{self.namespace}/{self.name}"


def read_installation(deployment: Mapping[str, Any]) -> Installation:
    """Read the operator's Deployment."""
    metadata, spec, status = deployment["metadata"], deployment["spec"], deployment.get("status") or {}
    containers = spec["template"]["spec"]["containers"]
    container = next((each for each in containers if each["name"] == CONTAINER), containers[0])
    given = {each["name"]: each["value"] for each in container.get("env") or () if "value" in each}
    try:
        settings, problem = settings_of(given), ""
    except ValidationError as error:
        settings = default_settings()
        problem = f"its settings are invalid: {error.errors(include_input=False)[0]['msg']}"
    return Installation(
        namespace=metadata["namespace"],
        name=metadata["name"],
        version=_tag(container["image"]),
        replicas=spec.get("replicas", 1),
        ready=status.get("readyReplicas") or 0,
        settings=settings,
        problem=problem,
    )


async def find_installations(cluster: Cluster) -> list[Installation]:
    """Return the operators of the cluster, or of the namespace where more may not be listed."""
    what = "the operator's Deployment"
    try:
        found = await cluster.list("/apis/apps/v1/deployments", what, labelSelector=SELECTOR)
    except ClusterError as error:
        if error.status != 403:  # noqa: PLR2004 - Forbidden
            raise
        path = f"/apis/apps/v1/namespaces/{cluster.namespace}/deployments"
        try:
            found = await cluster.list(path, what, labelSelector=SELECTOR)
        except ClusterError:
            return []
    return [read_installation(each) for each in found]


async def served_versions(cluster: Cluster) -> list[str]:
    """Return the versions of the CRD that the API server serves."""
    try:
        group = await cluster.get(f"/apis/{GROUP}", f"API group {GROUP}")
    except NotFoundError:
        return []
    return [each["groupVersion"] for each in group.get("versions") or ()]


def is_served(versions: list[str]) -> bool:
    """Return whether the API server serves the version that this package knows."""
    return API_VERSION in versions


def _tag(image: str) -> str:
    name = image.partition("@")[0]
    tag = name.rpartition(":")[2]
    return tag if ":" in name and "/" not in tag else "latest"
