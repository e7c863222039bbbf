"""`kubectl dora probe` against the stand-in: what confirms or contradicts each assumption, what is never sent."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import HttpUrl

from dora_operator.clients.datadog import DatadogClient, Keys, open_http
from dora_operator.domain.outcome import Answer
from dora_operator.domain.sites import Site
from dora_operator.metrics import Metrics
from dora_operator.settings import Settings as OperatorSettings
from kubectl_dora.datadog import Account
from kubectl_dora.doctor_facts import read_account
from kubectl_dora.main import run as run_command
from kubectl_dora.probe.model import Result, Scope
from kubectl_dora.probe.run import ProbeRunner
from kubectl_dora.probe.table import CLEANUP, GROUPS, READS, WRITES
from sandbox.datadog import Match, Respond, Seed, StandIn
from sandbox.datadog.settings import Settings
from tests.support.builders import NOW

API_KEY, APP_KEY = "an-api-key-that-nobody-may-see", "an-app-key-that-nobody-may-see"
NAMES = [probe.name for probes in GROUPS.values() for probe in probes]
LATE = {"ingest_delay": 60}


@dataclass
class Time:
    """A clock that a probe's waiting moves."""

    now: float = NOW.timestamp()

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Wait without waiting."""
        self.now += seconds


@dataclass
class Case:
    """A stand-in with settings and deployments, and probes that were sent to it."""

    settings: dict[str, Any] = field(default_factory=dict)
    seeds: list[dict[str, Any]] = field(default_factory=list)
    answers: list[tuple[Match, Respond]] = field(default_factory=list)
    wait_seconds: float = 100
    write: bool = True


@dataclass
class Outcome:
    """What the probes printed, and what Datadog got."""

    text: str
    requests: list[tuple[str, str]]
    left: list[str]

    def result(self, name: str) -> Result:
        """Return what a probe's answer decided."""
        (line,) = [line for line in self.text.splitlines() if line.startswith(f"{name}: ")]
        return next(result for result in Result if line.partition(": ")[2].startswith(result.value))


def seed(number: int, **changes: Any) -> dict[str, Any]:
    """Return a deployment of the last hour."""
    started = NOW.timestamp() - 3600 + 300 * number
    common = {"id": f"deployment-{number}", "service": "checkout", "env": "test", "version": str(number)}
    return common | {"started_at": started, "finished_at": started + 60} | changes


TWO = [seed(1), seed(2)]


async def probed(case: Case) -> Outcome:
    """Send the probes."""
    time, lines = Time(), list[str]()
    with StandIn(Settings(**({"detection": False} | case.settings)), clock=time) as datadog:
        datadog.seed(*(Seed(**each) for each in case.seeds))
        for match, answer in case.answers:
            datadog.fault(answer, match=match)
        async with open_http(connections=1) as http:
            client = DatadogClient(http, base_url=datadog.url, timeout_seconds=5, metrics=Metrics())
            account = Account(client, Site.US1, Keys(API_KEY, APP_KEY))
            probes = ProbeRunner(account, case.wait_seconds, lines.append, time.sleep)
            await probes.run(Scope("checkout", "test", NOW), write=case.write)
        requests = [(one.method, one.path) for one in datadog.requests()]
        return Outcome("\n".join(lines), requests, [one["id"] for one in datadog.deployments()])


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    """Return a running stand-in."""
    with StandIn() as datadog:
        yield datadog


async def test_a_datadog_as_assumed_confirms_every_probe_and_nothing_is_left() -> None:
    """Each probe once; the two deployments that they made are deleted."""
    linked = seed(3, change_failure=True)
    outcome = await probed(Case(seeds=[*TWO, linked]))
    results = {name: outcome.result(name) for name in NAMES}
    assert {name for name, result in results.items() if result is not Result.CONFIRMED} == {"recovery-time"}
    assert outcome.left == [each["id"] for each in (*TWO, linked)]


DOCUMENT = {
    "id": "deployment-1",
    "type": "dora_deployment",
    "attributes": {"service": "checkout", "env": "test", "version": "1"},
}


