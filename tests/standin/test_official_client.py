"""Datadog's own client drives every endpoint of the stand-in and takes it for Datadog."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from datadog_api_client import ApiClient, Configuration, exceptions
from datadog_api_client.v2.api.dora_metrics_api import DORAMetricsApi
from datadog_api_client.v2.model.dora_deployment_patch_by_version_request import DORADeploymentPatchByVersionRequest
from datadog_api_client.v2.model.dora_deployment_patch_request import DORADeploymentPatchRequest
from datadog_api_client.v2.model.dora_deployment_request import DORADeploymentRequest
from datadog_api_client.v2.model.dora_list_deployments_request import DORAListDeploymentsRequest

from sandbox.datadog import Match, Permission, RateLimit, Respond, Seed, Settings, StandIn, UnknownDeployment

PATCH_TYPE = "dora_deployment_patch_request"
BLANK = " "
"""A key that the client lets through and that arrives empty; it refuses to send none at all."""

APM = Seed(id="4aBcD_fGh-1", service="checkout", env="prod", version="1.5.0", started_at=1.7e9, finished_at=1.7e9 + 60)


def api(datadog: StandIn, *, api_key: str = "an-api-key", app_key: str = "an-app-key", retry: bool = False) -> Any:
    """Return the official API object, set to call the stand-in through its server override."""
    configuration = Configuration(
        server_index=1,
        server_variables={"protocol": "http", "name": datadog.url.removeprefix("http://")},
        api_key={"apiKeyAuth": api_key, "appKeyAuth": app_key},
        enable_retry=retry,
    )
    return DORAMetricsApi(ApiClient(configuration))


@pytest.fixture
def dora(datadog: StandIn) -> Iterator[Any]:
    """Return the official API object for the default stand-in."""
    made = api(datadog)
    yield made
    made.api_client.close()


def by_id(deployment_id: str, **attributes: Any) -> DORADeploymentPatchRequest:
    """Return the request that marks a deployment by its id."""
    return DORADeploymentPatchRequest(data={"id": deployment_id, "type": PATCH_TYPE, "attributes": attributes})


def by_version(**attributes: Any) -> DORADeploymentPatchByVersionRequest:
    """Return the request that marks a deployment by service, env and version."""
    return DORADeploymentPatchByVersionRequest(data={"type": PATCH_TYPE, "attributes": attributes})


def event(**more: Any) -> DORADeploymentRequest:
    """Return the request that sends a deployment."""
    attributes = {"service": "checkout", "started_at": 1_700_000_000_000, "finished_at": 1_700_000_060_000, **more}
    return DORADeploymentRequest(data={"attributes": attributes})


def listing(**attributes: Any) -> DORAListDeploymentsRequest:
    """Return the request that lists deployments."""
    return DORAListDeploymentsRequest(data={"type": "dora_deployments_list_request", "attributes": attributes})


def test_a_sent_deployment_is_read_back(dora: Any) -> None:
    """A deployment that the client sends is what it gets and lists."""
    git = {"commit_sha": "0" * 40, "repository_url": "https://example.com/shop/Checkout.git"}
    sent = dora.create_dora_deployment(event(env="prod", version="1.5.0", team="pay", custom_tags=["a:b"], git=git))
    read = dora.get_dora_deployment(sent.data.id).data
    assert str(read.type) == "dora_deployment"
    assert read.attributes.started_at == datetime.fromtimestamp(1_700_000_000, UTC)
    assert (read.attributes.env, read.attributes.version, read.attributes.team) == ("prod", "1.5.0", "pay")
    assert read.attributes.git.repository_id == "example.com/shop/checkout"
    assert read.attributes.change_failure is None


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(datetime(2023, 11, 14, tzinfo=UTC), id="with a time zone, sent as +00:00"),
        pytest.param(datetime(2023, 11, 14), id="without one, sent with milliseconds"),  # noqa: DTZ001 - what users pass
    ],
)
def test_the_list_takes_the_clients_date_times(moment: datetime) -> None:
    """Where every RFC 3339 date-time is allowed, both ways in which the client writes them are understood."""
    with StandIn(Settings(exact_times=False)) as datadog:
        dora = api(datadog)
        with dora.api_client:
            dora.create_dora_deployment(event(version="1.5.0"))
            dora.create_dora_deployment(event(version="1.5.1"))
            asked = listing(_from=moment, to=moment.replace(day=15), limit=5, query="service:checkout version:1.5.1")
            assert [one.attributes.version for one in dora.list_dora_deployments(asked).data] == ["1.5.1"]


def test_a_query_of_the_client(dora: Any) -> None:
    """The query that the operator sends selects one service and env."""
    for env in ("prod", "staging"):
        dora.create_dora_deployment(event(env=env, version="1.5.0"))
    found = dora.list_dora_deployments(listing(query='service:"checkout" env:"prod"')).data
    assert [one.attributes.env for one in found] == ["prod"]


def test_a_mark_by_id_is_applied(dora: Any, datadog: StandIn) -> None:
    """The PATCH of an id as APM makes them changes that deployment."""
    datadog.seed(APM)
    assert dora.patch_dora_deployment(APM.id, by_id(APM.id, change_failure=True)) is None
    assert dora.get_dora_deployment(APM.id).data.attributes.change_failure is True


def test_a_mark_by_version_is_applied_to_the_latest(dora: Any, datadog: StandIn) -> None:
    """Of two deployments of one version the one that finished last is marked."""
    later = APM.model_copy(update={"id": "later-00001", "finished_at": APM.finished_at + 1})
    datadog.seed(later, APM)
    remediation = {"type": "rollback", "version": "1.4.0"}
    asked = by_version(service="checkout", env="prod", version="1.5.0", change_failure=True, remediation=remediation)
    assert dora.patch_dora_deployment_by_version(asked) is None
    marks = {one["id"]: one["attributes"]["change_failure"] for one in datadog.deployments()}
    assert marks == {"later-00001": True, APM.id: None}


def test_ids_arrive_percent_encoded(dora: Any, datadog: StandIn) -> None:
    """An id with a slash stays one segment, is recorded as sent and understood as meant."""
    datadog.seed(APM.model_copy(update={"id": "a/b:c d"}))
    dora.patch_dora_deployment("a/b:c d", by_id("a/b:c d", change_failure=False))
    assert datadog.requests()[-1].path == "/api/v2/dora/deployments/a%2Fb%3Ac%20d"
    assert datadog.deployment("a/b:c d")["change_failure"] is False


def test_a_deployment_is_deleted(dora: Any, datadog: StandIn) -> None:
    """The client's DELETE, on the singular path, removes a deployment."""
    datadog.seed(APM)
    dora.delete_dora_deployment(APM.id)
    assert (datadog.requests()[-1].path, datadog.requests()[-1].status) == (f"/api/v2/dora/deployment/{APM.id}", 202)
    with pytest.raises(exceptions.NotFoundException):
        dora.get_dora_deployment(APM.id)


