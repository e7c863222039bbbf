"""The histories of the cluster against Datadog's list: one line for each deployment, and the totals of both. Pure.

A figure that the data cannot carry is None: a rate where a revision is not known, or where the history does not reach
back to `since`; what Datadog says where it was not read, or has not evaluated a deployment.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.history.history import History, Revision, State
from dora_operator.domain.history.policy import Policy
from dora_operator.domain.history.verdicts import verdicts
from dora_operator.domain.lookup import OWN_PREFIX
from dora_operator.domain.posted_events import own_id
from dora_operator.domain.stored import StoredDeployment
from kubectl_dora.facts import Rows, Service, candidates_of, with_old_aborts

ENDED = frozenset({State.PROMOTED, State.ABORTED, State.UNDONE})


class LineClass(StrEnum):
    """What a line says. The words are API."""

    AGREES = "agrees"
    MISSING_ROW = "missing row"
    """The cluster deployed it, and Datadog does not have it."""
    MISSING_MARK = "missing mark"
    """It failed, and Datadog does not say so."""
    MARKED_BY_DATADOG = "marked by Datadog alone"
    """By its detection, a default rule or a person."""
    SEVERAL_ROWS = "several rows"
    """Which deployment in Datadog it is, is not certain."""
    NO_REVISION = "row without revision"
    """No watched workload explains it: another cluster, another workload, or a time before the history."""
    OWN_EVENT = "own event"
    """The operator posted it (`onMissing: Create`)."""
    UNKNOWN = "not comparable"
    """What became of the revision is not known, or Datadog was not read, or its answer has no marks."""


@dataclass(frozen=True, slots=True)
class Line:
    """One deployment."""

    service: str
    env: str
    version: str | None
    category: LineClass
    workloads: tuple[str, ...] = ()
    """Namespace, name and revision."""
    state: str | None = None
    started: datetime | None = None
    failed: bool | None = None
    """What the cluster says."""
    row: str | None = None
    """Id in Datadog; of several, all."""
    source: str | None = None
    marked: bool | None = None
    """What Datadog says."""
    recovery_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Total:
    """One service and env."""

    service: str
    env: str
    deployments: int | None
    """By the histories."""
    failures: int
    rate: float | None
    """In percent."""
    datadog_deployments: int | None
    datadog_failures: int | None
    datadog_rate: float | None
    difference: float | None
    """Datadog's rate minus that of the histories, in points."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much the figures are about."""

    workloads: int
    """With a history."""
    identifiable: int
    with_rows: int | None
    failures: int | None
    """Deployments that are marked in Datadog."""
    with_recovery_time: int | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The whole report."""

    totals: tuple[Total, ...]
    lines: tuple[Line, ...]
    coverage: Coverage


def compare(
    histories: Mapping[ObjectKey, History], rows: Rows, since: datetime, now: datetime, policy: Policy | None = None
) -> Comparison:
    """Compare what happened between two times. `histories`: by namespace and name of the workload."""
    ours, used = [], dict[str, ObjectKey]()
    complete: dict[Service, bool] = {}
    for workload, stored in sorted(histories.items()):
        history = with_old_aborts(stored)
        failed = {
            (v.revision, v.pod_template_hash): v for v in verdicts(history, policy or Policy()) if v.change_failure
        }
        for revision in history.revisions:
            if revision.service is None or revision.env is None or not revision.identity.is_known:
                continue
            service = (revision.service, revision.env)
            candidates = candidates_of(history, revision, rows)
            used |= dict.fromkeys((row.id for row in candidates or ()), workload)
            verdict = failed.get((revision.number, revision.pod_template_hash))
            own = own_id(verdict) if verdict is not None else None
            if not candidates and own is not None:
                posted = [row for row in rows.get(service, ()) if row.id == own]
                candidates = posted or candidates
                used |= dict.fromkeys((row.id for row in posted), workload)
            complete[service] = complete.get(service, True) and _reaches_back(history, since)
            if _is_within(revision, candidates, since, now):
                line = _line(workload, revision, service, candidates, failed=verdict is not None)
                ours.append(line)
    lines = _merged(ours)
    for service, known in rows.items():
        others = (row for row in known if row.id not in used and since <= (_began(row) or since) <= now)
        lines += [_of_row(service, row) for row in others]
    lines.sort(key=lambda line: (line.service, line.env, line.started is None, line.started or now, line.version or ""))
    services = sorted({(line.service, line.env) for line in lines})
    totals = tuple(
        _total(service, lines, rows.get(service), since, complete.get(service, False)) for service in services
    )
    return Comparison(totals, tuple(lines), _coverage(histories, rows, used, since))


def _is_within(revision: Revision, candidates: list[StoredDeployment] | None, since: datetime, now: datetime) -> bool:
    """Return whether a revision was deployed in that time. What was replaced or never observed may not have been."""
    if revision.state not in ENDED and not candidates:
        return False
    time = revision.started_time or revision.ended_time or (_began(candidates[0]) if candidates else None)
    return revision.state is not State.IN_FLIGHT and time is not None and since <= time <= now


def _line(
    workload: ObjectKey,
    revision: Revision,
    service: Service,
    candidates: list[StoredDeployment] | None,
    *,
    failed: bool,
) -> Line:
    line = Line(
        *service,
        revision.version,
        LineClass.UNKNOWN,
        (f"{workload} revision {revision.number}",),
        state=revision.state.value,
        started=revision.started_time,
        failed=failed if failed or revision.state is not State.UNKNOWN else None,
    )
    if candidates is None:
        return line
    if not candidates:
        return replace(line, category=LineClass.MISSING_ROW)
    if len(candidates) > 1:
        return replace(line, category=LineClass.SEVERAL_ROWS, row=" ".join(sorted(row.id for row in candidates)))
    return _with_row(line, candidates[0])


def _with_row(line: Line, row: StoredDeployment) -> Line:
    marked = row.change_failure if row.has_mark else None
    line = replace(
        line, row=row.id, source=row.source, marked=marked, recovery_seconds=row.recovery_time_seconds,
        started=line.started or _began(row),
    )  # fmt: skip
    return replace(line, category=_category(line, row))


def _category(line: Line, row: StoredDeployment) -> LineClass:
    if row.id.startswith(OWN_PREFIX):
        return LineClass.OWN_EVENT
    if not row.has_mark:
        return LineClass.UNKNOWN
    if line.failed:
        return LineClass.AGREES if row.change_failure else LineClass.MISSING_MARK
    if row.change_failure:
        return LineClass.MARKED_BY_DATADOG
    return LineClass.AGREES if line.failed is False else LineClass.UNKNOWN


def _merged(lines: Iterable[Line]) -> list[Line]:
    """Of several workloads that are one deployment, it failed while any of them did."""
    merged: dict[object, Line] = {}
    for line in lines:
        is_one = line.row is not None and line.category is not LineClass.SEVERAL_ROWS
        name: object = line.row if is_one else line.workloads
        other = merged.get(name)
        worse = line if other is None or line.failed else other
        merged[name] = replace(worse, workloads=(*(other.workloads if other is not None else ()), *line.workloads))
    return list(merged.values())


def _of_row(service: Service, row: StoredDeployment) -> Line:
    line = _with_row(Line(*service, row.version, LineClass.NO_REVISION), row)
    is_own = row.id.startswith(OWN_PREFIX)
    return replace(line, category=LineClass.OWN_EVENT if is_own else LineClass.NO_REVISION)


def _began(row: StoredDeployment) -> datetime | None:
    return row.started_at or row.finished_at


def _reaches_back(history: History, since: datetime) -> bool:
    """Return whether each revision since then is in the history, and what became of it is known."""
    for newer, revision in zip(reversed((*history.revisions[1:], None)), reversed(history.revisions), strict=True):
        if newer is not None and newer.number > revision.number + 1:
            return False
        if revision.started_time is not None and revision.started_time < since:
            return True
        if revision.state is State.UNKNOWN:
            return False
    return bool(history.revisions) and history.revisions[0].number == 1


def _total(
    service: Service,
    lines: Sequence[Line],
    rows: Sequence[StoredDeployment] | None,
    since: datetime,
    complete: bool,  # noqa: FBT001
) -> Total:
    own = [line for line in lines if (line.service, line.env) == service and line.workloads]
    count = len(own) if complete else None
    failures = sum(bool(line.failed) for line in own)
    rate = _percent(failures, count)
    if rows is None:
        return Total(*service, count, failures, rate, None, None, None, None)
    listed = [row for row in rows if (_began(row) or since) >= since]
    is_evaluated = all(row.has_mark and row.change_failure is not None for row in listed)
    marked = sum(row.change_failure is True for row in listed) if is_evaluated else None
    theirs = _percent(marked, len(listed))
    difference = round(theirs - rate, 1) if theirs is not None and rate is not None else None
    return Total(*service, count, failures, rate, len(listed), marked, theirs, difference)


def _percent(part: int | None, whole: int | None) -> float | None:
    return round(100 * part / whole, 1) if part is not None and whole else None


def _coverage(
    histories: Mapping[ObjectKey, History], rows: Rows, used: Mapping[str, ObjectKey], since: datetime
) -> Coverage:
    current = [history.current for history in histories.values()]
    marked = [row for known in rows.values() for row in known if row.change_failure and (_began(row) or since) >= since]
    return Coverage(
        workloads=len(histories),
        identifiable=sum(revision is not None and revision.identity.is_known for revision in current),
        with_rows=len(set(used.values())) if rows else None,
        failures=len(marked) if rows else None,
        with_recovery_time=sum(row.recovery_time_seconds is not None for row in marked) if rows else None,
    )
