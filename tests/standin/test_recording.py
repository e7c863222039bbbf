"""What the stand-in shows of the requests it got, and what it must never show."""

import asyncio
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from sandbox.datadog import (
    ApmRows,
    EarlyMark,
    Endpoint,
    Permission,
    Precedence,
    RateLimit,
    ReadSchema,
    RemediationVersion,
    Seed,
    Settings,
    StandIn,
    UnknownDeployment,
    fingerprint,
)
from sandbox.datadog.__main__ import parser, settings_from
from sandbox.datadog.recording import Log

PATH = "/api/v2/dora/deployments/a%2Fb"


def test_a_request_is_recorded(datadog: StandIn, client: httpx.Client) -> None:
    """Method, raw path, headers, body, status and time of each request are shown in order."""
    client.patch(f"{PATH}?x=1", content=b"nothing \xff good")
    client.get(PATH)
    first, second = client.get("/_requests").json()
    assert (first["method"], first["path"], first["status"]) == ("PATCH", f"{PATH}?x=1", 400)
    assert (first["body"], first["fault"], first["applied"]) == ("nothing \ufffd good", None, True)
    assert (second["sequence"] - first["sequence"], second["status"]) == (1, 404)
    assert first["time"] <= second["time"]
    assert [one.as_json() for one in datadog.requests()] == [first, second]


def test_no_key_is_ever_shown(datadog: StandIn, connect: Callable[..., httpx.Client]) -> None:
    """Values of keys appear nowhere; fingerprints distinguish them."""
    secrets = {"DD-API-KEY": "secret-one", "dd-application-key": "secret-two", "Authorization": "Bearer secret-three"}
    client = connect(datadog, headers=secrets)
    client.get(f"{PATH}?api_key=secret-four&application_key=secret-five&a=b")
    assert "secret" not in client.get("/_requests").text
    (seen,) = datadog.requests()
    assert (seen.api_key, seen.application_key) == (fingerprint("secret-one"), fingerprint("secret-two"))
    assert re.fullmatch(r"present sha256:[0-9a-f]{12}", seen.headers["authorization"])
    assert seen.path == f"{PATH}?api_key=present&application_key=present&a=b"


def test_control_is_not_recorded_limited_or_faulted(connect: Callable[..., httpx.Client]) -> None:
    """The control endpoints stand outside of what they control."""
    with StandIn(Settings(rate_limit=RateLimit(limit=1))) as datadog:
        client = connect(datadog)
        assert client.put("/_faults", json=[{"what": {"kind": "reset"}}]).status_code == 204
        paths = ("/_requests", "/_faults", "/_deployments", "/_health")
        assert [client.get(path).status_code for path in paths] == [200] * 4
        assert datadog.requests() == []
        assert client.get("/_nothing").status_code == client.put("/_requests").status_code == 404


def test_requests_are_cleared(datadog: StandIn, client: httpx.Client) -> None:
    """DELETE forgets; sequence numbers go on, and waiting counts from there."""
    client.get(PATH)
    before = datadog.requests()[0].sequence
    assert client.delete("/_requests").status_code == 204
    assert datadog.requests() == []
    client.get(PATH)
    assert [one.sequence for one in datadog.wait_for_requests(1, timeout=1)] == [before + 1]


def test_new_requests_are_asked_for(client: httpx.Client) -> None:
    """`after` shows only what is new, and the health endpoint counts."""
    for _ in range(3):
        client.get(PATH)
    numbers = [one["sequence"] for one in client.get("/_requests").json()]
    assert [one["sequence"] for one in client.get(f"/_requests?after={numbers[0]}").json()] == numbers[1:]
    assert client.get(f"/_requests?after={numbers[-1] + 9}").json() == []
    assert client.get("/_requests?after=x").status_code == 400
    assert client.get("/_health").json() == {"status": "ok", "requests": 3}


def test_waiting_ends_with_the_request(datadog: StandIn, client: httpx.Client) -> None:
    """A waiting test goes on as soon as the last request came, and fails when it does not come."""
    sender = threading.Timer(0.05, lambda: [client.get(PATH) for _ in range(2)])
    started = time.monotonic()
    sender.start()
    assert len(datadog.wait_for_requests(2, timeout=20)) == 2
    assert time.monotonic() - started < 10
    sender.join()
    with pytest.raises(TimeoutError, match=r"2 of 3 requests after 0\.01 s"):
        datadog.wait_for_requests(3, timeout=0.01)


async def test_it_serves_asynchronous_tests(datadog: StandIn) -> None:
    """Many requests at once from a test's own event loop are all answered and recorded."""
    async with httpx.AsyncClient(base_url=datadog.url, trust_env=False) as client:
        answers = await asyncio.gather(*(client.get(PATH) for _ in range(20)))
    assert {one.status_code for one in answers} == {401}
    assert len(datadog.requests()) == 20


