"""`kubectl dora mark` and `clear`: write a DoraDeployment, and follow it until Datadog has answered.

The tool never calls Datadog: the operator sends what the resource says.
"""

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any

from dora_operator.clients.kubernetes import DEPLOYMENTS
from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.resource import ConditionStatus, ConditionType, DoraDeployment, parse
from kubectl_dora import gather, marks, output
from kubectl_dora.cluster import Cluster, open_cluster
from kubectl_dora.errors import CommandError, ExitCode, NotFoundError, UsageError
from kubectl_dora.options import Options, rollout_of

POLL_SECONDS = 0.5
CLIENT, SERVER = "client", "server"
"""Values of --dry-run, besides none."""


@dataclass(frozen=True, slots=True)
class MarkFlags:
    """The flags of `mark`, named as on the command line."""

    words: tuple[str, ...] = ()
    revision: int | None = None
    deployment_id: str | None = None
    service: str | None = None
    env: str | None = None
    version: str | None = None
    failure: bool = True
    rolled_back_to: str | None = None
    rolled_forward_to: str | None = None
    name: str | None = None
    dry_run: str = "none"
    wait: bool = False
    timeout: timedelta = timedelta(seconds=60)

    @property
    def rollout(self) -> str | None:
        """Name of the Rollout, if one names the deployment.

        Raises:
            UsageError: the flags contradict each other.
        """
        name = rollout_of(self.words)
        if name is None and self.revision is not None:
            raise UsageError("--revision", "there is no Rollout that it could be of", "name it: rollout/NAME")
        if name is not None and (self.deployment_id, self.service, self.env, self.version) != (None,) * 4:
            fix = "give rollout/NAME alone, or --id, or --service, --env and --version"
            raise UsageError(" ".join(self.words), "the deployment is named twice", fix)
        return name


class Progress(Enum):
    """How far the operator is with a resource."""

    GOES_ON = "goes on"
    READY = "ready"
    ENDED = "ended"


def run_clear(options: Options, **values: Any) -> int:  # noqa: ANN401 - MarkFlags names them
    """Mark as no failure."""
    return run(options, **values, failure=False)


def run(options: Options, **values: Any) -> int:  # noqa: ANN401 - MarkFlags names them
    """Write the resource, or print it. Everything that can be checked without a cluster is checked first."""
    flags = MarkFlags(**values)
    if flags.wait and (options.output is not None or flags.dry_run != "none"):
        raise UsageError("--wait", "nothing is written that could be waited for", "leave out --wait, -o and --dry-run")
    link = marks.remediation_from_flags(flags.rolled_back_to, flags.rolled_forward_to)
    rollout, wanted = flags.rollout, None
    if rollout is None:
        selector = marks.selector_from_flags(flags.deployment_id, flags.service, flags.env, flags.version)
        wanted = marks.Wanted(selector, flags.failure, link)
        marks.check_remediation(wanted)
        if flags.dry_run == CLIENT:
            _show(options, marks.manifest(wanted, options.namespace, flags.name))
            return ExitCode.OK
    return asyncio.run(_run(options, flags, wanted, link))


async def _run(options: Options, flags: MarkFlags, wanted: marks.Wanted | None, link: Mapping[str, str] | None) -> int:
    async with open_cluster(options) as cluster:
        if wanted is None:
            selector = await _selector_of_rollout(cluster, flags.rollout or "", flags.revision)
            wanted = marks.Wanted(selector, flags.failure, link)
            marks.check_remediation(wanted)
        if flags.dry_run == CLIENT:
            _show(options, marks.manifest(wanted, cluster.namespace, flags.name))
            return ExitCode.OK
        bodies = await gather.list_deployment_bodies(cluster, cluster.namespace)
        same = [parse(body) for body in bodies if body.get("spec", {}).get("deployment") == wanted.deployment]
        step = marks.next_step(wanted, cluster.namespace, same, flags.name)
        if options.output is not None:
            output.show_document(await _for_git(cluster, step), options.output)
            return ExitCode.OK
        key = await _write(cluster, step, dry_run=flags.dry_run == SERVER)
        return await _wait(cluster, key, flags.timeout.total_seconds()) if flags.wait else ExitCode.OK


