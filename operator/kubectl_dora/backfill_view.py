"""`kubectl dora backfill`: a table of what would be marked; with --apply, the records are created."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from http import HTTPStatus

from dora_operator.clients.kubernetes import DEPLOYMENTS
from kubectl_dora import gather, output
from kubectl_dora.backfill import Row, State, backfill_rows, new_rows
from kubectl_dora.cluster import Cluster, now, open_cluster
from kubectl_dora.errors import ExitCode, NotFoundError, RefusedError, UsageError
from kubectl_dora.options import Options, rollout_of

STYLES = {State.NEW: "ok", State.UNKNOWN: "warning", State.BLOCKED: "warning"}


def run(options: Options, words: Sequence[str], since: timedelta, *, apply: bool) -> int:
    """Show or apply what happened since."""
    rollout = rollout_of(words)
    if apply and options.output in output.DOCUMENTS:
        raise UsageError("--apply", "it prints no document", "leave out -o json, or --apply")
    if rollout is not None and options.all_namespaces:
        raise UsageError("--all-namespaces", f"rollout/{rollout} is in one namespace", "leave out one of the two")
    return asyncio.run(_run(options, rollout, since, apply=apply))


async def _run(options: Options, rollout: str | None, since: timedelta, *, apply: bool) -> int:
    async with open_cluster(options) as cluster:
        facts = await gather.read_all(cluster, None if options.all_namespaces else cluster.namespace)
        chosen = [each for each in facts.rollouts if rollout in (None, each.rollout["metadata"]["name"])]
        if rollout is not None and not chosen:
            fix = f"list them with `kubectl get rollouts -n {cluster.namespace}`"
            raise NotFoundError(f"Rollout {cluster.namespace}/{rollout}", "not found", fix)
        rows = [row for each in chosen for row in backfill_rows(each, now(), since)]
        rows.sort(key=lambda row: (row.namespace, row.rollout, row.revision))
        for note in facts.notes:
            output.show_note(f"Note: {note}")
        if options.output in output.DOCUMENTS:
            output.show_document({"rows": rows}, options.output)
            return ExitCode.OK
        show(rows, with_namespace=options.all_namespaces, wide=options.output is not None)
        if not apply:
            _summarise(rows)
            return ExitCode.OK
        failed = await _apply(cluster, new_rows(rows))
    return ExitCode.FAILED if failed else ExitCode.OK


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
    failed = 0
    for row in rows:
        assert row.manifest is not None
        name = row.manifest["metadata"]["name"]
        what = f"DoraDeployment {row.namespace}/{name}"
        try:
            await cluster.apply_record(f"{DEPLOYMENTS.path(row.namespace)}/{name}", row.manifest, what)
        except RefusedError as error:  # without an API server the rest would fail too; a second run goes on here
            failed += 1
            cause = "was changed by a user" if error.status == HTTPStatus.CONFLICT else error.cause
            output.show_note(f"{what} is not written: {cause}")
    output.show_lines(["", f"{len(rows) - failed} DoraDeployments were created, {failed} could not be."])
    return failed
