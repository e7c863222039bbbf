"""`kubectl dora backfill`: a table of what would be marked; with --apply, the resources are created."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from http import HTTPStatus

from dora_operator.clients.kubernetes import DEPLOYMENTS
from dora_operator.domain.stored import BEFORE_START
from kubectl_dora import gather, output
from kubectl_dora.backfill import BackfillRow, RowState, backfill_rows, new_rows, services_of
from kubectl_dora.cluster import Cluster, now, open_cluster
from kubectl_dora.errors import ExitCode, NotFoundError, RefusedError, UsageError
from kubectl_dora.options import Options, rollout_of
from kubectl_dora.rows import RowsQuery, read_rows

STYLES = {RowState.NEW: "ok", **dict.fromkeys((RowState.UNKNOWN, RowState.BLOCKED, RowState.UNCERTAIN), "warning")}
HEADINGS = ("Rollout", "Revision", "Deployment", "Mark", "Row", "Marked", "State")


def run(options: Options, words: Sequence[str], since: timedelta, *, apply: bool, local: bool) -> int:
    """Show or apply what happened since."""
    rollout = rollout_of(words)
    if apply and options.output in output.DOCUMENTS:
        raise UsageError("--apply", "it prints no document", "leave out -o json, or --apply")
    if rollout is not None and options.all_namespaces:
        raise UsageError("--all-namespaces", f"rollout/{rollout} is in one namespace", "leave out one of the two")
    return asyncio.run(_run(options, rollout, since, apply=apply, local=local))


async def _run(options: Options, rollout: str | None, since: timedelta, *, apply: bool, local: bool) -> int:
    async with open_cluster(options) as cluster:
        facts = await gather.read_all(cluster, None if options.all_namespaces else cluster.namespace)
        chosen = [one for one in facts.rollouts if rollout in (None, one.key.name)]
        if rollout is not None and not chosen:
            fix = f"list them with `kubectl get rollouts -n {cluster.namespace}`"
            raise NotFoundError(f"Rollout {cluster.namespace}/{rollout}", "not found", fix)
        at = now()
        query = RowsQuery(tuple(services_of(chosen, at)), at - since - BEFORE_START)
        stored, notes = await read_rows(options, facts.installation, query, local=local)
        lines = [line for one in chosen for line in backfill_rows(one, stored, at, since)]
        lines.sort(key=lambda line: (line.namespace, line.rollout, line.revision))
        for note in (*facts.notes, *notes):
            output.show_note(f"Note: {note}")
        if options.output in output.DOCUMENTS:
            output.show_document({"rows": lines}, options.output)
            return ExitCode.OK
        show(lines, with_namespace=options.all_namespaces, wide=options.output is not None)
        if not apply:
            _summarise(lines)
            return ExitCode.OK
        failed = await _apply(cluster, new_rows(lines))
    return ExitCode.FAILED if failed else ExitCode.OK


def show(lines: Sequence[BackfillRow], *, with_namespace: bool, wide: bool) -> None:
    """Print the table."""
    headings = (["Namespace"] if with_namespace else []) + [*HEADINGS] + (["Time"] if wide else []) + ["Evidence"]
    table = []
    for line in lines:
        cells: list[object] = [line.namespace] if with_namespace else []
        marked = None if line.marked is None else str(line.marked).lower()
        cells += [line.rollout, line.revision, line.deployment, line.mark, line.row, marked]
        cells.append(output.cell(line.state.value, STYLES.get(line.state, "")))
        cells += [output.moment(line.time)] if wide else []
        table.append([*cells, line.evidence])
    if table:
        output.show_table(headings, table)


def _summarise(lines: Sequence[BackfillRow]) -> None:
    counts = Counter(line.state for line in lines)
    words = ", ".join(f"{counts[state]} {state.value}" for state in RowState if counts[state]) or "nothing"
    output.show_lines(["", f"{words}. Nothing was written."] if lines else [f"{words} was found. Nothing was written."])
    if counts[RowState.NEW]:
        output.show_lines([f"--apply creates {counts[RowState.NEW]} DoraDeployments; the operator then reports them."])
    if counts[RowState.UNKNOWN] or counts[RowState.UNCERTAIN]:
        output.show_lines(["What is uncertain or unknown is never applied: mark it with `kubectl dora mark --id`."])


async def _apply(cluster: Cluster, lines: Sequence[BackfillRow]) -> int:
    """Create the resources one after the other. Return how many could not be."""
    failed = 0
    for line in lines:
        assert line.manifest is not None
        what = f"DoraDeployment {line.namespace}/{line.manifest['metadata']['name']}"
        try:
            await cluster.create(DEPLOYMENTS.path(line.namespace), line.manifest, what)
        except RefusedError as error:  # without an API server the rest would fail too; a second run goes on here
            failed += 1
            cause = "one with its name exists" if error.status == HTTPStatus.CONFLICT else error.cause
            output.show_note(f"{what} is not written: {cause}")
    output.show_lines(["", f"{len(lines) - failed} DoraDeployments were created, {failed} could not be."])
    return failed
