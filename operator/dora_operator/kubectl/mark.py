"""`kubectl dora mark` and `clear`: write a DoraDeployment, and follow it until Datadog has answered.

The tool never calls Datadog: the operator sends what the resource says.
"""

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass
from enum import Enum
from typing import Any

from dora_operator.domain.resource import ConditionStatus, ConditionType, DoraDeployment, parse
from dora_operator.domain.rollout.observation import parse_replica_sets, parse_rollout
from dora_operator.kubectl import output
from dora_operator.kubectl.cluster import Cluster, open_cluster
from dora_operator.kubectl.errors import CommandError, ExitCode, NotFoundError, UsageError
from dora_operator.kubectl.explain_view import rollout_name
from dora_operator.kubectl.gather import (
    DEPLOYMENTS,
    ROLLOUTS,
    collection,
    for_deployment,
    list_deployments,
    list_replica_sets,
)
from dora_operator.kubectl.marks import (
    Change,
    Create,
    Nothing,
    Step,
    Wanted,
    for_git,
    next_step,
    remediation_from_flags,
    selector_from_flags,
    selector_of,
)
from dora_operator.kubectl.options import DryRun, Options

POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class DeploymentFlags:
    """Which deployment: a revision of a Rollout, or by id, or by service, env and version."""

    rollout: str | None = None
    revision: int | None = None
    deployment_id: str | None = None
    service: str | None = None
    env: str | None = None
    version: str | None = None

    @property
    def rollout_name(self) -> str | None:
        """Name of the Rollout.

        Raises:
            UsageError: the flags contradict each other.
        """
        if self.rollout is None:
            if self.revision is not None:
                raise UsageError("--revision", "there is no Rollout that it could be of", "name it: rollout/NAME")
            return None
        others = (self.deployment_id, self.service, self.env, self.version)
        if any(each is not None for each in others):
            fix = "give rollout/NAME alone, or --id, or --service, --env and --version"
            raise UsageError(self.rollout, "the deployment is named twice", fix)
        name = rollout_name(self.rollout)
        if name is None:
            raise UsageError(self.rollout, "it is no Rollout", f"write rollout/{self.rollout}")
        return name


@dataclass(frozen=True, slots=True)
class MarkFlags:
    """What should be known about the deployment."""

    failure: bool
    rolled_back_to: str | None = None
    rolled_forward_to: str | None = None


@dataclass(frozen=True, slots=True)
class WriteFlags:
    """How it is written."""

    name: str | None = None
    dry_run: DryRun = DryRun.NONE
    wait_seconds: int | None = None


class Progress(Enum):
    """How far the operator is with a resource."""

    GOES_ON = "goes on"
    READY = "ready"
    ENDED = "ended"


def run(options: Options, deployment: DeploymentFlags, mark: MarkFlags, writing: WriteFlags) -> int:
    """Write the resource."""
    if writing.wait_seconds is not None and (options.output is not None or writing.dry_run is not DryRun.NONE):
        raise UsageError("--wait", "nothing is written that could be waited for", "leave out --wait, -o and --dry-run")
    name, named, link = (
        deployment.rollout_name,
        None,
        remediation_from_flags(mark.rolled_back_to, mark.rolled_forward_to),
    )
    if name is None:
        flags = deployment
        named = selector_from_flags(flags.deployment_id, flags.service, flags.env, flags.version)

    async def write() -> int:
        async with open_cluster(options) as cluster:
            selector = named or await _selector_of_rollout(cluster, name or "", deployment.revision)
            deployments = await list_deployments(cluster, cluster.namespace, for_deployment(selector))
            step = next_step(Wanted(selector, mark.failure, link), cluster.namespace, deployments, writing.name)
            if options.output is not None:
                output.show_document(await _for_git(cluster, step), options.output)
                return ExitCode.OK
            written = await _write(cluster, step, writing.dry_run)
            return await _wait(cluster, written, writing.wait_seconds) if writing.wait_seconds else ExitCode.OK

    return asyncio.run(write())


async def _selector_of_rollout(cluster: Cluster, name: str, revision: int | None) -> dict[str, str]:
    what = f"Rollout {cluster.namespace}/{name}"
    body = await cluster.get(f"{collection(ROLLOUTS, cluster.namespace, 'rollouts')}/{name}", what)
    rollout = parse_rollout(body)
    replica_sets = parse_replica_sets(rollout.uid, await list_replica_sets(cluster, rollout))
    wanted = rollout.revision if revision is None else revision
    found = next((each for each in replica_sets if wanted in each.numbers), None)
    if found is None:
        known = sorted(number for each in replica_sets for number in each.numbers)
        fix = f"give --revision with one of {', '.join(map(str, known)) or 'none'}, or name the deployment by its tags"
        raise NotFoundError(f"revision {wanted} of {what}", fix, "there is no ReplicaSet of it")
    return selector_of(found.identity, f"revision {wanted} of {what}")


