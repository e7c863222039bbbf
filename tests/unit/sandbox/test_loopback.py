"""Servers on this machine are asked directly, whatever proxy the environment names."""

import http.client

import pytest

from sandbox import loopback
from sandbox.datadog import StandIn

NAMES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Return a proxy; the environment excepts nothing from it."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return StandIn()


def test_a_question_passes_by_the_proxy(proxy: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is asked, the proxy is not."""
    with proxy, StandIn() as server:
        for name in NAMES:
            monkeypatch.setenv(name, proxy.url)
        with loopback.ask(f"{server.url}/_requests") as answer:
            assert answer.status == http.client.OK
        assert not loopback.is_well(f"{server.url}/nothing")
        assert (len(server.requests()), proxy.requests()) == (1, [])


def test_nobody_listens() -> None:
    """A probe of nobody is not well."""
    assert not loopback.is_well("http://127.0.0.1:9/readyz")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        pytest.param({}, "127.0.0.1,localhost,::1", id="nothing is named before"),
        pytest.param({"NO_PROXY": "a.example"}, "a.example,127.0.0.1,localhost,::1", id="what is named stays"),
        pytest.param(
            {"no_proxy": "a", "NO_PROXY": "b"}, "a,127.0.0.1,localhost,::1", id="small letters win, as everywhere"
        ),
    ],
)
def test_programs_reach_this_machine_directly(environment: dict[str, str], expected: str) -> None:
    """Both spellings say so, and all else stays."""
    found = loopback.direct({"PATH": "/bin", **environment})
    assert found == {"PATH": "/bin", "no_proxy": expected, "NO_PROXY": expected}
