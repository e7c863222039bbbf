"""The sources of marks in Datadog: its own rule alone, Argo's webhooks, a person, the operator with two settings."""

from enum import StrEnum
from random import Random

from bench.truth.cells import Cell
from bench.truth.datadog import Datadog
from bench.truth.operator import LAST_READS, report
from bench.truth.score import Score, Truth, score
from bench.truth.sources import rows_of
from bench.truth.stories import HOUR, Failure, Word
from bench.truth.world import ENV, World, timestamp
from dora_operator.domain.fields import OnMissing
from sandbox.datadog.model import Listing
from sandbox.datadog.query import parse_query
from sandbox.datadog.values import Deployment, Mark, Remediation

TRIES = (0, 1, 3, 7)
"""Argo's notification controller gives up after these seconds, as measured."""
SHARE = 0.5
"""Of the failures that a person marks."""


class Marker(StrEnum):
    """A source of marks."""

    RULE_ALONE = "Datadog's rule alone"
    WEBHOOK = "Argo's webhook on abort"
    WEBHOOK_CLEARS = "Argo's webhook, clears on completion"
    PERSON = "a person, half of them"
    DEFAULT = "operator, defaults"
    CREATE = "operator, Create"


SETTINGS = {
    Marker.DEFAULT: OnMissing.WAIT,
    Marker.CREATE: OnMissing.CREATE,
}
"""onMissing of the operator."""


def year_of(marker: Marker, world: World, cell: Cell, truth: Truth) -> Score:
    """Let one source of marks report a year, and return what Datadog shows then."""
    datadog = Datadog(world, cell.behaviour, rows_of(world, cell.source, cell.variant.habits))
    if marker in {Marker.WEBHOOK, Marker.WEBHOOK_CLEARS}:
        _webhook(world, datadog, clears=marker is Marker.WEBHOOK_CLEARS)
    elif marker is Marker.PERSON:
        _person(world, datadog)
    elif marker in SETTINGS:
        report(world, SETTINGS[marker], datadog)
    end = world.until + LAST_READS
    datadog.take_in(end)
    return score(datadog.model, truth, timestamp(end), datadog.calls)


def _webhook(world: World, datadog: Datadog, *, clears: bool) -> None:
    """Mark each abort by version, at once; clear at a promotion, or never. See no undo and no rollback."""
    versions: dict[tuple[int, str], str] = {}
    marks = {Word.ABORT: Mark(change_failure=True)}
    if clears:
        marks[Word.PROMOTE] = Mark(change_failure=False)
    for action in world.actions:
        rollout = (action.cluster, action.service)
        if action.word is Word.DEPLOY:
            versions[rollout] = action.version
        if action.word not in marks:
            continue
        for seconds in TRIES:
            now = action.at + seconds
            datadog.take_in(now)
            datadog.calls["mark by version"] += 1
            if not world.is_datadog_down(now):
                key = (action.service, ENV, versions[rollout])
                datadog.model.patch_version(key, marks[action.word], timestamp(now))
                break


def _person(world: World, datadog: Datadog) -> None:
    """Mark half of the failures in the UI some hours later, linked to what restored service if that is there."""
    random = Random(f"{world.seed} person")
    chosen = [failure for failure in world.failures if random.random() < SHARE]
    times = [(failure.restored + random.randrange(HOUR, 8 * HOUR), failure) for failure in chosen]
    for at, failure in sorted(times, key=lambda chosen_at: chosen_at[0]):
        datadog.take_in(at)
        now = timestamp(at)
        datadog.model.settle(now)
        failed = datadog.model.newest((failure.service, ENV, failure.version))
        if failed is not None:
            remedy = _remedy(datadog, failure, failed, now)
            link = Remediation(id=remedy.id, type="rollback") if remedy is not None else None
            datadog.calls["edit"] += 1
            datadog.model.edit(failed.id, now, change_failure=True)
            if link is not None:
                datadog.model.edit(failed.id, now, remediation=link)


def _remedy(datadog: Datadog, failure: Failure, failed: Deployment, now: float) -> Deployment | None:
    query = parse_query(f'service:"{failure.service}" env:"{ENV}"')
    begun = failed.event.started_at
    later = datadog.model.select(Listing(start=begun, end=now, limit=1000, query=query, sort="finished_at"), now)
    finished = failed.event.finished_at
    return next(
        (
            row
            for row in later
            if row.event.version == failure.restored_by
            and row.event.finished_at > finished
            and row.event.started_at <= timestamp(failure.restored)
        ),
        None,
    )
