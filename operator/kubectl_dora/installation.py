"""The operator's Deployment in a cluster: where it runs, which image, and with which settings.

The settings decide what Rollouts mean, so `explain` and `backfill` read them from the Deployment's environment.
"""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError
from pydantic_settings import PydanticBaseSettingsSource

from dora_operator.domain.fields import GROUP
from dora_operator.settings import Settings
from kubectl_dora.cluster import Cluster, open_cluster
from kubectl_dora.errors import CommandError, NotFoundError, RefusedError, UsageError
from kubectl_dora.options import Options

SELECTOR = "app.kubernetes.io/name=dora-operator"
CONTAINER = "operator"
ALIASES = {"DD_SITE": "site"}
PREFIX = "DORA_OPERATOR_"
EXEC_SECONDS = 300.0


class _GivenSettings(Settings):
    """Settings from values alone: the environment of this process says nothing about the operator's."""

    @classmethod
    def settings_customise_sources(  # type: ignore[override]
        cls,
        _: type[Settings],
        init_settings: PydanticBaseSettingsSource,
        **_others: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing but the arguments."""
        return (init_settings,)


def settings_of(environment: Mapping[str, str]) -> Settings:
    """Return the settings that an operator with this environment has. Keys are left out.

    Raises:
        ValidationError: the operator would not start with it.
    """
    values = {ALIASES[name]: value for name, value in environment.items() if name in ALIASES and value}
    values |= {
        name.removeprefix(PREFIX).lower(): value for name, value in environment.items() if name.startswith(PREFIX)
    }
    return _GivenSettings(**values)  # type: ignore[arg-type]  # pydantic reads the texts


def own_settings() -> Settings:
    """Return the settings of this process's environment.

    Raises:
        CommandError: the operator would not start with them.
    """
    try:
        return Settings()
    except ValidationError as error:
        subject, words = problem_of(error)
        fix = "correct the environment; the reference of the settings lists what is allowed"
        raise CommandError(subject, words, fix) from None


_WORDS = {
    "int_parsing": "it is no whole number",
    "float_parsing": "it is no number",
    "bool_parsing": "it is neither true nor false",
    "url_parsing": "it is no URL",
}


def problem_of(error: ValidationError) -> tuple[str, str]:
    """Return the variable that is set wrong, and why, without the value: it may be a key."""
    problem = error.errors(include_input=False, include_url=False)[0]
    name = str(next(iter(problem["loc"]), ""))
    variable = name if name.isupper() or not name else f"{PREFIX}{name.upper()}"
    context = problem.get("ctx") or {}
    if "expected" in context:
        words = f"it is none of {context['expected']}"
    else:
        words = _WORDS.get(problem["type"]) or str(context.get("error") or problem["msg"]).lower()
    return f"the setting {variable}".rstrip(), words


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


@dataclass(frozen=True, slots=True)
class Installations:
    """The operators that could be found."""

    found: Sequence[Installation] = ()
    problem: str = ""
    """Why Deployments could not be listed. Then nothing is known about an operator."""

    def watching(self, namespace: str | None) -> Installation | None:
        """Return the operator whose settings count: of several, the first that watches the namespace."""
        watching = [one for one in self.found if not one.settings.namespaces or namespace in one.settings.namespaces]
        return next(iter([*watching, *self.found]), None)


def read_installation(deployment: Mapping[str, Any]) -> Installation:
    """Read the operator's Deployment."""
    spec, status = deployment["spec"], deployment.get("status") or {}
    containers = spec["template"]["spec"]["containers"]
    container = next((each for each in containers if each["name"] == CONTAINER), containers[0])
    given = {each["name"]: each["value"] for each in container.get("env") or () if "value" in each}
    try:
        settings, problem = settings_of(given), ""
    except ValidationError as error:
        settings, problem = settings_of({}), "its settings are invalid: {}: {}".format(*problem_of(error))
    return Installation(
        namespace=deployment["metadata"]["namespace"],
        name=deployment["metadata"]["name"],
        version=_tag(container["image"]),
        replicas=spec.get("replicas", 1),
        ready=status.get("readyReplicas") or 0,
        settings=settings,
        problem=problem,
    )


async def find_installations(cluster: Cluster) -> Installations:
    """Return the operators of the cluster, or of the namespace where more may not be listed."""
    what, problem = "the operator's Deployment", ""
    for path in ("/apis/apps/v1/deployments", f"/apis/apps/v1/namespaces/{cluster.namespace}/deployments"):
        try:
            found = await cluster.list(path, what, labelSelector=SELECTOR)
        except RefusedError as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            problem = problem or f"this login may not list Deployments: {error.cause}"
        else:
            return Installations([read_installation(each) for each in found], problem if not found else "")
    return Installations(problem=problem)


def run_in_pod(
    options: Options, installation: Installation, command: Sequence[str], given: str = ""
) -> tuple[str, str]:
    """Run a program in the operator's pod, with its keys, network and ServiceAccount. Return what it printed."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise UsageError("kubectl", "it is not on PATH, and `kubectl exec` is needed", "install it, or use --local")
    target = [*(["-i"] if given else []), "-n", installation.namespace, f"deploy/{installation.name}", "-c", CONTAINER]
    words = [kubectl, "exec", *options.for_kubectl, *target, "--", *command]
    try:
        done = subprocess.run(  # noqa: S603 - kubectl
            words, input=given, capture_output=True, text=True, timeout=EXEC_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return "", f"no end after {EXEC_SECONDS:.0f} s"
    return done.stdout, done.stderr


async def read_versions(options: Options) -> dict[str, Any]:
    """Return the versions of the operators, and of the CRD that the API server serves."""
    async with open_cluster(options) as cluster:
        installations = await find_installations(cluster)
        try:
            group = await cluster.document(f"/apis/{GROUP}", f"API group {GROUP}")
            served = ", ".join(each["groupVersion"] for each in group.get("versions") or ()) or "unknown"
        except NotFoundError:
            served = "not installed"
    operators = [f"{each.version} ({each.title})" for each in installations.found]
    if not operators and installations.problem:
        operators = [f"unknown: {installations.problem}"]
    return {"operators": operators, "crd": served}


def _tag(image: str) -> str:
    name = image.partition("@")[0]
    tag = name.rpartition(":")[2]
    return tag if ":" in name and "/" not in tag else "latest"
