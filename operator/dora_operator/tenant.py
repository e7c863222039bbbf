"""`dora-operator probe`: show what the operator assumes about Datadog, or ask a tenant.

The probes themselves, and what their answers mean, are in `domain.assumptions`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from http import HTTPStatus

from dora_operator.clients.datadog import LIST_LIMIT, DatadogClient, Keys, open_http
from dora_operator.domain.assumptions.judges import deployments_in
from dora_operator.domain.assumptions.probe import Probe, ProbeRequest, Scope, Verdict
from dora_operator.domain.assumptions.table import CLEANUP, GROUPS, READS, WRITES
from dora_operator.domain.outcome import Answer, NoAnswer
from dora_operator.domain.sites import Site, api_url
from dora_operator.metrics import Call, Metrics
from dora_operator.settings import Settings

POLL_SECONDS = 5.0
LIST_QUERY = "list-query"
"""The probe whose answer shows the deployments that others are about."""


def describe(settings: Settings, scope: Scope) -> Iterable[str]:
    """Return each request, and what its answer would decide. Sends nothing."""
    base_url = settings.base_url or api_url(settings.site)
    for group, probes in GROUPS.items():
        for probe in probes:
            request = probe.request(scope)
            yield f"{probe.name} ({group})"
            yield f"  assumed: {probe.assumes}"
            yield f"  request: {request.method} {base_url}{request.path}"
            if request.body:
                yield f"           {request.body.decode()}"
            yield f"  if confirmed: {probe.confirmed}"
            yield f"  if contradicted: {probe.contradicted}"
            yield ""


async def run(settings: Settings, keys: Keys, scope: Scope, *, write: bool, wait_seconds: float) -> bool:
    """Send the probes and print what each answer decides. Return whether one contradicts an assumption."""
    base_url = settings.base_url
    async with open_http(connections=1, trust_env=settings.trust_env) as http:
        datadog = DatadogClient(
            http, base_url=base_url, timeout_seconds=settings.request_timeout_seconds, metrics=Metrics()
        )
        tenant = Tenant(datadog, settings.site, keys, wait_seconds)
        await tenant.run(scope, write=write)
    tenant.report(", ".join(f"{count} {verdict.value}" for verdict, count in tenant.counts.items()))
    return tenant.counts[Verdict.CONTRADICTED] > 0


@dataclass(slots=True)
class Tenant:
    """Sends probes to one account, and reports what each answer decides."""

    datadog: DatadogClient
    site: Site
    keys: Keys
    wait_seconds: float
    report: Callable[[str], None] = print
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    counts: dict[Verdict, int] = field(default_factory=lambda: dict.fromkeys(Verdict, 0))
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
        if not _may_write(self._answers[WRITES[0].request(scope)]):
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
        verdict, seen, waited = Verdict.NOT_CLEAR, "the list has no deployment to ask about", 0.0
        if not probe.needs_deployment or scope.known:
            verdict, seen = probe.verdict(await self._ask(probe, scope), scope)
            while probe.polled and verdict is not Verdict.CONFIRMED and waited < self.wait_seconds:
                await self.sleep(POLL_SECONDS)
                waited += POLL_SECONDS
                verdict, seen = probe.verdict(await self._ask(probe, scope), scope)
        if probe.polled and verdict is Verdict.NOT_CLEAR:
            self.wait_seconds = 0.0  # what is not there yet would be waited for again and again
        self.counts[verdict] += 1
        after = f" (after {waited:.0f} s)" if probe.polled else ""
        self.report(f"{probe.name}: {verdict.value}{after}\n  assumed: {probe.assumes}\n  seen: {seen}")
        follows = {
            Verdict.CONFIRMED: f"  so: {probe.confirmed}",
            Verdict.CONTRADICTED: f"  change: {probe.contradicted}",
        }
        self.report(follows.get(verdict, "  so: nothing yet") + "\n")

    async def _ask(self, probe: Probe, scope: Scope) -> Answer | NoAnswer:
        """Send the request. One that several reading probes share is sent once."""
        request = probe.request(scope)
        if not probe.writes and request in self._answers:
            return self._answers[request]
        calls = {"PATCH": Call.BY_ID, "GET": Call.READ}
        answer = await self.datadog.send(
            calls.get(request.method, Call.LIST),
            request.method,
            request.path,
            request.body,
            self.site,
            self.keys,
            LIST_LIMIT,
        )
        self._answers[request] = answer
        return answer


def _may_write(answer: Answer | NoAnswer) -> bool:
    return isinstance(answer, Answer) and answer.status in {HTTPStatus.ACCEPTED, HTTPStatus.NOT_FOUND}
