"""Ask Datadog what `doctor` wants to know, with the operator's own keys and connections. Changes nothing.

Imports httpx: only `doctor` does.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from dora_operator.clients.datadog import Keys, open_http, redacted
from dora_operator.domain.outcome import shorten
from dora_operator.domain.request import COLLECTION, REQUEST_TYPE
from dora_operator.domain.sites import api_url
from dora_operator.kubectl.findings import SEEN_DAYS, AccountFacts, Reply, SeenService, Service
from dora_operator.reconcile.credentials import NoKeys, own_keys_of
from dora_operator.settings import Settings

VALIDATE = "/api/v1/validate"
LIST_TYPE = "dora_deployments_list_request"
PAGE = 500
"""Deployments in one list."""
MOST_SERVICES = 40
"""Services that are asked about one by one; the rest is left out, to spare the rate limit."""
TIMEOUT_SECONDS = 15.0
PROBE_ID = "dora-operator-doctor"
"""No deployment has this id; and the body is invalid besides."""


async def read_account(settings: Settings, services: Sequence[Service], now: Callable[[], datetime]) -> AccountFacts:
    """Return what Datadog answers with the keys of these settings."""
    keys = own_keys_of(settings)()
    if isinstance(keys, NoKeys):
        return AccountFacts(settings.site.value, no_keys=keys.message)
    url = settings.base_url or api_url(settings.site)
    async with open_http(connections=4, trust_env=settings.trust_env) as http:
        client = _Client(http, url, keys)
        validate, listing, write = await asyncio.gather(
            client.ask("GET", VALIDATE),
            client.ask("POST", COLLECTION, _listing(None, now(), PAGE)),
            client.ask("PATCH", f"{COLLECTION}/{PROBE_ID}", _invalid_mark()),
        )
        seen, unchecked = await _services(client, services, listing, now())
    headers = listing.headers
    return AccountFacts(
        settings.site.value,
        validate=validate.reply,
        listing=listing.reply,
        write=write.reply,
        skew_seconds=next((each.skew for each in (validate, listing, write) if each.skew is not None), None),
        limit=_number(headers, "x-ratelimit-limit"),
        remaining=_number(headers, "x-ratelimit-remaining"),
        reset_seconds=_number(headers, "x-ratelimit-reset"),
        services=seen,
        unchecked=unchecked,
    )


class _Exchange:
    """One answer."""

    def __init__(self, reply: Reply, headers: Mapping[str, str], body: Any, skew: float | None) -> None:  # noqa: ANN401 - JSON
        self.reply, self.headers, self.body, self.skew = reply, headers, body, skew

    @property
    def items(self) -> list[Mapping[str, Any]] | None:
        """The deployments of a list, or None where it is none."""
        found = self.body.get("data") if isinstance(self.body, dict) else None
        return found if self.reply.status == httpx.codes.OK and isinstance(found, list) else None


class _Client:
    def __init__(self, http: httpx.AsyncClient, url: str, keys: Keys) -> None:
        self._http, self._url, self._keys = http, url, keys

    async def ask(self, method: str, path: str, body: Any = None) -> _Exchange:  # noqa: ANN401 - JSON
        headers = {"DD-API-KEY": self._keys.api_key, "DD-APPLICATION-KEY": self._keys.app_key}
        begun = time.time()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                response = await self._http.request(method, self._url + path, headers=headers, json=body)
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            text = redacted(f"{type(error).__name__}: {error}".encode(), self._keys)
            return _Exchange(Reply(None, shorten(text.decode(errors="replace"), 160)), {}, None, None)
        try:
            document = response.json()
        except ValueError:
            document = None
        skew = _skew(response.headers.get("date", ""), (begun + time.time()) / 2)
        return _Exchange(Reply(response.status_code), response.headers, document, skew)


async def _services(
    client: _Client, services: Sequence[Service], listing: _Exchange, now: datetime
) -> tuple[dict[Service, SeenService] | None, int]:
    items = listing.items
    if items is None:
        return None, 0
    if len(items) < PAGE:  # all of them
        return seen_services(items, services), 0
    asked = services[:MOST_SERVICES]
    limit = asyncio.Semaphore(4)

    async def one(service: Service) -> list[Mapping[str, Any]]:
        async with limit:
            return (await client.ask("POST", COLLECTION, _listing(service, now, 100))).items or []

    found = await asyncio.gather(*(one(service) for service in asked))
    return seen_services([item for items in found for item in items], asked), len(services) - len(asked)


def seen_services(items: Sequence[Mapping[str, Any]], services: Sequence[Service]) -> dict[Service, SeenService]:
    """Count listed deployments by service and env, with their sources."""
    counts: defaultdict[Service, int] = defaultdict(int)
    sources: defaultdict[Service, set[str]] = defaultdict(set)
    for item in items:
        attributes = item.get("attributes") or {}
        key = (str(attributes.get("service")), str(attributes.get("env")))
        counts[key] += 1
        if isinstance(attributes.get("source"), str):
            sources[key].add(attributes["source"])
    return {service: SeenService(counts[service], frozenset(sources[service])) for service in services}


def _listing(service: Service | None, now: datetime, limit: int) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "from": _text(now - timedelta(days=SEEN_DAYS)),
        "to": _text(now),
        "limit": limit,
    }
    if service is not None:
        attributes["query"] = " ".join(
            f'{name}:"{value}"' for name, value in zip(("service", "env"), service, strict=True) if '"' not in value
        )
    return {"data": {"type": LIST_TYPE, "attributes": attributes}}


def _invalid_mark() -> dict[str, Any]:
    """Return a mark that Datadog cannot apply: a text where true or false belongs, for an id that does not exist."""
    return {"data": {"id": PROBE_ID, "type": REQUEST_TYPE, "attributes": {"change_failure": "doctor"}}}


def _text(time_: datetime) -> str:
    return time_.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _skew(date: str, local: float) -> float | None:
    """Return by how many seconds this clock is behind; the header has no fractions, so half a second is added."""
    try:
        return parsedate_to_datetime(date).timestamp() + 0.5 - local
    except (ValueError, TypeError):
        return None


def _number(headers: Mapping[str, str], name: str) -> int | None:
    first = headers.get(name, "").partition(",")[0].strip()
    return int(first) if first.isascii() and first.isdigit() else None
