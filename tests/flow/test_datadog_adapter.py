"""The adapter for Datadog against a real server that misbehaves in every way."""

import asyncio
import gzip
import html
import json
import socket
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from dora_operator.adapters.answers import BODY_LIMIT, first_bytes, redacted
from dora_operator.adapters.datadog import DatadogApi, open_datadog
from dora_operator.domain.answer_text import first_words
from dora_operator.domain.observed import MarkState
from dora_operator.domain.outcome import Answer, FailureKind, NoAnswer
from dora_operator.domain.request import PatchById
from dora_operator.domain.sites import Site
from dora_operator.ports import Keys
from sandbox.datadog import StandIn
from sandbox.datadog.faults import Drip, Garbage, HalfBody, Hang, Redirect, Reset, Respond
from tests.support.builders import NOW

KEYS = Keys("canary-api", "canary-app")
REQUEST = PatchById("43vkaZNgiso", MarkState(change_failure=True))
SECONDS = 0.6


@pytest.fixture
def datadog() -> Iterator[StandIn]:
    """Return a server."""
    with StandIn() as running:
        yield running


@pytest.fixture
async def api(datadog: StandIn) -> AsyncIterator[DatadogApi]:
    """Return an adapter with little patience."""
    async with open_datadog(base_url=datadog.url + "/", timeout_seconds=SECONDS, at_once=2) as opened:
        yield opened


async def ask(api: DatadogApi) -> Answer | NoAnswer:
    """Send one request."""
    return await api.patch(REQUEST, Site.US1, KEYS)


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        pytest.param(Reset(), FailureKind.UNREACHABLE, id="a reset connection"),
        pytest.param(HalfBody(), FailureKind.UNREACHABLE, id="202 with half a body is no proof"),
        pytest.param(Garbage(), FailureKind.UNREACHABLE, id="bytes that are no HTTP"),
        pytest.param(Hang(), FailureKind.TIMEOUT, id="no answer"),
        pytest.param(Drip(interval=0.2), FailureKind.TIMEOUT, id="a byte at a time"),
    ],
)
async def test_failures_are_values(datadog: StandIn, api: DatadogApi, what: Any, kind: FailureKind) -> None:
    """No way of failing raises, and none lasts longer than the limit."""
    datadog.fault(what)
    begun = time.monotonic()
    found = await ask(api)
    assert isinstance(found, NoAnswer)
    assert found.kind is kind
    assert time.monotonic() - begun < SECONDS + 2


async def test_the_next_request_is_well_after_a_failure(datadog: StandIn, api: DatadogApi) -> None:
    """A broken connection does not stay in the pool."""
    datadog.fault(Reset(), times=1)
    assert isinstance(await ask(api), NoAnswer)
    assert isinstance(await ask(api), Answer)


def self_signed(folder: Path) -> ssl.SSLContext:
    """Return a server's context whose certificate nobody has vouched for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + timedelta(days=36_500))
    pem = made.add_extension(names, critical=False).sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    pem += key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context


async def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    """Not one byte of the request leaves, with its keys; the failure says what is wrong with the certificate."""
    received = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.read())
        writer.close()

    server = await asyncio.start_server(serve, "localhost", ssl=self_signed(tmp_path), family=socket.AF_INET)
    port = server.sockets[0].getsockname()[1]
    async with (
        server,
        open_datadog(base_url=f"https://localhost:{port}", timeout_seconds=5, at_once=1) as api,
    ):
        found = await ask(api)
    assert isinstance(found, NoAnswer)
    assert found.kind is FailureKind.UNREACHABLE
    assert "certificate" in found.detail.lower()
    assert not received


async def test_redirects_are_not_followed(datadog: StandIn, api: DatadogApi) -> None:
    """Keys go to the host of the table and nowhere else."""
    with StandIn() as elsewhere:
        datadog.fault(Redirect(location=elsewhere.url + "/api/v2/dora/deployments/x"))
        found = await ask(api)
        assert isinstance(found, Answer)
        assert found.status == 307
        assert elsewhere.requests() == []


async def test_the_environments_proxy_is_not_used(
    datadog: StandIn, api: DatadogApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP_PROXY and the like are for other programs."""
    with StandIn() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        async with open_datadog(base_url=datadog.url, timeout_seconds=SECONDS, at_once=1) as fresh:
            await ask(fresh)
        assert proxy.requests() == []
    assert len(datadog.requests()) == 1


