"""Our request and the one of Datadog's own client, for the same input, as they arrive at a server."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from datadog_api_client import ApiClient, Configuration
from datadog_api_client.v2.api.dora_metrics_api import DORAMetricsApi
from datadog_api_client.v2.model.dora_deployment_patch_by_version_request import DORADeploymentPatchByVersionRequest
from datadog_api_client.v2.model.dora_deployment_patch_request import DORADeploymentPatchRequest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dora_operator.clients.datadog import DatadogClient, Keys, open_http
from dora_operator.domain.fields import RemediationLink, RemediationType
from dora_operator.domain.outcome import Answer
from dora_operator.domain.request import PatchById, PatchByVersion, PatchRequest
from dora_operator.domain.resource import MarkState
from dora_operator.domain.sites import Site
from dora_operator.metrics import Metrics
from sandbox.datadog import StandIn

KEYS = Keys("an-api-key", "an-app-key")
METRICS = Metrics()
ids = st.from_regex(r"[A-Za-z0-9_.:-]{11,40}", fullmatch=True)
any_ids = ids | st.text("aZ09-_.:/ %?#é", min_size=11, max_size=20)  # the CRD refuses some
tags = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
kinds = st.sampled_from(list(RemediationType))
links = st.builds(RemediationLink, type=kinds, id=ids) | st.builds(RemediationLink, type=kinds, version=tags)
states = st.builds(MarkState, change_failure=st.none() | st.booleans(), remediation=st.none() | links)
whole_states = st.builds(MarkState, change_failure=st.booleans(), remediation=st.none() | links)
requests = st.builds(PatchById, any_ids, states) | st.builds(PatchByVersion, tags, tags, tags, whole_states)


@pytest.fixture(scope="module")
def datadog() -> Iterator[StandIn]:
    """Return a server that records what arrives."""
    with StandIn() as running:
        yield running


def ours(datadog: StandIn, request: PatchRequest) -> None:
    """Send a request with the operator's client."""

    async def send() -> None:
        async with open_http(connections=1) as http:
            client = DatadogClient(http, base_url=datadog.url, timeout_seconds=5, metrics=METRICS)
            assert isinstance(await client.patch(request, Site.US1, KEYS), Answer)

    asyncio.run(send())


def theirs(datadog: StandIn, request: PatchRequest) -> None:
    """Send the same with Datadog's own client, from the same values and nothing of our JSON."""
    configuration = Configuration(
        server_index=1,
        server_variables={"protocol": "http", "name": datadog.url.removeprefix("http://")},
        api_key={"apiKeyAuth": KEYS.api_key, "appKeyAuth": KEYS.app_key},
    )
    attributes: dict[str, Any] = {}
    if request.state.change_failure is not None:
        attributes["change_failure"] = request.state.change_failure
    if (link := request.state.remediation) is not None:
        which = {"id": link.id} if link.id is not None else {"version": link.version}
        attributes["remediation"] = which | {"type": link.type.value}
    data: dict[str, Any] = {"type": "dora_deployment_patch_request", "attributes": attributes}
    with ApiClient(configuration) as client:
        api = DORAMetricsApi(client)
        if isinstance(request, PatchById):
            body = DORADeploymentPatchRequest(data=data | {"id": request.deployment_id})
            api.patch_dora_deployment(request.deployment_id, body)
        else:
            attributes |= {"service": request.service, "env": request.env, "version": request.version}
            api.patch_dora_deployment_by_version(DORADeploymentPatchByVersionRequest(data=data))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request=requests)
def test_field_for_field(datadog: StandIn, request: PatchRequest) -> None:
    """Method, path, body and the headers that matter are equal for any input."""
    datadog.clear()
    ours(datadog, request)
    theirs(datadog, request)
    mine, official = datadog.wait_for_requests(2)
    assert (mine.method, mine.path) == (official.method, official.path)
    assert json.loads(mine.body) == json.loads(official.body)
    for header in ("content-type", "dd-api-key", "dd-application-key"):
        assert mine.headers[header] == official.headers[header]
    assert (mine.status, official.status) == (202, 202)


def test_absent_fields_are_absent() -> None:
    """Nothing is ever null."""
    request = PatchById(
        "43vkaZNgiso", MarkState(remediation=RemediationLink(type=RemediationType.ROLLBACK, version="1"))
    )
    assert request.document() == {
        "data": {
            "id": "43vkaZNgiso",
            "type": "dora_deployment_patch_request",
            "attributes": {"remediation": {"type": "rollback", "version": "1"}},
        }
    }
