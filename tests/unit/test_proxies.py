"""Which proxy the environment names for a URL."""

import pytest

from dora_operator.clients.proxies import proxy_for

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("environment", "url", "expected"),
    [
        pytest.param({}, "https://api.datadoghq.com", None, id="without a proxy the way is direct"),
        pytest.param({"https_proxy": PROXY}, "https://api.datadoghq.com", PROXY, id="https_proxy is for https"),
        pytest.param({"HTTPS_PROXY": PROXY}, "https://api.datadoghq.com", PROXY, id="capital letters count too"),
        pytest.param({"https_proxy": PROXY}, "http://127.0.0.1:1", None, id="https_proxy is not for http"),
        pytest.param({"all_proxy": PROXY}, "https://10.96.0.1:443", PROXY, id="all_proxy is for everything"),
        pytest.param(
            {"https_proxy": PROXY, "no_proxy": "x.example, .datadoghq.com"},
            "https://api.datadoghq.com",
            None,
            id="a domain in no_proxy goes direct",
        ),
        pytest.param({"https_proxy": PROXY, "no_proxy": "*"}, "https://10.96.0.1", None, id="a star is everything"),
        pytest.param(
            {"https_proxy": PROXY, "no_proxy": "10.0.0.1"}, "https://10.0.0.1:6443", None, id="an address goes direct"
        ),
    ],
)
def test_the_proxy(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, expected: str | None
) -> None:
    """As other tools read the environment."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(url) == expected