def test_a_detected_rollback_is_read_back(dora: Any, datadog: StandIn) -> None:
    """The client, whose schema has no marks, still hands over those of GET and of the list."""
    for number, version in enumerate(("1.4.0", "1.5.0", "1.4.0")):
        times = {"started_at": APM.started_at + number * 100, "finished_at": APM.finished_at + number * 100}
        datadog.seed(APM.model_copy(update={"id": f"deployment-{number}", "version": version, **times}))
    read = dora.get_dora_deployment("deployment-1").data
    (listed,) = dora.list_dora_deployments(listing(query="id:deployment-1")).data
    for one in (read, listed):
        assert (one.attributes.change_failure, one.attributes.recovery_time_sec) == (True, 100)
        assert one.attributes.remediation == {"id": "deployment-2", "type": "rollback"}


def test_a_key_that_may_write_alone(dora: Any, datadog: StandIn) -> None:
    """Reads are forbidden to a key without the permission, marks are not."""
    datadog.seed(APM)
    datadog.configure(permissions=[Permission.WRITE])
    dora.patch_dora_deployment(APM.id, by_id(APM.id, change_failure=True))
    for read in (lambda: dora.get_dora_deployment(APM.id), lambda: dora.list_dora_deployments(listing())):
        with pytest.raises(exceptions.ForbiddenException, match="Missing required permission: 'dora_metrics_read'"):
            read()
    assert datadog.deployment(APM.id)["change_failure"] is True


