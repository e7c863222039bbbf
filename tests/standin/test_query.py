"""The query language of the list, as far as it is understood."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.datadog.query import QueryError, parse_query
from sandbox.datadog.values import Deployment, Event

EVENTS = {
    "a": Event("checkout", 1, 2, "prod", "1.5.0", team="pay", custom_tags=("tier:one", "tier:two")),
    "b": Event("checkout", 1, 2, "staging", "1.5.0-rc.1"),
    "c": Event("api-service", 1, 2, "prod", "2"),
    "d": Event('odd "name": x', 1, 2, None, None),
}


def made(name: str) -> Deployment:
    """Return one of the deployments; b comes from the API, a failed."""
    source = "api" if name == "b" else "apm_deployments"
    return Deployment(name, EVENTS[name], 0, source, 0, change_failure={"a": True, "c": False}.get(name))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("", "abcd", id="nothing"),
        pytest.param(" * ", "abcd", id="a star"),
        pytest.param('service:"checkout" env:"prod"', "a", id="as the operator asks"),
        pytest.param("service:checkout env:prod", "a", id="without quotes"),
        pytest.param("service:checkout AND env:prod", "a", id="joined by AND"),
        pytest.param("@service:checkout @env:prod", "a", id="with an at sign"),
        pytest.param("service:(checkout OR api-service) env:(prod OR staging)", "abc", id="as the documentation asks"),
        pytest.param('service:("checkout")', "ab", id="one value in parentheses"),
        pytest.param("service:checkout OR service:api-service env:staging", "ab", id="AND before OR"),
        pytest.param("(service:checkout OR service:api-service) env:prod", "ac", id="parentheses first"),
        pytest.param("NOT source:apm_deployments", "b", id="NOT, as observed"),
        pytest.param("-source:api NOT NOT env:prod", "ac", id="minus, and two negations"),
        pytest.param("service:(NOT checkout)", "cd", id="NOT inside of a value"),
        pytest.param("NOT (env:prod OR env:staging)", "d", id="NOT before parentheses"),
        pytest.param(r'service:"odd \"name\": x"', "d", id="escapes in quotes"),
        pytest.param(r"service:odd\ \"name\"\:\ x", "d", id="escapes without quotes"),
        pytest.param("version:1.5.0", "a", id="a value is whole"),
        pytest.param("version:1.5.0*", "ab", id="a wildcard at the end"),
        pytest.param("version:?", "c", id="a wildcard for one character"),
        pytest.param(r"version:1\.5.0\*", "", id="an escaped wildcard"),
        pytest.param('version:"1.5.0*"', "", id="no wildcards in quotes"),
        pytest.param("env:*", "abc", id="any value"),
        pytest.param("tier:two team:pay", "a", id="tags of the event"),
        pytest.param("change_failure:false", "c", id="a mark"),
        pytest.param("id:(a OR d)", "ad", id="ids"),
        pytest.param("service:checkout service:api-service", "", id="two values of one attribute"),
        pytest.param("service:checkout env:prod env:staging", "", id="a contradiction in a narrow query"),
        pytest.param("Service:checkout", "", id="names have one spelling"),
    ],
)
def test_a_query_selects(query: str, expected: str) -> None:
    """The deployments that match, and the narrowing to one service and env never loses one."""
    read = parse_query(query)
    narrowed = [
        one
        for one in map(made, EVENTS)
        if (read.service in (None, one.event.service) and read.env in (None, one.event.env))
    ]
    assert "".join(one.id for one in narrowed if read.matches is None or read.matches(one)) == expected


@pytest.mark.parametrize(
    ("query", "message"),
    [
        pytest.param("checkout", "only name:value terms", id="free text"),
        pytest.param('"checkout"', "only name:value terms", id="quoted free text"),
        pytest.param("service:", "too early", id="no value"),
        pytest.param("service:)", "a value is missing", id="a parenthesis for a value"),
        pytest.param("service:a AND", "too early", id="nothing after AND"),
        pytest.param("OR service:a", "only name:value terms", id="nothing before OR"),
        pytest.param("service:a or service:b", "only name:value terms", id="or in small letters"),
        pytest.param("(service:a", "is missing", id="an open parenthesis"),
        pytest.param("service:a)", "unexpected ')'", id="a closing parenthesis"),
        pytest.param('service:"a', "cannot read", id="an open quote"),
        pytest.param("service:a\\", "cannot read", id="a backslash at the end"),
        pytest.param("version:1:2", "only name:value terms", id="a colon without an escape"),
        pytest.param("duration:>5", "escape the special characters", id="a comparison"),
        pytest.param("version:a/b", "escape the special characters", id="a slash without an escape"),
        pytest.param("(" * 100_000, "too many parentheses", id="endless depth"),
    ],
)
def test_a_query_is_refused(query: str, message: str) -> None:
    """What is not understood is an error, never an empty list."""
    with pytest.raises(QueryError, match=message.replace(")", r"\)")):
        parse_query(query)


@given(service=st.text(min_size=1), env=st.text(min_size=1), other=st.text(min_size=1))
def test_quoted_values_are_exact(service: str, env: str, other: str) -> None:
    """Any text can be asked for in quotes, with a backslash before quotes and backslashes."""

    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    read = parse_query(f"service:{quoted(service)} env:{quoted(env)}")
    assert (read.service, read.env, read.matches) == (service, env, None)
    read = parse_query(f"service:{quoted(service)} NOT version:{quoted(other)}")
    assert read.matches is not None
    versions = [other, f"{other}x", None]
    found = [read.matches(Deployment("x", Event(service, 1, 2, env, one), 0, "api", 0)) for one in versions]
    assert found == [False, True, True]
