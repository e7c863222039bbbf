"""Every kind of fault arrives at a client as what it claims to be, exactly as often as asked."""

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from sandbox.datadog import (
    Drip,
    Garbage,
    HalfBody,
    Hang,
    Match,
    Pass,
    RateLimit,
    Redirect,
    Reset,
    Respond,
    Seed,
    Settings,
    StandIn,
    fingerprint,
)

APM = Seed(id="4aBcD_fGh-1", service="checkout", env="prod", version="1.5.0", started_at=1.7e9, finished_at=1.7e9 + 60)
PATH = f"/api/v2/dora/deployments/{APM.id}"
MARK = {
    "data": {"id": APM.id, "type": "dora_deployment_patch_request", "attributes": {"change_failure": True}},
}


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        pytest.param(Reset(), httpx.ReadError, id="a reset connection"),
        pytest.param(Hang(), httpx.ReadTimeout, id="an answer that never comes"),
        pytest.param(HalfBody(), httpx.RemoteProtocolError, id="half a body"),
        pytest.param(Garbage(), httpx.RemoteProtocolError, id="bytes that are no HTTP"),
    ],
)
@pytest.mark.parametrize("applied", [False, True], ids=["not delivered", "delivered"])
def test_a_broken_answer(
    datadog: StandIn,
    connect: Callable[..., httpx.Client],
    what: Any,
    expected: type[Exception],
    applied: bool,  # noqa: FBT001
) -> None:
    """The client sees no answer; whether the mark was made is as the rule says, and either way it is recorded."""
    datadog.seed(APM)
    datadog.fault(what, applied=applied)
    with pytest.raises(expected):
        connect(datadog, timeout=0.3 if isinstance(what, Hang) else 5).patch(PATH, json=MARK)
    assert datadog.deployment(APM.id)["change_failure"] is (True if applied else None)
    (seen,) = datadog.requests()
    assert (seen.fault, seen.applied, seen.document()) == (what.kind, applied, MARK)


def test_half_a_body_is_more_than_nothing(datadog: StandIn, client: httpx.Client) -> None:
    """The status and what there is of the body arrive before the connection ends."""
    datadog.fault(HalfBody(status=200, body='{"da'))
    with client.stream("GET", PATH) as response:
        assert response.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            response.read()


def test_a_drip_outlasts_a_read_timeout(datadog: StandIn, connect: Callable[..., httpx.Client]) -> None:
    """Every byte comes in time, the whole answer does not: a read timeout alone notices nothing."""
    datadog.fault(Drip(interval=0.06, body="x" * 15))
    started = time.monotonic()
    response = connect(datadog, timeout=0.6).get(PATH)
    assert (response.status_code, response.text) == (202, "x" * 15)
    assert time.monotonic() - started > 0.6


def test_a_delay_is_a_slow_genuine_answer(datadog: StandIn, client: httpx.Client) -> None:
    """The mark is made at once, the answer comes late."""
    datadog.seed(APM)
    datadog.fault(Pass(), delay=0.2)
    started = time.monotonic()
    assert client.patch(PATH, json=MARK).json() == {"data": None}
    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, ["1"], id="the genuine one"),
        pytest.param({"X-RateLimit-Reset": None}, [], id="none"),
        pytest.param({"x-ratelimit-reset": "7, 7"}, ["7, 7"], id="a list in one line"),
        pytest.param({"X-RateLimit-Reset": ["7", "7"]}, ["7", "7"], id="two lines"),
        pytest.param({"X-RateLimit-Reset": "1795415260"}, ["1795415260"], id="an epoch"),
        pytest.param({"X-RateLimit-Reset": "soon"}, ["soon"], id="not a number"),
    ],
)
def test_the_header_of_a_429_is_as_wanted(
    connect: Callable[..., httpx.Client], headers: dict[str, Any], expected: list[str]
) -> None:
    """A rule can send every X-RateLimit-Reset that was seen in the wild."""
    with StandIn(Settings(rate_limit=RateLimit(period=1))) as datadog:
        datadog.fault(Respond(status=429, body="<html>slow down</html>", headers=headers))
        response = connect(datadog).get(PATH)
    assert (response.status_code, response.text) == (429, "<html>slow down</html>")
    assert response.headers.get_list("X-RateLimit-Reset") == expected
    assert response.headers["X-RateLimit-Name"] == "dora_metrics"


