"""Control from a test, in process and over HTTP: settings while it runs, APM, edits in the UI, latency."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from sandbox.datadog import RECORDED_LATENCY, ApmRows, Endpoint, Found, Permission, Seed, Settings, StandIn
from sandbox.datadog.api import Api
from tests.standin.clocked import BASE, START

ID = "4aBcD_fGh-1"
SEED: dict[str, Any] = {"id": ID, "service": "checkout", "env": "prod", "version": "1.5.0"}
SEED |= {"started_at": START, "finished_at": START + 60}
PATH = f"{BASE}deployments/{ID}"
LIST = {"data": {"type": "dora_deployments_list_request", "attributes": {}}}


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class InProcess:
    """Control through the Python object."""

    def __init__(self, datadog: StandIn, _: httpx.Client) -> None:
        self.datadog = datadog

    def seed(self, **members: Any) -> None:
        """Make a deployment visible."""
        self.datadog.seed(Seed(**members))

    def apm(self, **members: Any) -> list[str]:
        """Let APM find a deployment."""
        return self.datadog.apm(Found(**members))

    def edit(self, **changes: Any) -> bool:
        """Edit the deployment; says whether it is there."""
        return self.datadog.edit(ID, **changes)

    def remove(self) -> bool:
        """Remove the deployment; says whether it was there."""
        return self.datadog.remove(ID)

    def configure(self, **changes: Any) -> None:
        """Change settings."""
        self.datadog.configure(**changes)


class OverHttp(InProcess):
    """The same over HTTP."""

    def __init__(self, _: StandIn, client: httpx.Client) -> None:
        self.client = client

    def seed(self, **members: Any) -> None:
        """Make a deployment visible."""
        self.client.post("/_deployments", json=[members]).raise_for_status()

    def apm(self, **members: Any) -> list[str]:
        """Let APM find a deployment."""
        return list(self.client.post("/_apm", json=[members]).json())

    def edit(self, **changes: Any) -> bool:
        """Edit the deployment; says whether it is there."""
        return self.client.patch(f"/_deployments/{ID}", json=changes).status_code == 204

    def remove(self) -> bool:
        """Remove the deployment; says whether it was there."""
        return self.client.delete(f"/_deployments/{ID}").status_code == 204

    def configure(self, **changes: Any) -> None:
        """Change settings."""
        self.client.patch("/_settings", json=changes).raise_for_status()


@pytest.fixture(params=[pytest.param(InProcess, id="in process"), pytest.param(OverHttp, id="over HTTP")])
def control(request: pytest.FixtureRequest, datadog: StandIn, client: httpx.Client) -> InProcess:
    """Return the control of the default stand-in."""
    made: InProcess = request.param(datadog, client)
    return made


def test_settings_change_while_it_runs(control: InProcess, client: httpx.Client) -> None:
    """A permission is taken away and given back."""
    control.seed(**SEED)
    control.configure(permissions=["dora_metrics_write"])
    assert client.get("/_settings").json()["permissions"] == ["dora_metrics_write"]
    assert client.get(PATH).status_code == 403
    control.configure(permissions=list(Permission))
    assert client.get(PATH).status_code == 200


def test_edits_in_the_ui(control: InProcess, datadog: StandIn) -> None:
    """A person marks, links and clears; what is not named stays, and nothing is recorded as a request."""
    assert control.edit(change_failure=True) is False
    control.seed(**SEED)
    assert control.edit(change_failure=True, remediation={"id": "x"}) is True
    shown = datadog.deployment(ID)
    assert (shown["change_failure"], shown["remediation"]) == (True, {"id": "x", "type": "rollback"})
    control.edit(remediation=None)
    shown = datadog.deployment(ID)
    assert (shown["change_failure"], "remediation" in shown) == (True, False)
    control.edit(change_failure=None)
    assert datadog.deployment(ID)["change_failure"] is None
    assert datadog.requests() == []


def test_a_deployment_disappears(control: InProcess, datadog: StandIn, client: httpx.Client) -> None:
    """One that was visible is missing from then on; a mark of it is accepted and lost."""
    control.seed(**SEED)
    assert (control.remove(), control.remove()) == (True, False)
    mark = {"id": ID, "type": "dora_deployment_patch_request", "attributes": {"change_failure": True}}
    assert client.patch(PATH, json={"data": mark}).status_code == 202
    assert (client.get(PATH).status_code, datadog.lost_marks()) == (404, 1)


def test_apm_finds_deployments(control: InProcess, datadog: StandIn) -> None:
    """Its rows have ids of 11 characters and its source; how many a version has is a setting."""
    found = {name: value for name, value in SEED.items() if name != "id"}
    (first,), (again,) = control.apm(**found), control.apm(**found)
    assert (len(first), first) == (11, again)
    assert datadog.deployment(first)["source"] == "apm_deployments"
    control.configure(apm_rows=ApmRows.EACH)
    (another,) = control.apm(**found, commit_sha="0" * 40)
    assert another != first
    assert datadog.deployment(another)["git"]["commit_sha"] == "0" * 40


def test_a_clock_of_the_test(connect: Callable[..., httpx.Client]) -> None:
    """Delays pass when the test's clock says so: a seed and APM with a delay, no sleep."""
    clock = Clock()
    with StandIn(Settings(apm_delay=600), clock=clock) as datadog:
        client = connect(datadog)
        datadog.seed(Seed(**SEED, delay=30))
        (found,) = datadog.apm(Found(service="cart", started_at=START, finished_at=START))
        visible = []
        for clock.now in (START + 29, START + 30, START + 600):
            visible.append([one["id"] for one in client.get("/_deployments").json()])
    assert visible == [[], [ID], [ID, found]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"port": 1}, "cannot change port", id="a fixed setting"),
        pytest.param({"api_keys": []}, "cannot change api_keys", id="the keys"),
        pytest.param({"ingest_dealy": 1}, "ingest_dealy", id="a misspelt one"),
        pytest.param({"ingest_delay": -1}, "ingest_delay", id="a wrong value"),
        pytest.param([], "must be a JSON object", id="a list"),
    ],
)
def test_a_wrong_setting_is_refused(client: httpx.Client, datadog: StandIn, changes: Any, message: str) -> None:
    """It is a 400 that names the setting, and nothing changes."""
    before = client.get("/_settings").json()
    response = client.patch("/_settings", json=changes)
    assert (response.status_code, message in response.text) == (400, True)
    assert client.get("/_settings").json() == before
    if isinstance(changes, dict):
        with pytest.raises(ValueError, match=message):
            datadog.configure(**changes)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("PATCH", "/_deployments/x", b'{"change_failure": "maybe"}', id="an edit with a wrong mark"),
        pytest.param("PATCH", "/_deployments/x", b'{"remediation": {"id": "y", "type": "magic"}}', id="a wrong link"),
        pytest.param("PATCH", "/_deployments/x", b'{"failure": true}', id="an edit with a misspelt member"),
        pytest.param("POST", "/_apm", b'[{"service": "a"}]', id="APM without times"),
        pytest.param(
            "POST", "/_apm", b'[{"service": "a", "started_at": 1, "finished_at": 1e300}]', id="an endless time"
        ),
        pytest.param("PATCH", "/_settings", b"{", id="settings that are no JSON"),
    ],
)
def test_a_wrong_control_request_is_refused(client: httpx.Client, method: str, path: str, body: bytes) -> None:
    """A mistake in a test is a 400, not an error of the stand-in."""
    assert client.request(method, path, content=body).status_code == 400