def answering(*items: dict[str, Any], status: int = 200) -> list[tuple[Match, Respond]]:
    """Let lists be answered with these deployments."""
    body = {"data": [DOCUMENT | {"attributes": DOCUMENT["attributes"] | each} for each in items]}  # type: ignore[operator]
    return [(Match(method="POST", path_regex="/deployments$"), Respond(status=status, body=body))]


def refused(method: str, regex: str) -> list[tuple[Match, Respond]]:
    """Let requests be answered 400."""
    return [(Match(method=method, path_regex=regex), Respond(status=400, body={"errors": ["no"]}))]


EARLY, LATER = "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"
FAILED = {"id": "deployment-1", "finished_at": EARLY, "recovery_time_sec": 5, "remediation": {"id": "deployment-2"}}
CONTRADICTED = [
    pytest.param("read-permission", Case({"permissions": ["dora_metrics_write"]}), id="the keys may not read"),
    pytest.param("list-query", Case(answers=answering({"service": "cart"})), id="a list has another service"),
    pytest.param(
        "list-order", Case(answers=answering({"started_at": EARLY}, {"started_at": LATER})), id="the oldest comes first"
    ),
    pytest.param("list-has-marks", Case({"read_schema": "published"}, TWO), id="the list has no marks"),
    pytest.param("one-source", Case(seeds=[seed(1), seed(2, source="ci")]), id="two sources"),
    pytest.param("versions-once", Case(seeds=[seed(1), seed(2, version="1")]), id="a version twice"),
    pytest.param("get-has-mark", Case({"read_schema": "observed_in_list"}, TWO), id="GET has no marks"),
    pytest.param("get-by-id", Case(seeds=TWO, answers=refused("GET", "deployment-2$")), id="GET of a known id fails"),
    pytest.param("get-unknown", Case(answers=refused("GET", "unknown$")), id="an unknown id is a 400"),
    pytest.param("write-permission", Case({"permissions": ["dora_metrics_read"]}), id="the keys may not mark"),
    pytest.param("write-permission", Case({"unknown_deployment": "not_found"}), id="an unknown version is a 404"),
    pytest.param("patch-unknown-id", Case({"unknown_deployment": "not_found"}), id="an unknown id of a mark is a 404"),
    pytest.param("post-first", Case(answers=refused("POST", "/deployment$")), id="events with own ids are refused"),
    pytest.param("early-mark", Case({"unknown_deployment": "not_found"} | LATE), id="an early mark is refused"),
    pytest.param("early-mark-kept", Case(LATE), id="an early mark is lost"),
    pytest.param("mark-stored", Case({"patch_delay": 1000}), id="a mark is applied too late"),
    pytest.param("link-stored", Case({"patch_delay": 1000}), id="a link is applied too late"),
    pytest.param("negative-recovery", Case({"negative_recovery": False}), id="no negative recovery is shown"),
    pytest.param("clear-stored", Case({"patch_delay": 1000}), id="a mark is not taken back in time"),
    pytest.param(
        "delete-first", Case(answers=refused("DELETE", "-1$")), id="the deployment of the probes is not deleted"
    ),
]


@pytest.mark.parametrize(("name", "case"), CONTRADICTED)
async def test_a_datadog_that_is_otherwise_contradicts(name: str, case: Case) -> None:
    """The probe says so, and what to change."""
    outcome = await probed(case)
    assert outcome.result(name) is Result.CONTRADICTED
    (probe,) = [probe for probes in GROUPS.values() for probe in probes if probe.name == name]
    assert f"  change: {probe.otherwise}" in outcome.text


@pytest.mark.parametrize(
    ("items", "result"),
    [
        pytest.param([FAILED, {"finished_at": LATER}], Result.CONTRADICTED, id="another time"),
        pytest.param([FAILED | {"recovery_time_sec": 3600}], Result.NOT_CLEAR, id="the remediation is not in the list"),
    ],
)
async def test_recovery_times_are_compared_with_the_finishes(items: list[dict[str, Any]], result: Result) -> None:
    """Of linked deployments, where both are known."""
    answers = answering(*items)
    answers[0][1].body["data"][-1]["id"] = "deployment-2" if len(items) > 1 else "deployment-1"  # type: ignore[index,call-overload]
    outcome = await probed(Case(answers=answers, write=False))
    assert outcome.result("recovery-time") is result


