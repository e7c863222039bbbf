"""`kubectl dora explain`: read the facts, explain, print the chain in order."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.text import Text

from dora_operator.domain.history.verdicts import Verdict
from kubectl_dora import gather, output, planning
from kubectl_dora.cluster import Cluster, now, open_cluster
from kubectl_dora.errors import NotFoundError, UsageError
from kubectl_dora.explain import RevisionExplained, RolloutExplained, explain_rollout
from kubectl_dora.explain_resource import ResourceExplained, explain_resource
from kubectl_dora.options import DORA, ROLLOUT, Options, Target, target_of

LABEL = 14
"""Width of the words on the left."""


def run(options: Options, words: Sequence[str], revision: int | None) -> None:
    """Explain a Rollout or a DoraDeployment."""
    target = target_of(words, default=DORA)
    if target is None:
        raise UsageError("explain", "the name is missing", "name a Rollout (rollout/NAME) or a DoraDeployment (NAME)")
    if target.type != ROLLOUT and revision is not None:
        raise UsageError("--revision", "a DoraDeployment has no revisions", "name a Rollout: rollout/NAME")
    explained = asyncio.run(_explain(options, target, revision))
    if options.output is not None:
        output.show_document(explained, options.output)
    elif isinstance(explained, RolloutExplained):
        output.show_lines(rollout_lines(explained, now()))
    else:
        output.show_lines(resource_lines(explained, ""))


async def _explain(options: Options, target: Target, revision: int | None) -> RolloutExplained | ResourceExplained:
    async with open_cluster(options) as cluster:
        if target.type == ROLLOUT:
            return await _rollout(cluster, target.name, revision)
        return await _resource(cluster, target.name)


async def _rollout(cluster: Cluster, name: str, revision: int | None) -> RolloutExplained:
    facts = await gather.read_rollout(cluster, name)
    explained = explain_rollout(facts, now(), revision)
    if revision is not None and not explained.revisions:
        known = ", ".join(str(r.number) for r in facts.history(now()).revisions)
        what = f"revision {revision} of Rollout {cluster.namespace}/{name}"
        raise NotFoundError(what, "its history does not have it", f"it has these revisions: {known or 'none'}")
    return explained


async def _resource(cluster: Cluster, name: str) -> ResourceExplained:
    bodies, context, histories = await asyncio.gather(
        gather.list_deployment_bodies(cluster, cluster.namespace),
        gather.read_context(cluster),
        gather.list_histories(cluster, cluster.namespace),
    )
    store = planning.store_of(bodies, context.settings)
    deployment = next((each for each in store if each.key.name == name), None)
    if deployment is None:
        fix = f"list them with `kubectl get dora -n {cluster.namespace}`; for a Rollout, write rollout/{name}"
        raise NotFoundError(f"DoraDeployment {cluster.namespace}/{name}", "not found", fix)
    contexts = await planning.contexts_of(
        [deployment.key], store, histories.values(), context.annotations, context.settings
    )
    return explain_resource(deployment, contexts.get(deployment.key), context.notes)


def rollout_lines(explained: RolloutExplained, now: datetime) -> Iterator[Text]:
    """Yield the lines about a Rollout."""
    title = Text(f"Rollout {explained.namespace}/{explained.name}", style="bold")
    state = [f"phase {explained.phase}", f"revision {explained.revision or 'unknown'}"]
    state.append(f"stable revision {explained.stable_revision or 'unknown'}")
    yield title.append(Text(f": {', '.join(state)}", style="not bold"))
    yield _line("Operator", explained.operator or "not found; the defaults of its settings are assumed")
    for each in explained.blockers:
        yield _line("Not decided", f"{each.reason.value}: {each.message}", "yellow")
    for note in explained.notes:
        yield _line("Note", note, "yellow")
    if not explained.revisions:
        yield _line("Revisions", "none yet")
    for revision in explained.revisions:
        yield Text("")
        yield from _revision_lines(revision, now)


def _revision_lines(explained: RevisionExplained, now: datetime) -> Iterator[Text]:
    revision = explained.revision
    marks = [word for word, holds in (("current", explained.is_current), ("stable", explained.is_stable)) if holds]
    state = ", ".join([*marks, revision.state.value, f"age {output.age(revision.started_time, now)}"])
    yield Text(f"Revision {revision.number}", style="bold").append(Text(f" ({state})", style="not bold"))
    if revision.ended_time is not None:
        yield _line("Time", f"{output.moment(revision.started_time)} to {output.moment(revision.ended_time)}")
    if explained.deployment is None:
        yield _line("Deployment", f"not identifiable: {explained.problem}", "yellow")
    else:
        yield _line("Deployment", explained.deployment)
    if revision.datadog is not None:
        yield _line("Row", f"{revision.datadog.id} in Datadog")
    yield from _decision_lines(explained)
    for resource in explained.resources:
        yield from resource_lines(resource, "Resource")


def _decision_lines(explained: RevisionExplained) -> Iterator[Text]:
    failure = explained.revision.failure
    if explained.why_not is not None:
        yield _line("Decision", f"nothing is marked: {explained.why_not.reason.value}")
        yield _line("", explained.why_not.message)
    if explained.verdict is not None:
        yield from _verdict_lines(explained.verdict)
        if failure is not None and failure.ended_by is not None:
            yield _line("", f"ended by the promotion of revision {failure.ended_by}")
        if not explained.resources:
            yield _line("Resource", "none yet: the operator has not written it", "yellow")


def _verdict_lines(verdict: Verdict) -> Iterator[Text]:
    words = "change failure" if verdict.change_failure else "no change failure"
    if verdict.remediation is not None:
        link = verdict.remediation
        words += f", {link.type.value} to {f'id {link.id}' if link.id else f'version {link.version}'}"
    yield _line("Decision", f"{verdict.verdict.value}: {words}", "red" if verdict.change_failure else "green")
    yield _line("", f"cause {verdict.cause.value}" + (f" at {output.moment(verdict.time)}" if verdict.time else ""))
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
    yield _line("Answer", _answer(resource.status))
    if error := resource.status.get("lastError"):
        yield _line("", error, "yellow")
    yield from _condition_lines(resource)
    if not resource.is_observed:
        yield _line("Note", "the operator has not acted on this version of the resource yet", "yellow")
    for note in resource.notes:
        yield _line("Note", note, "yellow")


def _condition_lines(resource: ResourceExplained) -> Iterator[Text]:
    for kind, heading in (("Ready", "Ready"), ("Verified", "Read back"), ("Overridden", "Overridden")):
        found = resource.condition(kind)
        if found is not None and not (kind == "Overridden" and found["status"] == "False"):
            yield _line(heading, f"{found['status']} ({found['reason']}) {found['message']}".rstrip())
    if read := resource.status.get("readBack"):
        shown = ", ".join(f"{name} {value}" for name, value in read.items() if name != "remediation")
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


def _answer(status: Mapping[str, Any]) -> str:
    words = f"HTTP {status['httpStatus']}" if "httpStatus" in status else "none yet"
    for name, text in (
        ("acceptedTime", "accepted at {}"),
        ("attempts", "{} failed tries"),
        ("nextAttemptTime", "next try at {}"),
    ):
        words += f", {text.format(status[name])}" if status.get(name) else ""
    return words


def _line(label: str, text: str, style: str = "") -> Text:
    return Text(f"  {label:<{LABEL}}", style="dim").append(Text(output.clean(text), style=style or "not dim"))
