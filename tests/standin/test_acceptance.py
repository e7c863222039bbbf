"""What is let through: routes, permission, and bodies at the edge; and that no body causes an error of the stand-in."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.datadog.api import Api
from sandbox.datadog.exchange import Received
from sandbox.datadog.settings import Settings
from tests.standin.bodies import BASE, KEYS, LIST_TYPE, NOW, PATCH_TYPE, event, listing, mark, send, version_mark


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        pytest.param("PATCH", "deployments/abc", mark({}), 202, id="a mark that changes nothing"),
        pytest.param("PATCH", "deployments/abc", mark({"remediation": {}}), 202, id="a remediation without members"),
        pytest.param("PATCH", "deployments/a%2Fb", mark({}, id="a/b"), 202, id="an id with an encoded slash"),
        pytest.param("PATCH", "deployments/a/b", mark({}, id="a/b"), 404, id="an id with a bare slash"),
        pytest.param("PATCH", "deployment/abc", mark({}), 404, id="the singular path that a page once had"),
        pytest.param("POST", "deployment", event(custom_tags=None), 200, id="null for the tags, which may be null"),
        pytest.param("POST", "deployments", listing(cursor="x"), 200, id="a member that nobody knows"),
        pytest.param("POST", "deployments", listing(query="@env:prod -team:x a:b*"), 200, id="a query of terms"),
        pytest.param("GET", "deployments", b"", 404, id="GET of the list path"),
        pytest.param("GET", "deployments/", b"", 404, id="GET without an id"),
        pytest.param("PUT", "deployments/abc", b"", 404, id="a method that does not exist"),
        pytest.param("POST", "elsewhere", b"", 404, id="a path that does not exist"),
    ],
)
def test_the_edges_of_what_is_accepted(method: str, path: str, body: Any, status: int) -> None:
    """What no source forbids is let through; what has no route is not found."""
    assert send(method, path, body).status == status


@pytest.mark.parametrize(
    ("path", "headers", "api_keys", "status"),
    [
        pytest.param("deployments/abc", {"Authorization": "Bearer x"}, [], 202, id="an OAuth2 token instead of keys"),
        pytest.param("deployments/abc", {"Authorization": "Bearer x"}, ["one"], 403, id="a token where keys are set"),
        pytest.param("deployments/abc", {"Authorization": "Basic x"}, [], 401, id="another scheme"),
        pytest.param("deployments/abc", {"DD-API-KEY": "one"}, [], 403, id="no application key"),
        pytest.param("deployments/abc", {}, ["one"], 401, id="no keys"),
        pytest.param("nowhere", {}, ["one"], 404, id="no keys where there is no route: not found comes first"),
    ],
)
def test_permission(path: str, headers: dict[str, str], api_keys: list[str], status: int) -> None:
    """Errors of permission are arrays of strings, with the status that Datadog gives."""
    api = Api(Settings(api_keys=frozenset(api_keys)))
    answer = api.handle(Received("PATCH", BASE + path, headers, json.dumps(mark({})).encode()), NOW)
    assert answer.status == status
    if status != 202:
        assert all(isinstance(error, str) for error in json.loads(answer.body)["errors"])


@pytest.mark.parametrize(
    ("empty", "expected"),
    [
        pytest.param(True, b"", id="empty, as reported"),
        pytest.param(False, b'{"data":null}', id="as by id"),
    ],
)
def test_the_body_of_a_mark_by_version(empty: bool, expected: bytes) -> None:  # noqa: FBT001
    """What a 202 by version carries can be chosen, for the sources differ."""
    api = Api(Settings(empty_body_by_version=empty))
    answer = api.handle(Received("PATCH", BASE + "deployments", KEYS, json.dumps(version_mark()).encode()), NOW)
    assert (answer.status, answer.body) == (202, expected)


MEMBERS = [
    "data",
    "attributes",
    "id",
    "type",
    "change_failure",
    "remediation",
    "service",
    "env",
    "version",
    "started_at",
    "finished_at",
]
MEMBERS += ["git", "custom_tags", "team", "from", "to", "limit", "query", "sort", "commit_sha", "repository_url"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["abc", "rollback"])
ANY = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS) | st.text(), inner),
    max_leaves=12,
)
TYPES = st.sampled_from([PATCH_TYPE, LIST_TYPE])
NEARLY = st.builds(
    lambda kind, attributes: {"data": {"id": "abc", "type": kind, "attributes": attributes}},
    TYPES,
    st.dictionaries(st.sampled_from(MEMBERS), ANY),
)
ENDPOINTS = st.sampled_from(
    [("POST", "deployment"), ("POST", "deployments"), ("PATCH", "deployments"), ("PATCH", "deployments/abc")]
)


@settings(deadline=None)
@given(endpoint=ENDPOINTS, body=ANY | NEARLY)
def test_no_json_causes_an_error(endpoint: tuple[str, str], body: Any) -> None:
    """Whatever JSON comes, the answer is one that Datadog could give, and what was taken in can be shown."""
    api = Api(Settings())
    method, path = endpoint
    first = api.handle(Received(method, BASE + path, KEYS, json.dumps(body).encode()), NOW)
    everything = json.dumps(listing(query="service:*")).encode()
    second = api.handle(Received("POST", BASE + "deployments", KEYS, everything), NOW)
    assert first.status in {200, 202, 400}
    assert second.status == 200


@settings(deadline=None)
@given(body=st.binary())
def test_no_bytes_cause_an_error(body: bytes) -> None:
    """Bytes that are no JSON are refused, never an error of the stand-in."""
    assert send("PATCH", "deployments/abc", body).status == 400
