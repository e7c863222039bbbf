"""The client for Datadog against a real server that misbehaves in every way."""

import asyncio
import gzip
import html
import json
import socket
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
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

from dora_operator.clients.datadog import BODY_LIMIT, DatadogClient, Keys, first_bytes, open_http, redacted
from dora_operator.clients.errors import NotLeaderError
from dora_operator.clients.guard import Result
from dora_operator.domain.outcome import Answer, FailureKind, NoAnswer, first_words
from dora_operator.domain.request import PatchById
from dora_operator.domain.resource import MarkState
from dora_operator.domain.rollout.posted_events import DeploymentEvent
from dora_operator.domain.sites import Site
from dora_operator.metrics import Metrics
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


@asynccontextmanager
async def client_for(
    url: str, seconds: float = SECONDS, *, trust_env: bool = False, metrics: Metrics | None = None
) -> AsyncIterator[DatadogClient]:
    """Open a client with a short timeout."""
    async with open_http(connections=2, base_url=url, trust_env=trust_env) as http:
        yield DatadogClient(http, base_url=url, timeout_seconds=seconds, metrics=metrics or Metrics())


@pytest.fixture
async def client(datadog: StandIn) -> AsyncIterator[DatadogClient]:
    """Return a client of that server."""
    async with client_for(datadog.url + "/") as opened:
        yield opened


async def send(client: DatadogClient) -> Answer | NoAnswer:
    """Send one request."""
    return await client.patch(REQUEST, Site.US1, KEYS)


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
async def test_failures_are_values(datadog: StandIn, client: DatadogClient, what: Any, kind: FailureKind) -> None:
    """No way of failing raises, and none lasts longer than the limit."""
    datadog.fault(what)
    begun = time.monotonic()
    found = await send(client)
    assert isinstance(found, NoAnswer)
    assert found.kind is kind
    assert time.monotonic() - begun < SECONDS + 2


async def test_the_next_request_is_well_after_a_failure(datadog: StandIn, client: DatadogClient) -> None:
    """A broken connection does not stay in the pool."""
    datadog.fault(Reset(), times=1)
    assert isinstance(await send(client), NoAnswer)
    assert isinstance(await send(client), Answer)


def self_signed(folder: Path) -> ssl.SSLContext:
    """Return a server's context with a certificate that no authority has signed."""
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


async def test_a_self_signed_certificate_is_refused(tmp_path: Path) -> None:
    """Not one byte of the request leaves, with its keys; the failure says what is wrong with the certificate."""
    received = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.read())
        writer.close()

    server = await asyncio.start_server(serve, "localhost", ssl=self_signed(tmp_path), family=socket.AF_INET)
    port = server.sockets[0].getsockname()[1]
    async with (
        server,
        client_for(f"https://localhost:{port}", 5) as client,
    ):
        found = await send(client)
    assert isinstance(found, NoAnswer)
    assert found.kind is FailureKind.UNREACHABLE
    assert "certificate" in found.detail.lower()
    assert not received


async def test_redirects_are_not_followed(datadog: StandIn, client: DatadogClient) -> None:
    """Keys go to the host of the table and to no other."""
    with StandIn() as elsewhere:
        datadog.fault(Redirect(location=elsewhere.url + "/api/v2/dora/deployments/x"))
        found = await send(client)
        assert isinstance(found, Answer)
        assert found.status == 307
        assert elsewhere.requests() == []


