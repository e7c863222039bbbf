"""Failures that the operator will not report by itself, and the deployment in Datadog that each is. Pure.

A failure is applied only where exactly one deployment can be meant: the resource names it by its id. What the operator
records itself is left to it, so that nothing is marked twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from dora_operator.domain.history.history import Revision, State
from dora_operator.domain.history.verdicts import Verdict, skipped, verdicts
from dora_operator.domain.read_back import find_link
from dora_operator.domain.stored import StoredDeployment
from kubectl_dora.facts import (
    RolloutFacts,
    Rows,
    Service,
    WhyNot,
    blockers,
    candidates_of,
    identity_text,
    with_old_aborts,
)
from kubectl_dora.marks import Create, Wanted, next_step


class RowState(StrEnum):
    """What `--apply` does with a line. The words are API: `-o json` shows them."""

    NEW = "new"
    """It is created: the deployment is certain."""
    RECORDED = "recorded"
    """A DoraDeployment says it already."""
    OPERATOR = "operator"
    """The operator records it itself, at the latest when it starts."""
    BLOCKED = "blocked"
    """The Rollout is opted out, not selected or not watched."""
    UNCERTAIN = "uncertain"
    """It failed, and which deployment in Datadog it is, is not certain: never applied."""
    UNKNOWN = "unknown"
    """Whether it failed is not known: never applied."""


@dataclass(frozen=True, slots=True)
class BackfillRow:
    """One revision that failed, or may have failed."""

    namespace: str
    rollout: str
    revision: int
    deployment: str
    mark: str
    state: RowState
    evidence: str
    time: datetime | None = None
    row: str | None = None
    """Id of the deployment in Datadog."""
    marked: bool | None = None
    """What Datadog says of it now."""
    manifest: dict[str, Any] | None = None
    """What is applied; only of new ones."""


def services_of(facts: Sequence[RolloutFacts], now: datetime) -> list[Service]:
    """Return the services and envs whose deployments are asked for."""
    revisions = (revision for one in facts for revision in one.history(now).revisions)
    pairs = {(revision.service, revision.env) for revision in revisions}
    return sorted({(service, env) for service, env in pairs if service is not None and env is not None})


def backfill_rows(facts: RolloutFacts, rows: Rows, now: datetime, since: timedelta) -> list[BackfillRow]:
    """Return a line for each revision that failed or may have, oldest first."""
    history, begin, lines = with_old_aborts(facts.history(now)), now - since, []
    failed = {(v.revision, v.pod_template_hash): v for v in verdicts(history, facts.settings.rollout_policy)}
    for revision in history.revisions:
        verdict = failed.get((revision.number, revision.pod_template_hash))
        note = skipped(history, revision) if revision.failure is not None else None
        time = verdict.time if verdict is not None else revision.started_time
        if time is not None and time < begin:
            continue
        candidates = candidates_of(history, revision, rows)
        line = _line(facts, revision, candidates)
        if verdict is not None and verdict.change_failure:
            lines.append(_failure(facts, line, verdict, rows, candidates, now))
        elif note is not None or revision.state is State.UNKNOWN:
            lines.append(replace(line, evidence=note.message) if note is not None else line)
    is_blocked = [b.message for b in blockers(facts) if b.reason in {WhyNot.OPTED_OUT, WhyNot.NOT_SELECTED}]
    if is_blocked:
        return [replace(r, state=RowState.BLOCKED, evidence="; ".join(is_blocked), manifest=None) for r in lines]
    return lines


def new_rows(rows: Sequence[BackfillRow]) -> list[BackfillRow]:
    """Return what is applied, oldest first: an interrupted run has done the oldest."""
    new = {(row.namespace, row.row): row for row in rows if row.state is RowState.NEW}  # two Rollouts may be one row
    return sorted(new.values(), key=lambda row: (row.time is not None, row.time and row.time.timestamp(), row.rollout))


def _line(facts: RolloutFacts, revision: Revision, candidates: Sequence[StoredDeployment] | None) -> BackfillRow:
    """Return the line about a revision of which it is not known whether it failed."""
    only = candidates[0] if candidates is not None and len(candidates) == 1 else None
    hint = f"; if it did: kubectl dora mark --id {only.id}" if only is not None else ""
    return BackfillRow(
        namespace=facts.key.namespace,
        rollout=facts.key.name,
        revision=revision.number,
        deployment=identity_text(revision.identity),
        mark=revision.state.value,
        state=RowState.UNKNOWN,
        evidence=f"it began and ended unobserved: whether it failed is not known{hint}",
        time=revision.started_time,
        row=only.id if only is not None else None,
        marked=only.change_failure if only is not None else None,
    )


def _failure(
    facts: RolloutFacts,
    line: BackfillRow,
    verdict: Verdict,
    rows: Rows,
    candidates: Sequence[StoredDeployment] | None,
    now: datetime,
) -> BackfillRow:
    evidence, row = verdict.message or f"cause {verdict.cause.value}", line.row or verdict.deployment_id
    line = replace(line, mark=f"{verdict.verdict.value}: failure", evidence=evidence, time=verdict.time, row=row)
    sources = [(d.key.name, d.status.source) for d in facts.deployments if d.status.source is not None]
    carrier = next((name for name, s in sources if (s.uid, s.revision) == (verdict.uid, verdict.revision)), None)
    if carrier is not None:
        return replace(line, state=RowState.RECORDED, evidence=f"DoraDeployment {carrier}")
    if _is_operators(facts, verdict, now):
        return replace(line, state=RowState.OPERATOR)
    if row is None:
        return replace(line, state=RowState.UNCERTAIN, evidence=f"{_why_uncertain(candidates)}: {evidence}")
    return _with_manifest(facts, line, _wanted(verdict, row, rows.get((verdict.service or "", verdict.env or ""), ())))


def _wanted(verdict: Verdict, row: str, known: Sequence[StoredDeployment]) -> Wanted:
    link = verdict.remediation
    fixed = find_link(tuple(known), verdict, link) if link is not None and link.id is None else None
    target = link.id if link is not None and link.id else fixed.id if isinstance(fixed, StoredDeployment) else None
    remediation = {"type": link.type.value, "id": target} if link is not None and target is not None else None
    return Wanted({"id": row}, change_failure=True, remediation=remediation)


def _with_manifest(facts: RolloutFacts, line: BackfillRow, wanted: Wanted) -> BackfillRow:
    carrier = next((d for d in facts.deployments if d.status.target and d.status.target.id == line.row), None)
    step = next_step(wanted, line.namespace, facts.deployments)
    if carrier is None and isinstance(step, Create):
        return replace(line, state=RowState.NEW, manifest=step.manifest)
    name = carrier.key.name if carrier is not None else "" if isinstance(step, Create) else step.deployment.key.name
    return replace(line, state=RowState.RECORDED, evidence=f"DoraDeployment {name} is about this deployment")


def _is_operators(facts: RolloutFacts, verdict: Verdict, now: datetime) -> bool:
    """Return whether the operator records a failure itself: it is in its history, and not older than its records."""
    settings, history = facts.settings, facts.history(now)
    own = {(v.revision, v.pod_template_hash) for v in verdicts(history, settings.rollout_policy)}
    kept = max(timedelta(days=settings.retention_days), settings.rollout_policy.lookback)
    is_recent = verdict.time is None or verdict.time > now - kept
    return is_recent and (verdict.revision, verdict.pod_template_hash) in own


def _why_uncertain(candidates: Sequence[StoredDeployment] | None) -> str:
    if candidates is None:
        return "Datadog was not read"
    if not candidates:
        return "Datadog has no deployment of this version from its time"
    return f"{len(candidates)} deployments in Datadog can be meant ({', '.join(row.id for row in candidates)})"