def _show(options: Options, manifest: dict[str, Any]) -> None:
    """Print what would be created, without asking the API server."""
    if options.output is not None:
        output.show_document(manifest, options.output)
    else:
        _say(manifest["metadata"]["name"], "created (client dry run)")


async def _selector_of_rollout(cluster: Cluster, name: str, revision: int | None) -> dict[str, str]:
    what = f"Rollout {cluster.namespace}/{name}"
    rollout, replica_sets = await gather.read_revisions(cluster, name)
    wanted = rollout.number if revision is None else revision
    found = next((each for each in replica_sets if wanted in each.numbers), None)
    if found is None:
        known = sorted(number for each in replica_sets for number in each.numbers)
        fix = f"give --revision with one of {', '.join(map(str, known)) or 'none'}, or name the deployment by its tags"
        raise NotFoundError(f"revision {wanted} of {what}", "there is no ReplicaSet of it", fix)
    return marks.selector_of(found.identity, f"revision {wanted} of {what}")


async def _for_git(cluster: Cluster, step: marks.Step) -> dict[str, Any]:
    if isinstance(step, marks.Create):
        return step.manifest
    key = step.deployment.key
    return marks.for_git(
        await cluster.get(_path(key), _what(key)), step.spec if isinstance(step, marks.Change) else None
    )


async def _write(cluster: Cluster, step: marks.Step, *, dry_run: bool) -> ObjectKey:
    """Write, say what was done, and return the name of the resource."""
    suffix = " (server dry run)" if dry_run else ""
    if isinstance(step, marks.Create):
        key = ObjectKey(cluster.namespace, step.manifest["metadata"]["name"])
        await cluster.create(DEPLOYMENTS.path(key.namespace), step.manifest, _what(key), dry_run=dry_run)
        _say(key.name, f"created{suffix}")
        return key
    found = step.deployment
    if isinstance(step, marks.Change):
        # The version makes the API server refuse the patch where another user was faster.
        body = {"metadata": {"uid": found.uid, "resourceVersion": found.resource_version}, "spec": step.spec}
        await cluster.patch(_path(found.key), body, _what(found.key), dry_run=dry_run)
    _say(found.key.name, f"{'changed' if isinstance(step, marks.Change) else 'unchanged'}{suffix}")
    held = (
        [name for name, holds in (("dryRun", found.spec.dry_run), ("suspend", found.spec.suspend)) if holds]
        if found.spec
        else []
    )
    if held:
        output.show_note(f"Nothing is sent to Datadog: spec.{' and spec.'.join(held)} of {_what(found.key)} is true.")
    return found.key


def _say(name: str, done: str) -> None:
    output.show_lines([f"doradeployment.dora-operator.io/{name} {done}"])


async def _wait(cluster: Cluster, key: ObjectKey, seconds: float) -> int:
    """Follow a resource to its end."""
    screen = output.console(stderr=True)
    text = "it could not be read"
    explain = f"`kubectl dora explain {key.name} -n {key.namespace}`"
    with screen.status("waiting for the operator") if screen.is_terminal else nullcontext() as spinner:
        try:
            async with asyncio.timeout(seconds):
                while True:
                    state, text = progress(parse(await cluster.get(_path(key), _what(key))))
                    if state is not Progress.GOES_ON:
                        break
                    if spinner is not None:
                        spinner.update(output.clean(text))
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            fix = f"{explain} says more; --timeout waits longer"
            raise CommandError(_what(key), f"not ready after {seconds:g} s: {text}", fix, ExitCode.TIMEOUT) from None
    if state is Progress.ENDED:
        raise CommandError(_what(key), text, f"see {explain}")
    output.show_lines([f"{_what(key)}: {text}"])
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


def _path(key: ObjectKey) -> str:
    return f"{DEPLOYMENTS.path(key.namespace)}/{key.name}"


def _what(key: ObjectKey) -> str:
    return f"DoraDeployment {key}"