async def test_the_environments_proxy_is_not_used(
    datadog: StandIn, client: DatadogClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP_PROXY and the like are for other programs, netrc too."""
    with StandIn() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        async with client_for(datadog.url) as fresh:
            await send(fresh)
        assert proxy.requests() == []
    assert len(datadog.requests()) == 1


async def test_the_environments_proxy_is_used_where_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """DORA_OPERATOR_TRUST_ENV: the request goes through the proxy, unless NO_PROXY names its host."""
    monkeypatch.delenv("no_proxy", raising=False)
    with StandIn() as proxy, StandIn() as direct:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        for excepted, receiver in (("", proxy), ("localhost,127.0.0.0/8", direct)):
            monkeypatch.setenv("NO_PROXY", excepted)
            async with client_for(direct.url, trust_env=True) as client:
                await send(client)
            assert [len(one.requests()) for one in (proxy, direct)] == [int(one is receiver) for one in (proxy, direct)]
            receiver.clear()


async def test_no_cookie_is_kept(datadog: StandIn) -> None:
    """What one account's answer sets does not come along with the next one's request."""
    datadog.fault(Respond(status=202, headers={"Set-Cookie": "session=1; Path=/"}), times=1)
    async with client_for(datadog.url.replace("127.0.0.1", "localhost")) as client:  # addresses have no cookies
        for _ in range(2):
            await send(client)
    assert ["cookie" in request.headers for request in datadog.requests()] == [False, False]


async def test_of_an_endless_body_only_the_beginning_is_read() -> None:
    """The rest is not waited for."""
    read: list[bytes] = []

    async def endless() -> AsyncIterator[bytes]:
        while len(read) < BODY_LIMIT:
            read.append(b"x" * 1024)
            yield read[-1]

    assert await first_bytes(endless(), "") == b"x" * BODY_LIMIT
    assert len(read) == BODY_LIMIT / 1024


async def test_a_huge_body_is_cut(datadog: StandIn, client: DatadogClient) -> None:
    """Of an endless error page only the first 64 KiB are read."""
    datadog.fault(Respond(status=500, body="x" * (BODY_LIMIT * 4)))
    found = await send(client)
    assert isinstance(found, Answer)
    assert len(found.body) == BODY_LIMIT


async def test_echoed_keys_are_redacted(datadog: StandIn, client: DatadogClient) -> None:
    """A proxy that repeats the request in its answer does not bring the keys into a status."""
    datadog.fault(Respond(status=403, body="you sent canary-api and canary-app"))
    found = await send(client)
    assert isinstance(found, Answer)
    assert found.body == b"you sent [redacted] and [redacted]"


@pytest.mark.parametrize(
    "escape",
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
def test_escaped_keys_are_redacted(escape: Callable[[str], str], key: str) -> None:
    """Whatever a proxy's page makes of the key: nothing is shown that can be read as it."""
    body = redacted(f'{{"errors": ["you sent {escape(key)}, twice"]}}'.encode(), Keys(key, "canary-app"))
    assert key not in first_words(body)
    assert escape(key) not in body.decode()


async def test_a_compressed_body_does_not_fill_memory() -> None:
    """It was not asked for; it is decompressed up to the limit, and read like any other."""
    for size in (40, BODY_LIMIT * 50):
        for compressed in (
            gzip.compress(b"x" * size),
            zlib.compress(b"x" * size),
            zlib.compress(b"x" * size, wbits=-15),
        ):
            assert await first_bytes(httpx.ByteStream(compressed), "GZip") == b"x" * min(size, BODY_LIMIT)
    assert await first_bytes(httpx.ByteStream(b"not compressed at all"), "gzip") == b"not compressed at all"


async def test_the_rate_limits_headers_arrive(client: DatadogClient) -> None:
    """All five, with lower-case names."""
    found = await send(client)
    assert isinstance(found, Answer)
    names = {f"x-ratelimit-{name}" for name in ("limit", "period", "remaining", "reset", "name")}
    assert set(found.headers) - {"date"} == names


async def test_a_refused_connection() -> None:
    """The failure is not reported as a timeout, as the transport does, and holds no keys."""
    async with client_for("http://127.0.0.1:9") as client:
        found = await send(client)
    assert isinstance(found, NoAnswer)
    assert found.kind is FailureKind.UNREACHABLE
    assert "canary" not in found.detail


async def test_no_netrc_is_read(
    datadog: StandIn, client: DatadogClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An entry for the host would send a password to it."""
    (tmp_path / ".netrc").write_text("default login someone password canary\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    await send(client)
    assert "authorization" not in datadog.requests()[0].headers


async def test_an_id_goes_out_as_it_is_encoded(datadog: StandIn, client: DatadogClient) -> None:
    """As Datadog's own client sends it: the package httpx-aiohttp alone would send the colon as it is."""
    for _ in range(3):
        await client.patch(PatchById("a/b:c d?e#f%41é", MarkState(change_failure=True)), Site.US1, KEYS)
    assert {request.path for request in datadog.requests()} == {
        "/api/v2/dora/deployments/a%2Fb%3Ac%20d%3Fe%23f%2541%C3%A9"
    }


async def test_requests_are_counted(datadog: StandIn) -> None:
    """By call and by answer, with the time until the answer."""
    metrics = Metrics()
    event = DeploymentEvent(
        deployment_id="dora-operator-0123", service="s", env="e", version="1", started_at=NOW, finished_at=NOW
    )
    async with client_for(datadog.url, metrics=metrics) as client:
        await send(client)
        datadog.fault(Reset(), times=1)
        await send(client)
        await client.post_deployment(event, Site.US1, KEYS)
    text = metrics.text().decode()
    for call, code in (("mark_by_id", "202"), ("mark_by_id", "none"), ("deployment_event", "200")):
        assert f'dora_operator_datadog_requests_total{{call="{call}",code="{code}"}} 1.0' in text
    assert 'dora_operator_datadog_request_seconds_count{call="mark_by_id"} 2.0' in text


async def test_nothing_is_sent_without_the_lease(datadog: StandIn) -> None:
    """A request to Datadog is a write."""

    class Follower:
        async def guard(self, request: Coroutine[Any, Any, Result]) -> Result:
            request.close()
            raise NotLeaderError

    async with open_http(connections=1) as http:
        client = DatadogClient(
            http, base_url=datadog.url, timeout_seconds=SECONDS, metrics=Metrics(), leader=Follower()
        )
        with pytest.raises(NotLeaderError):
            await send(client)
    assert datadog.requests() == []


def test_keys_are_not_in_a_repr() -> None:
    """Keys may be part of what a traceback shows."""
    assert "canary" not in repr(KEYS)
