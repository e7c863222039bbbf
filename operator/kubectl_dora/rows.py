"""The deployments that Datadog has of some services, read with the operator's keys: in its pod, or here with --local.

In the pod, `kubectl exec` runs the hidden command `rows`: what is asked for comes in on standard input, as JSON.
"""

import asyncio
import sys
from collections import defaultdict
from datetime import datetime

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from dora_operator.domain.stored import ReadProblem, StoredDeployment
from dora_operator.reconcile.credentials import NoKeys
from kubectl_dora import datadog
from kubectl_dora.errors import UsageError
from kubectl_dora.facts import Rows, Service
from kubectl_dora.installation import Installation, own_settings, run_in_pod
from kubectl_dora.options import Options

NO_POD = "Datadog was not read: no pod of the operator was found; --local reads here, with DD_API_KEY and DD_APP_KEY"


@dataclass(frozen=True, slots=True)
class RowsQuery:
    """What is asked for."""

    services: tuple[Service, ...]
    since: datetime


@dataclass(frozen=True, slots=True)
class ServiceRows:
    """The deployments of one service and env, or why they could not be read."""

    service: str
    env: str
    rows: tuple[StoredDeployment, ...] = ()
    problem: str = ""


_QUERY: TypeAdapter[RowsQuery] = TypeAdapter(RowsQuery)
_ANSWER: TypeAdapter[list[ServiceRows]] = TypeAdapter(list[ServiceRows])


def run(_: Options) -> None:
    """Answer what another process asks for."""
    answer = asyncio.run(_read(_QUERY.validate_json(sys.stdin.buffer.read())))
    sys.stdout.write(_ANSWER.dump_json(answer).decode())


async def read_rows(
    options: Options, installation: Installation | None, query: RowsQuery, *, local: bool
) -> tuple[Rows, tuple[str, ...]]:
    """Return the deployments of each service that could be read, and notes about the others."""
    if not query.services:
        return {}, ()
    if local:
        answer = await _read(query)
    elif installation is None:
        return {}, (NO_POD,)
    else:
        printed, errors = run_in_pod(options, installation, ("kubectl-dora", "rows"), _QUERY.dump_json(query).decode())
        try:
            answer = _ANSWER.validate_json(printed)
        except ValidationError:
            why = " ".join(errors.split()) or "it printed no JSON"
            return {}, (f"Datadog was not read: `kubectl-dora rows` failed in the operator's pod: {why}",)
    problems: defaultdict[str, list[str]] = defaultdict(list)
    for one in answer:
        if one.problem:
            problems[one.problem].append(f"{one.service} in {one.env}")
    notes = tuple(f"{', '.join(names)}: {problem}" for problem, names in problems.items())
    return {(one.service, one.env): one.rows for one in answer if not one.problem}, notes


async def _read(query: RowsQuery) -> list[ServiceRows]:
    settings = own_settings()
    keys = datadog.keys_of(settings)
    if isinstance(keys, NoKeys):
        raise UsageError("Datadog", keys.message, "set DD_API_KEY and DD_APP_KEY")
    stored = await datadog.list_services(settings, keys, query.services, query.since)
    return [
        ServiceRows(*service, problem=rows.message) if isinstance(rows, ReadProblem) else ServiceRows(*service, rows)
        for service, rows in stored.items()
    ]