async def _for_git(cluster: Cluster, step: Step) -> dict[str, Any]:
    if isinstance(step, Create):
        return step.manifest
    body = await cluster.get(_path(step.deployment), _what(step.deployment))
    return for_git(body, step.spec if isinstance(step, Change) else None)


async def _write(cluster: Cluster, step: Step, dry_run: DryRun) -> str:
    """Write, say what was done, and return the name of the resource."""
    suffix = f" ({dry_run.value} dry run)" if dry_run is not DryRun.NONE else ""
    on_server = dry_run is DryRun.SERVER
    if isinstance(step, Nothing):
        return _said(step.deployment.key.name, "unchanged", suffix)
    if isinstance(step, Create):
        metadata = step.manifest["metadata"]
        if dry_run is not DryRun.CLIENT:
            path = collection(DEPLOYMENTS, metadata["namespace"], "doradeployments")
            what = f"DoraDeployment {metadata['namespace']}/{metadata['name']}"
            await cluster.create(path, step.manifest, what, dry_run=on_server)
        return _said(metadata["name"], "created", suffix)
    if dry_run is not DryRun.CLIENT:
        # The version makes the API server refuse the patch where somebody else was faster.
        found = step.deployment
        body = {"metadata": {"uid": found.uid, "resourceVersion": found.resource_version}, "spec": step.spec}
        await cluster.patch(_path(found), body, _what(found), dry_run=on_server)
    return _said(step.deployment.key.name, "changed", suffix)


def _said(name: str, verb: str, suffix: str) -> str:
    output.show_lines([f"doradeployment.dora-operator.io/{name} {verb}{suffix}"])
    return name


async def _wait(cluster: Cluster, name: str, seconds: int) -> int:
    """Follow a resource to its end."""
    path = f"{collection(DEPLOYMENTS, cluster.namespace, 'doradeployments')}/{name}"
    what = f"DoraDeployment {cluster.namespace}/{name}"
    screen = output.console(stderr=True)
    deployment: DoraDeployment | None = None
    with screen.status("waiting for the operator") if screen.is_terminal else nullcontext() as spinner:
        try:
            async with asyncio.timeout(seconds):
                while True:
                    deployment = parse(await cluster.get(path, what))
                    state, text = progress(deployment)
                    if state is not Progress.GOES_ON:
                        break
                    if spinner is not None:
                        spinner.update(output.clean(text))
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            text = progress(deployment)[1] if deployment is not None else "it could not be read"
            fix = f"`kubectl dora explain {name} -n {cluster.namespace}` says more; --timeout waits longer"
            raise CommandError(what, f"not ready after {seconds} s: {text}", fix, ExitCode.TIMEOUT) from None
    if state is Progress.ENDED:
        raise CommandError(what, text, f"see `kubectl dora explain {name} -n {cluster.namespace}`")
    output.show_lines([f"{what}: {text}"])
    return ExitCode.OK


def progress(deployment: DoraDeployment) -> tuple[Progress, str]:
    """Return how far the operator is with the newest spec of a resource, in its own words."""
    status = deployment.status
    ready, stalled = status.condition(ConditionType.READY), status.condition(ConditionType.STALLED)
    if ready is None or status.observed_generation != deployment.generation:
        return Progress.GOES_ON, "the operator has not acted on it yet"
    text = f"{ready.reason}: {ready.message}"
    if ready.status is ConditionStatus.TRUE:
        return Progress.READY, text
    reconciling = status.condition(ConditionType.RECONCILING)
    is_held = reconciling is not None and reconciling.status is ConditionStatus.FALSE
    is_stalled = stalled is not None and stalled.status is ConditionStatus.TRUE
    return (Progress.ENDED if is_stalled or is_held else Progress.GOES_ON), text


def _path(deployment: DoraDeployment) -> str:
    return f"{collection(DEPLOYMENTS, deployment.key.namespace, 'doradeployments')}/{deployment.key.name}"


def _what(deployment: DoraDeployment) -> str:
    return f"DoraDeployment {deployment.key}"