def test_only_the_newest_are_kept() -> None:
    """Memory is bounded: the oldest requests go, and a long body is cut."""
    log = Log(kept=2)
    entry: dict[str, Any] = {"time": 0, "method": "GET", "path": "/", "headers": {}, "status": 200}
    for _ in range(3):
        log.append(entry | {"fault": None, "applied": True}, b"x" * 100_000)
    assert [(one.sequence, len(one.body)) for one in log.all()] == [(2, 16_384), (3, 16_384)]


def test_a_body_that_is_too_large(client: httpx.Client) -> None:
    """More than a megabyte is refused, not an error of the stand-in."""
    assert client.patch(PATH, content=b"x" * 2_000_000).status_code == 413


def test_deployments_are_seeded_over_http(client: httpx.Client, datadog: StandIn) -> None:
    """PUT makes deployments visible as APM would, with any id; a wrong one is refused."""
    seed = {"id": "a/b", "service": "checkout", "started_at": 1.7e9, "finished_at": 1.7e9}
    assert client.put("/_deployments", json=[seed]).status_code == 204
    assert client.post("/_deployments", json=[seed | {"id": "c", "change_failure": True}]).status_code == 204
    assert client.get(PATH).json()["data"]["attributes"]["source"] == "apm_deployments"
    assert [one["id"] for one in client.get("/_deployments").json()] == ["a/b", "c"]
    assert client.put("/_deployments", json=[{"id": "x"}]).status_code == 400
    assert client.delete("/_deployments").status_code == 204
    assert datadog.deployments() == []


def test_memory_for_deployments_is_bounded() -> None:
    """The oldest deployments go."""
    seeds = [Seed(id=str(number), service="s", started_at=1, finished_at=1) for number in range(3)]
    with StandIn(Settings(kept_deployments=2)) as datadog:
        datadog.seed(*seeds)
        assert [one["id"] for one in datadog.deployments()] == ["1", "2"]


def test_a_port_that_is_taken_is_an_error(datadog: StandIn) -> None:
    """A stand-in that cannot listen says so at once."""
    port = int(datadog.url.rpartition(":")[2])
    with pytest.raises(OSError, match="address already in use"), StandIn(Settings(port=port)):
        pass


def test_it_runs_as_a_process() -> None:
    """`python -m sandbox.datadog` prints where it listens, serves with its options and ends on a signal."""
    command = [sys.executable, "-m", "sandbox.datadog", "--port", "0", "--rate-limit", "7", "--api-key", "right"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert url is not None
        wrong = httpx.get(url[0] + PATH, headers={"DD-API-KEY": "wrong"}, trust_env=False)
        process.terminate()
        assert process.wait(timeout=5) == 0
    assert (wrong.status_code, wrong.headers["X-RateLimit-Limit"]) == (403, "7")


def test_options_become_settings() -> None:
    """Each option of the command line means its setting; latency is in milliseconds."""
    words = "--host ::1 --port 8126 --api-key a --api-key b --app-key c --permission dora_metrics_write"
    words += " --rate-limit 5 --rate-period 60 --latency 250 --latency list=600"
    words += " --ingest-delay 1.5 --apm-delay 9 --patch-delay 2 --evaluation-delay 3 --detection-delay 4"
    words += " --unknown-deployment not_found --early-mark applied_later --no-detection --precedence patch"
    words += " --apm-rows each --remediation-version latest --no-negative-recovery --marks-after-evaluation"
    words += " --read-schema published --any-times --body-by-version"
    assert settings_from(words.split()) == Settings(
        host="::1",
        port=8126,
        api_keys=frozenset({"a", "b"}),
        application_keys=frozenset({"c"}),
        permissions=frozenset({Permission.WRITE}),
        rate_limit=RateLimit(limit=5, period=60),
        latency=0.25,
        endpoint_latency={Endpoint.LIST: 0.6},
        ingest_delay=1.5,
        apm_delay=9,
        patch_delay=2,
        evaluation_delay=3,
        detection_delay=4,
        unknown_deployment=UnknownDeployment.NOT_FOUND,
        early_mark=EarlyMark.APPLIED_LATER,
        detection=False,
        precedence=Precedence.PATCH,
        apm_rows=ApmRows.EACH,
        remediation_version=RemediationVersion.LATEST,
        negative_recovery=False,
        marks_before_evaluation=False,
        read_schema=ReadSchema.PUBLISHED,
        exact_times=False,
        empty_body_by_version=False,
    )
    assert settings_from([]) == Settings()
    options = {name for action in parser()._actions for name in [action.dest]}
    unnamed = {"fix_rules", "rate_limit", "endpoint_latency", "key_permissions", "kept_requests", "kept_deployments"}
    assert Settings.model_fields.keys() - options - unnamed == set()


def test_a_wrong_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """An endpoint that does not exist is an error of the command line."""
    with pytest.raises(SystemExit):
        settings_from(["--latency", "lists=600"])
    assert "--latency" in capsys.readouterr().err
