"""`kubectl dora explain`: read the facts, explain, print the chain in order."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

from rich.text import Text

from dora_operator.domain.rollout.verdict import Verdict
from dora_operator.kubectl import output
from dora_operator.kubectl.cluster import Cluster, open_cluster
from dora_operator.kubectl.errors import NotFoundError, UsageError
from dora_operator.kubectl.explain import RevisionExplained, RolloutExplained, explain_rollout
from dora_operator.kubectl.explain_resource import ResourceExplained, explain_resource
from dora_operator.kubectl.facts import default_settings
from dora_operator.kubectl.gather import chosen, list_deployments, of_resource, read_annotations, read_rollout
from dora_operator.kubectl.installation import find_installations
from dora_operator.kubectl.options import Options

ROLLOUT_PREFIXES = ("rollout/", "rollouts/", "ro/", "rollout.argoproj.io/", "rollouts.argoproj.io/")
DEPLOYMENT_PREFIXES = ("dora/", "doradeployment/", "doradeployments/")
LABEL = 14
"""Width of the words on the left."""


def run(options: Options, name: str, revision: int | None) -> int:
    """Explain a Rollout or a DoraDeployment."""
    rollout = rollout_name(name)
    if rollout is None and revision is not None:
        raise UsageError("--revision", "a DoraDeployment has no revisions", "name a Rollout: rollout/NAME")
    now = datetime.now(UTC)  # noqa: TID251 - the clock of this command
    if rollout is not None:
        explained: RolloutExplained | ResourceExplained = asyncio.run(_rollout(options, rollout, revision, now))
    else:
        explained = asyncio.run(_deployment(options, deployment_name(name)))
    if options.output is not None:
        output.show_document(explained, options.output)
    elif isinstance(explained, RolloutExplained):
        output.show_lines(rollout_lines(explained, now))
    else:
        output.show_lines(resource_lines(explained, ""))
    return 0


def rollout_name(name: str) -> str | None:
    """Return the name of a Rollout from TYPE/NAME, or None for a DoraDeployment."""
    return next((name.removeprefix(each) for each in ROLLOUT_PREFIXES if name.startswith(each)), None)


def deployment_name(name: str) -> str:
    """Return the name of a DoraDeployment, with or without its type before it."""
    return next((name.removeprefix(each) for each in DEPLOYMENT_PREFIXES if name.startswith(each)), name)


async def _rollout(options: Options, name: str, revision: int | None, now: datetime) -> RolloutExplained:
    async with open_cluster(options) as cluster:
        facts = await read_rollout(cluster, name, chosen(await find_installations(cluster), cluster.namespace))
    explained = explain_rollout(facts, now, revision)
    if revision is not None and not explained.revisions:
        known = ", ".join(str(each.revision) for each in explain_rollout(facts, now).revisions)
        fix = f"the cluster still shows these revisions: {known or 'none'}"
        raise NotFoundError(
            f"revision {revision} of Rollout {cluster.namespace}/{name}", fix, "there is no ReplicaSet of it"
        )
    return explained


async def _deployment(options: Options, name: str) -> ResourceExplained:
    async with open_cluster(options) as cluster:
        return await _read_resource(cluster, name)


async def _read_resource(cluster: Cluster, name: str) -> ResourceExplained:
    deployments, annotations, installations = await asyncio.gather(
        list_deployments(cluster, cluster.namespace, of_resource(name)),
        read_annotations(cluster, cluster.namespace),
        find_installations(cluster),
    )
    found = next((each for each in deployments if each.key.name == name), None)
    if found is None:
        fix = f"list them with `kubectl get dora -n {cluster.namespace}`; for a Rollout, write rollout/{name}"
        raise NotFoundError(f"DoraDeployment {cluster.namespace}/{name}", fix)
    installation = chosen(installations, cluster.namespace)
    settings = installation.settings if installation else default_settings()
    return explain_resource(found, deployments, settings, annotations)


def rollout_lines(explained: RolloutExplained, now: datetime) -> Iterator[Text]:
    """Yield the lines about a Rollout."""
    title = Text(f"Rollout {explained.namespace}/{explained.name}", style="bold")
    state = [f"phase {explained.phase}", f"revision {explained.revision or 'unknown'}"]
    state.append(f"stable revision {explained.stable_revision or 'unknown'}")
    yield title.append(Text(f": {', '.join(state)}", style="not bold"))
    if explained.abort:
        yield _line("Aborted", explained.abort_message or "yes, without a message")
    yield _line("Operator", explained.operator or "not found; the defaults of its settings are assumed")
    for each in explained.blockers:
        yield _line("Not decided", f"{each.reason.value}: {each.message}", "yellow")
    if explained.is_changing:
        yield _line("Note", "the controller is between two writes: run this again in a moment")
    if not explained.revisions:
        yield _line("Revisions", "none: the Rollout has no ReplicaSets yet")
    for revision in explained.revisions:
        yield Text("")
        yield from _revision_lines(revision, now)


def _revision_lines(revision: RevisionExplained, now: datetime) -> Iterator[Text]:
    marks = [word for word, holds in (("current", revision.is_current), ("stable", revision.is_stable)) if holds]
    state = ", ".join([*marks, revision.promotion, f"age {output.age(revision.created_time, now)}"])
    yield Text(f"Revision {revision.revision}", style="bold").append(Text(f" ({state})", style="not bold"))
    if revision.deployment is None:
        yield _line("Deployment", f"not identifiable: {revision.problem}", "yellow")
    else:
        yield _line("Deployment", revision.deployment)
        yield _line("", f"from {', '.join(revision.identified_by)}", "dim")
    if revision.why_not is not None:
        yield _line("Decision", f"nothing is marked: {revision.why_not.reason.value}")
        yield _line("", revision.why_not.message)
    if revision.verdict is not None:
        yield from _verdict_lines(revision.verdict)
        yield _line("Rule", revision.rule or "")
        if not revision.resources:
            yield _line("Resource", "none yet: the operator has not written it", "yellow")
    for resource in revision.resources:
        yield from resource_lines(resource, "Resource")


def _verdict_lines(verdict: Verdict) -> Iterator[Text]:
    words = "change failure" if verdict.change_failure else "no change failure"
    if verdict.remediation is not None:
        link = verdict.remediation
        words += f", {link.type.value} to {f'id {link.id}' if link.id else f'version {link.version}'}"
    yield _line("Decision", f"{verdict.verdict.value}: {words}", "red" if verdict.change_failure else "green")
    seen = f" at {output.moment(verdict.time)}" if verdict.time else ""
    yield _line("", f"decided by revision {verdict.decided_by_revision}{seen}")
    if verdict.message:
        yield _line("", verdict.message)


def resource_lines(resource: ResourceExplained, label: str) -> Iterator[Text]:
    """Yield the lines about a DoraDeployment."""
    title = f"DoraDeployment {resource.namespace}/{resource.name} (made by {_maker(resource)})"
    yield _line(label, title) if label else Text(title, style="bold")
    if not label:
        yield _line("Deployment", resource.deployment)
        yield from _source_lines(resource)
    if resource.request is not None:
        yield _line("Request", f"{resource.request.method} {resource.request.path}")
        yield _line("", resource.request.body)
    if resource.held_back is not None:
        yield _line("Held back", resource.held_back, "yellow")
    yield _line("Answer", _answer(resource))
    if resource.answer.last_error:
        yield _line("", resource.answer.last_error, "yellow")
    yield from _condition_lines(resource)
    if not resource.is_judged:
        yield _line("Note", "the operator has not acted on this version of the resource yet", "yellow")


def _condition_lines(resource: ResourceExplained) -> Iterator[Text]:
    for kind, heading in (("Ready", "Ready"), ("Verified", "Read back"), ("Overridden", "Overridden")):
        found = resource.condition(kind)
        if found is not None and not (kind == "Overridden" and found.status == "False"):
            yield _line(heading, f"{found.status} ({found.reason}) {found.message}".rstrip())
    if resource.read_back is not None:
        shown = ", ".join(f"{name} {value}" for name, value in resource.read_back.items() if name != "remediation")
        yield _line("", f"Datadog returned: {shown}")


def _maker(resource: ResourceExplained) -> str:
    return "the operator" if resource.made_by == "operator" else "a user"


def _source_lines(resource: ResourceExplained) -> Iterator[Text]:
    if resource.source is None:
        return
    source = resource.source
    yield _line("Source", f"{source.kind.value} {source.name}, revision {source.revision}")
    yield from _verdict_lines(source)
    yield _line("", f"see `kubectl dora explain rollout/{source.name} --revision {source.revision}`", "dim")


def _answer(resource: ResourceExplained) -> str:
    answer = resource.answer
    words = "none yet" if answer.http_status is None else f"HTTP {answer.http_status}"
    if answer.accepted_time is not None:
        words += f", accepted at {output.moment(answer.accepted_time)}"
    if answer.attempts:
        words += f", {answer.attempts} failed tries"
    if answer.next_attempt_time is not None:
        words += f", next try at {output.moment(answer.next_attempt_time)}"
    return words


def _line(label: str, text: str, style: str = "") -> Text:
    return Text(f"  {label:<{LABEL}}", style="dim").append(Text(output.clean(text), style=style or "not dim"))