def test_a_wrong_remediation_type_is_a_400(dora: Any) -> None:
    """The client raises what it raises for Datadog, with Datadog's words."""
    asked = by_id("x", change_failure=True, remediation={"id": "y", "type": "wrong"})
    with pytest.raises(exceptions.ApiException, match="must be one of") as caught:
        dora.patch_dora_deployment("x", asked)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        pytest.param({"api_key": BLANK, "app_key": BLANK}, exceptions.UnauthorizedException, id="no keys"),
        pytest.param({"api_key": "wrong"}, exceptions.ForbiddenException, id="a wrong API key"),
        pytest.param({"app_key": "wrong"}, exceptions.ForbiddenException, id="a wrong application key"),
        pytest.param({"app_key": BLANK}, exceptions.ForbiddenException, id="no application key"),
        pytest.param({}, exceptions.NotFoundException, id="the right keys, and no such deployment"),
    ],
)
def test_keys_are_checked(keys: dict[str, str], expected: type[Exception]) -> None:
    """Missing and wrong keys get different answers, as from Datadog."""
    accepted = Settings(
        api_keys={"an-api-key"},
        application_keys={"an-app-key"},
        unknown_deployment=UnknownDeployment.NOT_FOUND,
    )
    with StandIn(accepted) as datadog:
        dora = api(datadog, **keys)
        with dora.api_client, pytest.raises(expected):
            dora.patch_dora_deployment("unknown", by_id("unknown", change_failure=True))


def test_a_deployment_is_sent_with_the_api_key_alone(datadog: StandIn) -> None:
    """POST of a deployment needs no application key."""
    dora = api(datadog, app_key=BLANK)
    with dora.api_client:
        assert dora.create_dora_deployment(event(id="deploy-0000000001")).data.id == "deploy-0000000001"


def test_the_client_waits_for_the_reset_that_a_429_names(datadog: StandIn) -> None:
    """With retries switched on, the client waits as long as X-RateLimit-Reset says, and succeeds."""
    too_many = Respond(status=429, body={"errors": ["Too many requests"]}, headers={"X-RateLimit-Reset": "1"})
    datadog.fault(too_many, times=1, match=Match(method="PATCH"))
    dora = api(datadog, retry=True)
    started = time.monotonic()
    with dora.api_client:
        dora.patch_dora_deployment("x", by_id("x", change_failure=True))
    assert time.monotonic() - started >= 1
    assert [one.status for one in datadog.requests()] == [429, 202]


def test_the_client_waits_for_the_genuine_limit() -> None:
    """Where the stand-in's own limit is exceeded, its headers are enough for the client to get through."""
    with StandIn(Settings(rate_limit=RateLimit(limit=2, period=1))) as datadog:
        dora = api(datadog, retry=True)
        with dora.api_client:
            for _ in range(5):  # more than two windows take, should they begin at the end of one
                dora.patch_dora_deployment("x", by_id("x", change_failure=True))
        statuses = [one.status for one in datadog.requests()]
    assert statuses.count(202) == 5
    assert 429 in statuses


def test_a_server_error_is_a_service_exception(dora: Any, datadog: StandIn) -> None:
    """A fault's 503 with HTML is what the client reports."""
    datadog.fault(Respond(status=503, body="<html>busy</html>", headers={"Content-Type": "text/html"}))
    with pytest.raises(exceptions.ServiceException):
        dora.get_dora_deployment("x")
