"""`kubectl dora probe`: print what the operator assumes about Datadog, or send the requests that confirm it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from http import HTTPStatus

from dora_operator.clients.datadog import Keys
from dora_operator.domain.outcome import Answer, NoAnswer
from dora_operator.reconcile.credentials import NoKeys
from dora_operator.settings import Settings
from kubectl_dora import datadog, output
from kubectl_dora.cluster import now
from kubectl_dora.errors import ExitCode, UsageError
from kubectl_dora.installation import own_settings
from kubectl_dora.options import Options
from kubectl_dora.probe.model import Probe, ProbeRequest, Result, Scope
from kubectl_dora.probe.predicates import deployments_in
from kubectl_dora.probe.table import CLEANUP, GROUPS, READS, WRITES

POLL_SECONDS = 5.0
LIST_QUERY = "list-query"
"""The probe whose answer shows the deployments that others are about."""


def run(_: Options, service: str, env: str, wait: timedelta, *, send: bool, write: bool) -> int:
    """Print the probes, or send them. The exit code is 1 where an answer contradicts an assumption."""
    if write and not send:
        raise UsageError("--write", "without --run nothing is sent", "give --run, too")
    if send and not (service and env):
        raise UsageError("--run", "the probes are about one service and env alone", "give --service and --env")
    settings = own_settings()
    scope = Scope(service or "SERVICE", env or "ENV", now())
    if not send:
        output.show_lines(describe(settings, scope))
        output.show_lines(
            ["Nothing was sent. --run --service NAME --env NAME sends the reads, with --write all of them."]
        )
        return ExitCode.OK
    keys = datadog.keys_of(settings)
    if isinstance(keys, NoKeys):
        raise UsageError("--run", keys.message, "set DD_API_KEY and DD_APP_KEY")
    return asyncio.run(_send(settings, keys, scope, wait.total_seconds(), write=write))


def describe(settings: Settings, scope: Scope) -> Iterable[str]:
    """Return each request, and what its answer would decide. Sends nothing."""
    for group, probes in GROUPS.items():
        for probe in probes:
            request = probe.request(scope)
            yield f"{probe.name} ({group})"
            yield f"  assumed: {probe.assumes}"
            yield f"  request: {request.method} {datadog.url_of(settings)}{request.path}"
            if request.body:
                yield f"           {request.body.decode()}"
            yield f"  if contradicted: {probe.otherwise}"
            yield ""


async def _send(settings: Settings, keys: Keys, scope: Scope, wait_seconds: float, *, write: bool) -> int:
    async with datadog.open_account(settings, keys) as account:
        runner = ProbeRunner(account, wait_seconds)
        await runner.run(scope, write=write)
    runner.report(", ".join(f"{count} {result.value}" for result, count in runner.counts.items()))
    if not runner.answered:
        runner.report("Datadog has not answered at all: check the network, the proxy and DORA_OPERATOR_DATADOG_URL.")
    return ExitCode.FAILED if runner.counts[Result.CONTRADICTED] or not runner.answered else ExitCode.OK


def _print(text: str) -> None:
    output.show_lines([text])


@dataclass(slots=True)
class ProbeRunner:
    """Sends probes to one account, and reports what each answer decides."""

    account: datadog.Account
    wait_seconds: float
    report: Callable[[str], None] = _print
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    answered: bool = False
    """Whether there was any answer."""
    counts: dict[Result, int] = field(default_factory=lambda: dict.fromkeys(Result, 0))
    _answers: dict[ProbeRequest, Answer | NoAnswer] = field(default_factory=dict)

    async def run(self, scope: Scope, *, write: bool) -> None:
        """Send the reading probes, then the writing ones if they are wanted, and delete what those made."""
        for probe in READS:
            await self._probe(probe, scope)
            if probe.name == LIST_QUERY:
                scope = replace(scope, known=deployments_in(self._answers[probe.request(scope)]))
        if not write:
            return
        await self._probe(WRITES[0], scope)
        answer = self._answers[WRITES[0].request(scope)]
        if not isinstance(answer, Answer) or answer.status not in {HTTPStatus.ACCEPTED, HTTPStatus.NOT_FOUND}:
            self.report("Nothing more is sent: these keys could not delete what the next probes make.\n")
            return
        ids = " and ".join(scope.event(number).deployment_id for number in (1, 2))
        self.report(f"The next probes make the deployments {ids} of {scope.service} in {scope.env}, and delete them.\n")
        try:
            for probe in WRITES[1:]:
                await self._probe(probe, scope)
        finally:
            for probe in CLEANUP:
                await self._probe(probe, scope)

    async def _probe(self, probe: Probe, scope: Scope) -> None:
        result, observed, waited = Result.NOT_CLEAR, "the list has no deployment to ask about", 0.0
        if not probe.needs_deployment or scope.known:
            result, observed = probe.result(await self._ask(probe, scope), scope)
            while probe.polled and result is not Result.CONFIRMED and waited < self.wait_seconds:
                await self.sleep(POLL_SECONDS)
                waited += POLL_SECONDS
                result, observed = probe.result(await self._ask(probe, scope), scope)
        if probe.polled and result is Result.NOT_CLEAR:
            self.wait_seconds = 0.0  # what is not there yet would be waited for again and again
        self.counts[result] += 1
        after = f" (after {waited:.0f} s)" if probe.polled else ""
        lines = [f"{probe.name}: {result.value}{after}", f"  assumed: {probe.assumes}", f"  observed: {observed}"]
        lines += [f"  change: {probe.otherwise}"] if result is Result.CONTRADICTED else []
        self.report("\n".join([*lines, ""]))

    async def _ask(self, probe: Probe, scope: Scope) -> Answer | NoAnswer:
        """Send the request. One that several reading probes share is sent once."""
        request = probe.request(scope)
        if probe in READS and request in self._answers:
            return self._answers[request]
        answer = await self.account.send(request.method, request.path, request.body)
        self.answered = self.answered or isinstance(answer, Answer)
        self._answers[request] = answer
        return answer
