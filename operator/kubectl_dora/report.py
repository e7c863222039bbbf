"""`kubectl dora report`: the deployments of the clusters' histories against those of Datadog, line by line."""

import asyncio
from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta

from dora_operator.domain.stored import BEFORE_START
from kubectl_dora import gather, output
from kubectl_dora.cluster import now, open_cluster
from kubectl_dora.compare import Comparison, Line, LineClass, compare
from kubectl_dora.options import Options
from kubectl_dora.rows import RowsQuery, read_rows

HEADINGS = (
    "Service", "Env", "Deployments", "Failures", "Rate", "in Datadog", "Failures", "Rate", "Difference",
)  # fmt: skip
LINE_HEADINGS = ("Service", "Env", "Version", "Class", "Failed", "Marked", "Row", "Source", "Started", "Revisions")


def run(options: Options, since: timedelta, *, local: bool) -> None:
    """Print the report."""
    comparison, notes = asyncio.run(_read(options, since, local=local))
    for note in notes:
        output.show_note(f"Note: {note}")
    if options.output == output.CSV:
        names = [field.name for field in fields(Line)]
        output.show_csv(names, [[_plain(getattr(line, name)) for name in names] for line in comparison.lines])
    elif options.output in output.DOCUMENTS:
        output.show_document(comparison, options.output)
    else:
        show(comparison, wide=options.output is not None)


async def _read(options: Options, since: timedelta, *, local: bool) -> tuple[Comparison, tuple[str, ...]]:
    async with open_cluster(options) as cluster:
        namespace = None if options.all_namespaces else cluster.namespace
        context, histories = await asyncio.gather(
            gather.read_context(cluster), gather.list_histories(cluster, namespace)
        )
    at = now()
    pairs = {(r.service, r.env) for history in histories.values() for r in history.revisions}
    services = sorted((service, env) for service, env in pairs if service is not None and env is not None)
    query = RowsQuery(tuple(services), at - since - BEFORE_START)
    rows, notes = await read_rows(options, context.installation, query, local=local)
    return compare(histories, rows, at - since, at, context.settings.rollout_policy), notes


def show(comparison: Comparison, *, wide: bool) -> None:
    """Print totals, lines (those that agree with `wide` alone) and coverage."""
    table = [
        [
            total.service, total.env, total.deployments, total.failures, _percent(total.rate),
            total.datadog_deployments, total.datadog_failures, _percent(total.datadog_rate),
            None if total.difference is None else f"{total.difference:+g} points",
        ]
        for total in comparison.totals
    ]  # fmt: skip
    output.show_table(HEADINGS, table)
    lines = [line for line in comparison.lines if wide or line.category is not LineClass.AGREES]
    if lines:
        output.show_lines([""])
        output.show_table(LINE_HEADINGS, [_cells(line) for line in lines])
    output.show_lines(_coverage_lines(comparison, len(comparison.lines) - len(lines)))


def _cells(line: Line) -> list[object]:
    style = "" if line.category is LineClass.AGREES else "warning"
    words = [None if value is None else str(value).lower() for value in (line.failed, line.marked)]
    shown = output.cell(line.category.value, style)
    place = (line.row, line.source, output.moment(line.started), ", ".join(line.workloads))
    return [line.service, line.env, line.version, shown, *words, *place]


def _coverage_lines(comparison: Comparison, hidden: int) -> Iterator[str]:
    known = comparison.coverage
    counts = (known.with_rows, known.failures, known.with_recovery_time)
    with_rows, failures, recovered = (output.NONE if count is None else count for count in counts)
    yield ""
    if hidden:
        yield f"{hidden} more deployments agree: -o wide shows them."
    yield (
        f"Coverage: {known.workloads} workloads with a history, {known.identifiable} identifiable,"
        f" {with_rows} with deployments in Datadog; {failures} failures in Datadog, {recovered} with a recovery time."
    )


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:g} %"


def _plain(value: object) -> object:
    plain = output.to_plain(value)
    return ", ".join(plain) if isinstance(plain, list) else plain