def test_a_redirect(datadog: StandIn, client: httpx.Client) -> None:
    """The answer points elsewhere; a client that follows shows that it does."""
    datadog.fault(Redirect(location="/_health"))
    response = client.get(PATH)
    assert (response.status_code, response.headers["Location"]) == (307, "/_health")


def test_a_body_that_is_no_text_is_sent_as_json(datadog: StandIn, client: httpx.Client) -> None:
    """A rule may give its body as a document."""
    datadog.fault(Respond(status=403, body={"errors": ["Forbidden"]}))
    assert client.get(PATH).json() == {"errors": ["Forbidden"]}


def test_rules_count(datadog: StandIn, client: httpx.Client) -> None:
    """The first rule that fits and is not used up applies to a request; skipped ones go through."""
    datadog.fault(Respond(status=500), skip=1, times=2)
    datadog.fault(Respond(status=503), times=1)
    statuses = [client.get(PATH).status_code for _ in range(5)]
    assert statuses == [503, 500, 500, 404, 404]
    assert [(one["matched"], one["used"]) for one in client.get("/_faults").json()] == [(3, 2), (1, 1)]


@pytest.mark.parametrize(
    ("match", "hit"),
    [
        pytest.param(Match(method="patch"), True, id="its method, in any case"),
        pytest.param(Match(method="GET"), False, id="another method"),
        pytest.param(Match(path_prefix="/api/v2/dora/"), True, id="how its path begins"),
        pytest.param(Match(path_prefix="/dora/"), False, id="what its path does not begin with"),
        pytest.param(Match(path_regex=r"deployments/[^/]+$"), True, id="a pattern in its path"),
        pytest.param(Match(path_regex=r"deployments$"), False, id="a pattern that is not in its path"),
        pytest.param(Match(body_contains='"change_failure":true'), True, id="what is in its body"),
        pytest.param(Match(body_contains="rollback"), False, id="what is not in its body"),
        pytest.param(Match(api_key=fingerprint("an-api-key")), True, id="its API key"),
        pytest.param(Match(api_key=fingerprint("another")), False, id="another API key"),
        pytest.param(Match(method="PATCH", body_contains="rollback"), False, id="only one of two"),
    ],
)
def test_a_rule_matches(datadog: StandIn, client: httpx.Client, match: Match, hit: bool) -> None:  # noqa: FBT001
    """A rule is for the requests that fit all it names."""
    datadog.fault(Respond(status=418), match=match)
    assert client.patch(PATH, json=MARK).status_code == (418 if hit else 202)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        pytest.param("{}", "must be a JSON list of rules", id="no list"),
        pytest.param('[{"what": {"kind": "respond", "status": 99}}]', "rule 0, what.status", id="a wrong status"),
        pytest.param('[{"what": {"kind": "explode"}}]', "'half_body'", id="a kind that does not exist"),
        pytest.param(
            '[{"what": {"kind": "respond", "status": 200, "headers": {"A": "b\\nc"}}}]',
            "what.headers.A",
            id="a header with a line end",
        ),
        pytest.param('[{"what": {"kind": "hang"}, "tims": 1}]', "rule 0, tims", id="a misspelt member"),
        pytest.param(
            '[{"what": {"kind": "hang"}, "match": {"path_regex": "("}}]', "match.path_regex", id="a wrong pattern"
        ),
        pytest.param(
            '[{"what": {"kind": "hang"}}, {"what": {"kind": "drip", "interval": 0}}]', "rule 1", id="a second"
        ),
    ],
)
def test_a_wrong_rule_is_refused(client: httpx.Client, rules: str, expected: str) -> None:
    """A rule that cannot be used is a 400 that names the field, and none is put in force."""
    response = client.put("/_faults", content=rules)
    assert response.status_code == 400
    assert expected in response.text
    assert client.get("/_faults").json() == []


def test_faults_are_put_added_and_cleared_over_http(client: httpx.Client) -> None:
    """PUT replaces all rules, POST adds to them, DELETE ends them."""
    rule = {"what": {"kind": "respond", "status": 502}, "times": 1}
    statuses = [client.put("/_faults", json=[rule]).status_code, client.post("/_faults", json=[rule]).status_code]
    statuses += [client.get(PATH).status_code for _ in range(2)]
    statuses += [client.delete("/_faults").status_code, client.get(PATH).status_code]
    assert statuses == [204, 204, 502, 502, 204, 404]