async def test_without_deployments_what_needs_one_is_not_clear() -> None:
    """Nothing is concluded from an empty list, and no request names an id that is not known."""
    outcome = await probed(Case(write=False))
    assert {outcome.result(name) for name in ("list-query", "one-source", "get-by-id")} == {Result.NOT_CLEAR}
    assert not [path for _, path in outcome.requests if "NEWEST" in path]


async def test_an_outage_is_not_clear() -> None:
    """No answer, 5xx and 429 decide nothing."""
    for status in (503, 429):
        outcome = await probed(Case(answers=[(Match(), Respond(status=status))], write=False))
        assert {outcome.result(probe.name) for probe in READS} == {Result.NOT_CLEAR}


async def test_reading_probes_change_nothing() -> None:
    """Without --write: lists and gets alone, and requests that probes share are sent once."""
    outcome = await probed(Case(seeds=TWO, write=False))
    assert {(method, path.rsplit("/", 1)[-1]) for method, path in outcome.requests if method != "GET"} == {
        ("POST", "deployments")
    }
    assert len(outcome.requests) == 5
    assert not [probe.name for probe in WRITES if f"\n{probe.name}: " in outcome.text]


async def test_keys_that_may_not_mark_make_no_deployment() -> None:
    """An event needs the API key alone: what cannot be deleted again is not made."""
    outcome = await probed(Case({"permissions": ["dora_metrics_read"]}))
    assert outcome.left == []
    assert [method for method, _ in outcome.requests if method != "GET"][-1] == "PATCH"
    assert not [path for _, path in outcome.requests if path.endswith("/deployment")]


async def test_deployments_that_never_appear_are_waited_for_once() -> None:
    """Then nothing is concluded from the list, and they are deleted all the same."""
    outcome = await probed(Case({"ingest_delay": 100_000}, wait_seconds=50))
    late = {"visible", "mark-stored", "link-stored", "negative-recovery", "clear-stored"}
    assert {outcome.result(name) for name in late} == {Result.NOT_CLEAR}
    lists = [path for method, path in outcome.requests if method == "POST" and path.endswith("s")]
    assert len(lists) <= 2 + 11 + len(late) + 3
    assert [method for method, _ in outcome.requests[-2:]] == ["DELETE", "DELETE"]
    assert {outcome.result(probe.name) for probe in CLEANUP} == {Result.CONFIRMED}


async def test_deployments_are_deleted_when_the_probes_are_interrupted() -> None:
    """Whatever happens after the first event."""

    async def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    with StandIn(Settings(ingest_delay=5)) as datadog:
        async with open_http(connections=1) as http:
            client = DatadogClient(http, base_url=datadog.url, timeout_seconds=5, metrics=Metrics())
            account = Account(client, Site.US1, Keys(API_KEY, APP_KEY))
            probes = ProbeRunner(account, 50, lambda _: None, interrupted)
            with pytest.raises(KeyboardInterrupt):
                await probes.run(Scope("checkout", "test", NOW), write=True)
        assert [one.method for one in datadog.requests()[-2:]] == ["DELETE", "DELETE"]


