"""`kubectl dora backfill`: a table of what would be marked; with --apply, the records are created."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from rich.progress import Progress

from dora_operator.clients.kubernetes import RECORD_MANAGER
from dora_operator.kubectl import output
from dora_operator.kubectl.backfill import Row, State, backfill_rows, new_rows
from dora_operator.kubectl.cluster import Cluster, open_cluster
from dora_operator.kubectl.errors import ClusterError, ExitCode, NotFoundError, UsageError
from dora_operator.kubectl.explain_view import rollout_name
from dora_operator.kubectl.gather import DEPLOYMENTS, ClusterFacts, collection, read_all
from dora_operator.kubectl.options import Format, Options


def run(options: Options, name: str | None, since: timedelta, *, apply: bool) -> int:
    """Show or apply what happened since."""
    if apply and options.output in {Format.JSON, Format.YAML}:
        raise UsageError("--apply", "it prints no document", "leave out -o json, or --apply")
    rollout = None
    if name is not None and (rollout := rollout_name(name)) is None:
        raise UsageError(name, "it is no Rollout", f"write rollout/{name}")
    return asyncio.run(_run(options, rollout, since, apply=apply))


async def _run(options: Options, rollout: str | None, since: timedelta, *, apply: bool) -> int:
    async with open_cluster(options) as cluster:
        namespace = None if options.all_namespaces else cluster.namespace
        facts = await read_all(cluster, namespace)
        rows = _rows(facts, datetime.now(UTC), since, rollout)  # noqa: TID251 - the clock of this command
        if rollout is not None and not any(_name(each.rollout) == rollout for each in facts.rollouts):
            what = f"Rollout {cluster.namespace}/{rollout}"
            raise NotFoundError(what, f"list them with `kubectl get rollouts -n {cluster.namespace}`")
        if options.output in {Format.JSON, Format.YAML}:
            output.show_document({"rows": rows}, options.output or Format.JSON)
            return ExitCode.OK
        show(rows, with_namespace=options.all_namespaces, wide=options.output is Format.WIDE)
        if not apply:
            _summarise(rows)
            return ExitCode.OK
        failed = await _apply(cluster, new_rows(rows))
    return ExitCode.FAILED if failed else ExitCode.OK


def _rows(facts: ClusterFacts, now: datetime, since: timedelta, rollout: str | None) -> list[Row]:
    rows = [
        row
        for each in facts.rollouts
        if rollout in (None, _name(each.rollout))
        for row in backfill_rows(each, now, since)
    ]
    return sorted(rows, key=lambda row: (row.namespace, row.rollout, row.revision))


def _name(body: object) -> str:
    assert isinstance(body, dict)
    return str(body["metadata"]["name"])


STYLES = {State.NEW: "ok", State.UNKNOWN: "warning", State.BLOCKED: "warning"}


def show(rows: Sequence[Row], *, with_namespace: bool, wide: bool) -> None:
    """Print the table."""
    headings = ["Rollout", "Revision", "Deployment", "Mark", "Confidence", "State"]
    headings = (["Namespace"] if with_namespace else []) + headings + (["Time"] if wide else []) + ["Evidence"]
    table = []
    for row in rows:
        cells: list[object] = [row.namespace] if with_namespace else []
        cells += [row.rollout, row.revision, row.deployment, row.mark, row.confidence.value]
        cells.append(output.cell(row.state.value, STYLES.get(row.state, "")))
        cells += [output.moment(row.time)] if wide else []
        table.append([*cells, row.evidence])
    if table:
        output.show_table(headings, table)


def _summarise(rows: Sequence[Row]) -> None:
    counts = Counter(row.state for row in rows)
    words = ", ".join(f"{counts[state]} {state.value}" for state in State if counts[state]) or "nothing"
    output.show_lines(["", f"{words}. Nothing was written."] if rows else [f"{words} was found. Nothing was written."])
    if counts[State.NEW]:
        output.show_lines([f"--apply creates {counts[State.NEW]} DoraDeployments; the operator then reports them."])
    if counts[State.UNKNOWN]:
        output.show_lines(["Rows that are unknown are never applied: mark them by hand with `kubectl dora mark`."])


async def _apply(cluster: Cluster, rows: Sequence[Row]) -> int:
    """Create the records one after the other. Return how many could not be."""
    screen = output.console(stderr=True)
    failed = 0
    with Progress(console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task("creating DoraDeployments", total=len(rows))
        for row in rows:
            assert row.manifest is not None
            name = row.manifest["metadata"]["name"]
            what = f"DoraDeployment {row.namespace}/{name}"
            path = f"{collection(DEPLOYMENTS, row.namespace, 'doradeployments')}/{name}"
            try:
                await cluster.apply(path, row.manifest, what, RECORD_MANAGER)
            except ClusterError as error:
                if error.status is None:
                    raise  # no API server: the rest would fail too, and a second run goes on here
                failed += 1
                cause = "was changed by a user" if error.status == HTTPStatus.CONFLICT else error.cause
                output.show_note(f"{what} is not written: {cause}")
            progress.advance(task)
    output.show_lines(["", f"{len(rows) - failed} DoraDeployments were created, {failed} could not be."])
    return failed
