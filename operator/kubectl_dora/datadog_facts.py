"""Ask Datadog what `doctor` wants to know, with the operator's own keys, client and bounds. Changes nothing."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from dora_operator.domain.outcome import Answer, NoAnswer, remaining_requests, seconds_until_reset
from dora_operator.domain.request import COLLECTION, REQUEST_TYPE, encode_list
from dora_operator.domain.stored import BEFORE_CREATION, ReadProblem, parse_answer, parse_deployments
from dora_operator.reconcile.credentials import NoKeys
from dora_operator.settings import Settings
from kubectl_dora import datadog
from kubectl_dora.findings import AccountFacts, Reply, SeenService, Service

VALIDATE = "/api/v1/validate"
PAGE = 100
"""Deployments in one list: enough to see the sources of a service."""
MAX_SERVICES = 40
KEPT_FOR_THE_OPERATOR = 0.2
"""Share of the rate limit that is left to the operator, which has the same keys."""
PROBE_ID = "dora-operator-doctor"
"""No deployment has this id; and the body is invalid besides."""
NO_SERVICE: Service = ("dora-operator-doctor", "none")
"""Asked for where no Rollout names a service: whether lists are permitted shows all the same."""


async def read_account(settings: Settings, services: Sequence[Service], now: Callable[[], datetime]) -> AccountFacts:
    """Return what Datadog answers with the keys of these settings, one request after the other."""
    site, keys = settings.site.value, datadog.keys_of(settings)
    if isinstance(keys, NoKeys):
        return AccountFacts(site, no_keys=keys.message)
    async with datadog.open_account(settings, keys) as account:
        begun = now()
        validate = await account.send("GET", VALIDATE)
        skew = _skew(validate, begun, now())
        write = await account.send("PATCH", f"{COLLECTION}/{PROBE_ID}", _invalid_mark())
        answers = await _lists(account, services, now())
    listing = answers[0]
    seen = [_seen(answer) for answer in answers]
    read = {service: found for service, found in zip(services, seen, strict=False) if found is not None}
    limits = answers[-1].headers if isinstance(answers[-1], Answer) else {}
    return AccountFacts(
        site,
        validate=_reply(validate),
        listing=_reply(listing),
        write=_reply(write),
        skew_seconds=skew,
        limit=remaining_requests(limits.get("x-ratelimit-limit")),
        remaining=remaining_requests(limits.get("x-ratelimit-remaining")),
        reset_seconds=seconds_until_reset(limits.get("x-ratelimit-reset"), now()),
        services=read if seen[0] is not None else None,
        unchecked=len(services) - len(read),
    )


async def _lists(account: datadog.Account, services: Sequence[Service], now: datetime) -> list[Answer | NoAnswer]:
    """List the deployments of each service, until that would take what the operator itself needs."""
    answers: list[Answer | NoAnswer] = []
    for service, env in services[:MAX_SERVICES] or (NO_SERVICE,):
        body = encode_list(service, env, now - BEFORE_CREATION, now, PAGE)
        answers.append(await account.send("POST", COLLECTION, body))
        if not _may_go_on(answers[-1]):
            break
    return answers


def _may_go_on(answer: Answer | NoAnswer) -> bool:
    if not isinstance(answer, Answer) or answer.status != HTTPStatus.OK:
        return False
    limit, left = (remaining_requests(answer.headers.get(f"x-ratelimit-{name}")) for name in ("limit", "remaining"))
    return limit is None or left is None or left > limit * KEPT_FOR_THE_OPERATOR


def _seen(answer: Answer | NoAnswer) -> SeenService | None:
    found = parse_answer(answer)
    if isinstance(found, ReadProblem):
        return None
    stored = parse_deployments(found)
    return SeenService(len(stored), frozenset(each.source for each in stored if each.source))


def _reply(answer: Answer | NoAnswer) -> Reply:
    return Reply(answer.status) if isinstance(answer, Answer) else Reply(None, answer.detail)


def _invalid_mark() -> bytes:
    """Return a mark that Datadog cannot apply: a text where true or false belongs, for an id that does not exist."""
    document = {"data": {"id": PROBE_ID, "type": REQUEST_TYPE, "attributes": {"change_failure": "doctor"}}}
    return json.dumps(document).encode()


def _skew(answer: Answer | NoAnswer, begun: datetime, ended: datetime) -> float | None:
    """Return by how many seconds this clock is behind; the header has no fractions, so half a second is added."""
    try:
        date = parsedate_to_datetime(answer.headers["date"]) if isinstance(answer, Answer) else None
    except (ValueError, KeyError):
        date = None
    local = begun + (ended - begun) / 2
    return (date - local).total_seconds() + 0.5 if date is not None else None