@dataclass(frozen=True)
class Command:
    """Runs `kubectl dora probe` in this process."""

    monkeypatch: pytest.MonkeyPatch
    capfd: pytest.CaptureFixture[str]

    def __call__(self, url: str, *arguments: str, keys: bool = True) -> tuple[int, str]:
        """Run the command, and return its exit code and all that it printed."""
        self.monkeypatch.setenv("DORA_OPERATOR_DATADOG_URL", url)
        for name, value in {"DD_API_KEY": API_KEY, "DD_APP_KEY": APP_KEY}.items():
            self.monkeypatch.setenv(name, value) if keys else self.monkeypatch.delenv(name, raising=False)
        code = run_command(["probe", *arguments])
        return code, "".join(self.capfd.readouterr())


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Return what runs the command."""
    return Command(monkeypatch, capfd)


SENT = ("--run", "--service", "checkout", "--env", "test")


def test_the_dry_run_prints_each_request_and_sends_none(stand_in: StandIn, run: Command) -> None:
    """Method, URL and body of every probe, and what its answer decides; no keys are needed, and none are printed."""
    code, text = run(stand_in.url, "--service", "checkout", "--env", "test")
    assert (code, stand_in.requests()) == (0, [])
    for group, probes in GROUPS.items():
        for probe in probes:
            assert f"{probe.name} ({group})\n  assumed: {probe.assumes}\n  request: " in text
            assert f"  if contradicted: {probe.otherwise}\n" in text
    bodies = [json.loads(line) for line in text.splitlines() if line.startswith("           {")]
    assert {'service:"checkout" env:"test"'} == {
        body["data"]["attributes"]["query"] for body in bodies if "query" in body["data"]["attributes"]
    }
    assert f"PATCH {stand_in.url}/api/v2/dora/deployments\n" in text
    assert API_KEY not in text
    assert APP_KEY not in text
    assert run(stand_in.url, keys=False)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "keys", "problem"),
    [
        pytest.param(["--run"], True, "give --service and --env", id="no service and env"),
        pytest.param(["--run", "--service", "a"], True, "give --service and --env", id="no env"),
        pytest.param(["--write"], True, "without --run nothing is sent", id="--write alone"),
        pytest.param(["--run", "--service", "a", "--env", "b"], False, "no DD_API_KEY", id="no keys"),
    ],
)
def test_the_command_refuses(
    stand_in: StandIn,
    run: Command,
    arguments: list[str],
    problem: str,
    keys: bool,  # noqa: FBT001
) -> None:
    """Before anything is sent, with exit code 2."""
    code, text = run(stand_in.url, *arguments, keys=keys)
    assert code == 2
    assert problem in text
    assert stand_in.requests() == []


@pytest.mark.parametrize("permissions", [["dora_metrics_read", "dora_metrics_write"], ["dora_metrics_write"]])
def test_the_exit_code_says_whether_something_is_contradicted(
    stand_in: StandIn, run: Command, permissions: list[str]
) -> None:
    """1 if an answer contradicts an assumption; the keys are in no line."""
    stand_in.configure(permissions=permissions)
    code, text = run(stand_in.url, "--run", "--service", "checkout", "--env", "test")
    may_read = "dora_metrics_read" in permissions
    assert code == (0 if may_read else 1)
    assert f"{0 if may_read else 1} contradicted" in text.splitlines()[-1]
    assert API_KEY not in text
    assert APP_KEY not in text


async def test_the_keys_of_a_mounted_secret_count(
    stand_in: StandIn, run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the chart mounts them: `probe` and `doctor` use the keys that the operator uses."""
    monkeypatch.setenv("DORA_OPERATOR_KEYS_DIR", str(tmp_path))
    code, text = await asyncio.to_thread(run, stand_in.url, *SENT, keys=False)
    assert (code, stand_in.requests()) == (2, [])
    assert f"cannot read its own api-key in {tmp_path}" in text
    operator = OperatorSettings(datadog_url=HttpUrl(stand_in.url))
    assert str(tmp_path) in (await read_account(operator, {})).no_keys
    (tmp_path / "api-key").write_text(API_KEY)
    (tmp_path / "app-key").write_text(APP_KEY)
    assert (await asyncio.to_thread(run, stand_in.url, *SENT, keys=False))[0] == 0
    account = await read_account(operator, {})
    assert account.no_keys == ""
    assert isinstance(account.write, Answer)
    assert account.write.status == 400


def test_without_any_answer_the_command_fails(run: Command) -> None:
    """No network confirms nothing."""
    code, text = run("http://127.0.0.1:9", *SENT)
    assert code == 1
    assert "Datadog has not answered at all" in text