async def test_the_environments_proxy_is_used_where_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """DORA_OPERATOR_TRUST_ENV: the request goes through the proxy, unless NO_PROXY names its host."""
    monkeypatch.delenv("no_proxy", raising=False)
    with StandIn() as proxy, StandIn() as direct:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        for excepted, receiver in (("", proxy), ("localhost,127.0.0.0/8", direct)):
            monkeypatch.setenv("NO_PROXY", excepted)
            async with open_datadog(base_url=direct.url, timeout_seconds=SECONDS, at_once=1, trust_env=True) as datadog:
                await ask(datadog)
            assert [len(one.requests()) for one in (proxy, direct)] == [int(one is receiver) for one in (proxy, direct)]
            receiver.clear()


async def test_no_cookie_is_kept(datadog: StandIn, api: DatadogApi) -> None:
    """What one account's answer sets does not come along with the next one's request."""
    datadog.fault(Respond(status=202, headers={"Set-Cookie": "session=1; Path=/"}), times=1)
    for _ in range(2):
        await ask(api)
    assert ["cookie" in request.headers for request in datadog.requests()] == [False, False]


async def test_a_huge_body_is_cut(datadog: StandIn, api: DatadogApi) -> None:
    """Of an endless error page only the first 64 KiB are read."""
    datadog.fault(Respond(status=500, body="x" * (BODY_LIMIT * 4)))
    found = await ask(api)
    assert isinstance(found, Answer)
    assert len(found.body) == BODY_LIMIT


async def test_echoed_keys_are_redacted(datadog: StandIn, api: DatadogApi) -> None:
    """A proxy that repeats the request in its answer does not bring the keys into a status."""
    datadog.fault(Respond(status=403, body="you sent canary-api and canary-app"))
    found = await ask(api)
    assert isinstance(found, Answer)
    assert found.body == b"you sent [redacted] and [redacted]"


@pytest.mark.parametrize(
    "disguise",
    [
        pytest.param(lambda key: json.dumps({"errors": [key]}), id="as it is"),
        pytest.param(lambda key: "".join(f"\\u{ord(character):04x}" for character in key), id="escaped as JSON may be"),
        pytest.param(lambda key: quote(key, safe=""), id="percent-encoded"),
        pytest.param(lambda key: "".join(f"%{ord(character):02X}" for character in key), id="wholly percent-encoded"),
        pytest.param(html.escape, id="escaped for HTML"),
        pytest.param(lambda key: "".join(f"&#{ord(character)};" for character in key), id="wholly escaped for HTML"),
    ],
)
@pytest.mark.parametrize("key", ["canary-api", 'ca"na\\ry', "can%41ry&lt;", "<canary>'/+="])
def test_keys_in_disguise_are_redacted(disguise: Callable[[str], str], key: str) -> None:
    """Whatever a proxy's page makes of the key: nothing is shown that can be read as it."""
    body = redacted(f'{{"errors": ["you sent {disguise(key)}, twice"]}}'.encode(), Keys(key, "canary-app"))
    assert key not in first_words(body)
    assert disguise(key) not in body.decode()


async def test_a_packed_body_does_not_fill_memory() -> None:
    """Nobody asked for it; it is unpacked as far as the limit goes, and read as any other."""
    for size in (40, BODY_LIMIT * 50):
        for packed in (gzip.compress(b"x" * size), zlib.compress(b"x" * size), zlib.compress(b"x" * size, wbits=-15)):
            assert await first_bytes(httpx.ByteStream(packed), "GZip") == b"x" * min(size, BODY_LIMIT)
    assert await first_bytes(httpx.ByteStream(b"not packed at all"), "gzip") == b"not packed at all"


async def test_the_rate_limits_headers_arrive(api: DatadogApi) -> None:
    """All five, with lower-case names."""
    found = await ask(api)
    assert isinstance(found, Answer)
    assert set(found.headers) == {f"x-ratelimit-{name}" for name in ("limit", "period", "remaining", "reset", "name")}


async def test_nobody_listens() -> None:
    """A refused connection says so, without keys."""
    async with open_datadog(base_url="http://127.0.0.1:9", timeout_seconds=SECONDS, at_once=1) as api:
        found = await ask(api)
    assert isinstance(found, NoAnswer)
    assert found.kind is FailureKind.UNREACHABLE
    assert "canary" not in found.detail
