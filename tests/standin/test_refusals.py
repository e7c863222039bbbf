"""Which bodies are refused, and in which words."""

import json
from typing import Any

import pytest

from sandbox.datadog.exchange import Answer
from tests.standin.bodies import ABSENT, PATCH_TYPE, event, listing, mark, send, version_mark


def detail(given_answer: Answer) -> str:
    """Return the words of a 400, which has exactly the recorded form."""
    (error,) = json.loads(given_answer.body)["errors"]
    assert (given_answer.status, error.pop("status"), error.pop("title")) == (400, "400", "Bad Request")
    return str(error.pop("detail"))


def missing(name: str) -> str:
    """Return the words for an attribute that is not there."""
    return f'Missing required attribute in body: "{name}"'


def invalid(name: str, kind: str) -> str:
    """Return the words for an attribute of a wrong type."""
    return f'error decoding attribute "{name}": invalid type {kind}'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b"", "request body is not valid JSON", id="no body"),
        pytest.param(b"{", "request body is not valid JSON", id="half of JSON"),
        pytest.param(b'{"data":NaN}', "request body is not valid JSON", id="NaN"),
        pytest.param(b"\xff", "request body is not valid JSON", id="no UTF-8"),
        pytest.param(b"[" * 100_000, "request body is not valid JSON", id="endless depth"),
        pytest.param([], "request body must be an object, not array", id="a list"),
        pytest.param({}, missing("data"), id="no data"),
        pytest.param({"data": None}, invalid("data", "null"), id="null data"),
        pytest.param(mark({}, type=ABSENT), f'got type "" expected one of "{PATCH_TYPE}"', id="no type"),
        pytest.param(
            mark({}, type="dora_deployment"),
            f'got type "dora_deployment" expected one of "{PATCH_TYPE}"',
            id="another type",
        ),
        pytest.param(mark({}, id=ABSENT), missing("id"), id="no id"),
        pytest.param(mark({}, id="abd"), '"id" in body must be the id in path', id="another id than in the path"),
        pytest.param(mark(ABSENT), missing("attributes"), id="no attributes"),
        pytest.param(mark({"change_failure": None}), invalid("change_failure", "null"), id="null for a mark"),
        pytest.param(mark({"change_failure": "true"}), invalid("change_failure", "string"), id="text for a mark"),
        pytest.param(mark({"change_failure": 1}), invalid("change_failure", "number"), id="a number for a mark"),
        pytest.param(mark({"remediation": None}), invalid("remediation", "null"), id="null for the remediation"),
        pytest.param(
            mark({"remediation": {"id": "b", "version": "1", "type": "rollback"}}),
            'attribute "remediation" must have "id" or "version", not both',
            id="a remediation with both id and version",
        ),
        pytest.param(mark({"remediation": {"id": ""}}), missing("id"), id="a remediation with an empty id"),
    ],
)
def test_a_mark_by_id_is_refused(body: Any, expected: str) -> None:
    """A wrong PATCH by id is a 400 that says what is wrong."""
    assert detail(send("PATCH", "deployments/abc", body)) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        *(
            pytest.param({name: ABSENT}, missing(name), id=f"no {name}")
            for name in ("service", "env", "version", "change_failure")
        ),
        pytest.param({"service": ""}, missing("service"), id="an empty service"),
        pytest.param({"env": None}, invalid("env", "null"), id="null for the env"),
        pytest.param({"version": 15}, invalid("version", "number"), id="a number for the version"),
        pytest.param({"remediation": {"version": "1"}}, missing("type"), id="a remediation without a type"),
        pytest.param(
            {"remediation": {"type": "rollback"}},
            'Missing required attribute in body: "remediation" needs "id" or "version"',
            id="a remediation with a type alone",
        ),
        pytest.param(
            {"remediation": {"type": "rollback", "id": "b", "why": "x"}},
            'attribute "why" is not allowed here, only "id version type"',
            id="a remediation with more than it may have",
        ),
    ],
)
def test_a_mark_by_version_is_refused(changes: dict[str, Any], expected: str) -> None:
    """A wrong PATCH by version is a 400 that says what is wrong."""
    assert detail(send("PATCH", "deployments", version_mark(**changes))) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        *(pytest.param({name: ABSENT}, missing(name), id=f"no {name}") for name in ("service", "finished_at")),
        pytest.param({"started_at": True}, invalid("started_at", "bool"), id="true for a number"),
        pytest.param(
            {"started_at": "2026-01-31T00:00:00Z"}, invalid("started_at", "string"), id="a date-time for a number"
        ),
        pytest.param(
            {"started_at": 1_790_000_000_000_000},
            'attribute "started_at" must be in seconds, milliseconds or nanoseconds',
            id="microseconds",
        ),
        pytest.param(
            {"finished_at": 2**63}, f'attribute "finished_at" must be between 1 and {2**63 - 1}', id="beyond int64"
        ),
        *(
            pytest.param({"id": text}, 'attribute "id" must be 16 to 128 characters of [A-Za-z0-9-_.:]', id=name)
            for text, name in (
                ("a" * 15, "an id that is too short"),
                ("a" * 129, "an id that is too long"),
                ("a" * 15 + "/", "an id with a slash"),
                ("a" * 15 + "\n", "an id with a line end"),
            )
        ),
        pytest.param({"git": {"commit_sha": "0" * 40}}, missing("repository_url"), id="git without its repository"),
        pytest.param({"custom_tags": ["a"]}, 'attribute "custom_tags" must be made of "key:value"', id="a plain tag"),
        pytest.param({"custom_tags": [1]}, invalid("custom_tags", "number"), id="a number as tag"),
        pytest.param(
            {"custom_tags": ["a:b"] * 101}, 'attribute "custom_tags" must have at most 100 entries', id="101 tags"
        ),
    ],
)
def test_a_deployment_is_refused(changes: dict[str, Any], expected: str) -> None:
    """A wrong POST is a 400 that says what is wrong."""
    assert detail(send("POST", "deployment", event(**changes))) == expected


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        pytest.param({"to": 1.5}, invalid("to", "number"), id="a number as time"),
        pytest.param(
            {"from": "yesterday"},
            'error decoding attribute "from": must be a date-time as in 2026-01-31T00:00:00Z',
            id="words as time",
        ),
        pytest.param({"limit": 1001}, 'attribute "limit" must be between 1 and 1000', id="too high a limit"),
        pytest.param(
            {"sort": "service"},
            'attribute "sort" must be one of "started_at -started_at finished_at -finished_at"',
            id="a sort that does not exist",
        ),
        pytest.param(
            {"query": "service:a checkout"},
            "attribute \"query\": only name:value terms are understood, not 'checkout'",
            id="a query beyond the stand-in",
        ),
    ],
)
def test_a_list_is_refused(attributes: dict[str, Any], expected: str) -> None:
    """A wrong list request is a 400 that says what is wrong."""
    assert detail(send("POST", "deployments", listing(**attributes))) == expected