def test_keys_are_not_shown(connect: Callable[..., httpx.Client]) -> None:
    """The settings that can be read have neither keys nor where the stand-in listens."""
    with StandIn(Settings(api_keys={"secret-key"}, application_keys={"secret-key"})) as datadog:
        shown = connect(datadog).get("/_settings")
    assert "secret" not in shown.text
    assert not {"host", "port", "api_keys", "application_keys"} & shown.json().keys()


@pytest.mark.parametrize(
    ("method", "path", "seconds"),
    [
        pytest.param("POST", "deployments", 0.54, id="list"),
        pytest.param("PATCH", "deployments/x", 0.118, id="PATCH by id"),
        pytest.param("PATCH", "deployments", 0.118, id="PATCH by version"),
        pytest.param("GET", "deployments/x", 0.54, id="GET"),
        pytest.param("POST", "deployment", 0.16, id="POST"),
        pytest.param("DELETE", "deployment/x", 7, id="one that is not named: the usual latency"),
        pytest.param("GET", "nowhere", 7, id="a path that does not exist: the usual latency"),
    ],
)
def test_latency_of_each_endpoint(method: str, path: str, seconds: float) -> None:
    """Endpoints have their own latencies, for example the recorded ones."""
    assert Api(Settings(latency=7, endpoint_latency=dict(RECORDED_LATENCY))).latency(method, BASE + path) == seconds


async def test_a_slow_list_delays_no_mark(datadog: StandIn) -> None:
    """A PATCH is answered while a list that was asked before it still takes its time."""
    datadog.configure(endpoint_latency={Endpoint.LIST: 60})
    keys = {"DD-API-KEY": "one", "DD-APPLICATION-KEY": "two"}
    async with httpx.AsyncClient(base_url=datadog.url, headers=keys, trust_env=False) as client:
        slow = asyncio.create_task(client.post(f"{BASE}deployments", json=LIST))
        await asyncio.to_thread(datadog.wait_for_requests, 1)
        mark = {"id": ID, "type": "dora_deployment_patch_request", "attributes": {"change_failure": True}}
        assert (await client.patch(PATH, json={"data": mark})).status_code == 202
        assert not slow.done()
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
