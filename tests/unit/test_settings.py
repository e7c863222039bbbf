"""Settings: from the environment, refused with the name of what is wrong and never with a key."""

import base64
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from dora_operator.cli import app
from dora_operator.clients.datadog import Keys
from dora_operator.domain.reasons import Reason
from dora_operator.domain.sites import Site, api_url
from dora_operator.reconcile.credentials import NoKeys, keys_in, keys_of, own_keys
from dora_operator.settings import Settings

NAMES = ("DD_SITE", "DD_API_KEY", "DD_APP_KEY", "DORA_OPERATOR_KEYS_DIR")


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_defaults() -> None:
    """Without any variable: US1, all namespaces, no dry run, no key."""
    settings = Settings()
    assert (settings.site, settings.namespaces, settings.dry_run, settings.api_key) == (Site.US1, (), False, None)


def test_everything_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each documented variable arrives."""
    for name, value in {
        "DD_SITE": "datadoghq.eu",
        "DD_API_KEY": "a",
        "DD_APP_KEY": "b",
        "DORA_OPERATOR_NAMESPACES": "shop, pay ,",
        "DORA_OPERATOR_DRY_RUN": "true",
        "DORA_OPERATOR_HEALTH_PORT": "8081",
        "DORA_OPERATOR_DATADOG_URL": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.site is Site.EU1
    assert settings.namespaces == ("shop", "pay")
    assert settings.dry_run
    assert settings.health_port == 8081
    assert str(settings.datadog_url) == "http://127.0.0.1:1/"
    assert "'a'" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("DD_SITE", "us1.datadoghq.com", id="a site that does not exist"),
        pytest.param("DORA_OPERATOR_DATADOG_URL", "not a url", id="an address that is none"),
        pytest.param("DORA_OPERATOR_WORKERS", "0", id="no workers"),
        pytest.param("DORA_OPERATOR_HEALTH_PORT", "70000", id="a port that is none"),
        pytest.param("DORA_OPERATOR_DATADOG_URL", "https://user@proxy.example", id="an address with a user"),
        pytest.param("DORA_OPERATOR_DATADOG_URL", "https://proxy.example/?to=1", id="an address with a query"),
        pytest.param("DORA_OPERATOR_DATADOG_URL", "https://proxy.example:99999", id="an address with no such port"),
        pytest.param("DORA_OPERATOR_NAMESPACES", "shop,Shop_2", id="a namespace that cannot exist"),
        pytest.param("DORA_OPERATOR_LEASE_NAMESPACE", "Shop", id="a namespace of the Lease that cannot exist"),
        pytest.param("DORA_OPERATOR_LEASE_NAME", "a_lease", id="a Lease that cannot exist"),
        pytest.param("DORA_OPERATOR_ROLLOUT_SELECTOR", "team in (", id="a selector that is none"),
        pytest.param("DORA_OPERATOR_ROLLOUT_SELECTOR", f"team={'x' * 64}", id="a label that is too long"),
        pytest.param("DORA_OPERATOR_ROLLOUT_SELECTOR", "team=a=b", id="a selector with two values"),
        pytest.param("DORA_OPERATOR_READ_BACK_SCHEDULE", "0,30", id="a read at once"),
        pytest.param("DORA_OPERATOR_READ_BACK_SCHEDULE", "60,30", id="reads that go back"),
        pytest.param("DORA_OPERATOR_READ_BACK_SCHEDULE", "30,30000000", id="a read after a year"),
        pytest.param("DORA_OPERATOR_READ_BACK_SCHEDULE", ",", id="no read"),
    ],
)
def test_wrong_settings_are_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`dora-operator run` ends with 2 and says which setting is wrong; values are not repeated."""
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("DD_API_KEY", "canary-key")
    with pytest.raises(ValidationError):
        Settings()
    result = CliRunner().invoke(app, ["run"])
    assert result.exit_code == 2
    assert result.output.startswith(f"dora-operator: {name}: ")
    assert "canary" not in result.output


def test_every_site_has_its_own_host() -> None:
    """Nine sites, nine hosts, all https and below api."""
    urls = {api_url(site) for site in Site}
    assert len(urls) == 9
    assert all(url.startswith("https://api.") for url in urls)


def encoded(**values: str | bytes) -> dict[str, str]:
    """Build a Secret's data."""
    return {
        name.replace("_", "-"): base64.b64encode(value if isinstance(value, bytes) else value.encode()).decode()
        for name, value in values.items()
    }


def test_keys_of_a_secret() -> None:
    """Both keys are read; the line end that `echo` leaves is dropped, and a repr shows nothing."""
    keys = keys_of("mine", encoded(api_key="one\n", app_key=" two "))
    assert keys == Keys("one", "two")
    assert "one" not in repr(keys)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param({}, "lacks the key api-key", id="an empty Secret"),
        pytest.param(encoded(api_key="one"), "lacks the key app-key", id="half a Secret"),
        pytest.param(encoded(api_key="one", app_key=" "), "unusable app-key", id="a blank key"),
        pytest.param(encoded(api_key="one", app_key="tw\no"), "unusable app-key", id="a key of two lines"),
        pytest.param(encoded(api_key=b"\xff", app_key="two"), "unusable api-key", id="bytes that are no text"),
        pytest.param(encoded(api_key="x" * 300, app_key="two"), "unusable api-key", id="a key that is too long"),
        pytest.param({"api-key": "%", "app-key": "%"}, "unusable api-key", id="data that is not base64"),
    ],
)
def test_unusable_secrets(data: dict[str, str], words: str) -> None:
    """What is wrong with a Secret is said by name, never by value."""
    found = keys_of("mine", data)
    assert isinstance(found, NoKeys)
    assert found.reason is Reason.CREDENTIALS_INVALID
    assert words in found.message


@pytest.mark.parametrize(
    ("api_key", "app_key", "reason"),
    [
        pytest.param(None, None, Reason.CREDENTIALS_NOT_FOUND, id="no keys"),
        pytest.param("one", None, Reason.CREDENTIALS_NOT_FOUND, id="one key"),
        pytest.param("one", "", Reason.CREDENTIALS_INVALID, id="an empty key"),
        pytest.param("o ne", "two", Reason.CREDENTIALS_INVALID, id="a key with a blank"),
    ],
)
def test_the_operators_own_keys_are_judged_like_those_of_a_secret(
    api_key: str | None, app_key: str | None, reason: Reason
) -> None:
    """What cannot be an HTTP header never reaches httpx."""
    found = own_keys(api_key, app_key)
    assert isinstance(found, NoKeys)
    assert found.reason is reason
    assert own_keys(" one ", "two\n") == Keys("one", "two")


def test_the_directory_of_keys_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable is as good as none."""
    for value, expected in (("/etc/keys", Path("/etc/keys")), ("", None)):
        monkeypatch.setenv("DORA_OPERATOR_KEYS_DIR", value)
        assert Settings().keys_dir == expected


def test_keys_in_files(tmp_path: Path) -> None:
    """Both files are read, without line ends, and again when they have changed; a repr shows nothing."""
    (tmp_path / "api-key").write_text("one\n")
    (tmp_path / "app-key").write_text(" two")
    keys = keys_in(tmp_path)
    assert keys == Keys("one", "two")
    assert "one" not in repr(keys)
    (tmp_path / "app-key").write_text("three")
    assert keys_in(tmp_path) == Keys("one", "three")


@pytest.mark.parametrize(
    ("files", "reason", "words"),
    [
        pytest.param({}, Reason.CREDENTIALS_NOT_FOUND, "own api-key", id="an empty directory"),
        pytest.param({"api-key": b"canary"}, Reason.CREDENTIALS_NOT_FOUND, "own app-key", id="one file of two"),
        pytest.param(
            {"api-key": b"", "app-key": b"two"}, Reason.CREDENTIALS_INVALID, "own api-key", id="an empty file"
        ),
        pytest.param(
            {"api-key": b"one", "app-key": b"can\nary"}, Reason.CREDENTIALS_INVALID, "own app-key", id="two lines"
        ),
        pytest.param(
            {"api-key": b"canary\xff", "app-key": b"two"}, Reason.CREDENTIALS_INVALID, "own api-key", id="no text"
        ),
        pytest.param(
            {"api-key": b"canary" * 50, "app-key": b"two"}, Reason.CREDENTIALS_INVALID, "own api-key", id="too long"
        ),
    ],
)
def test_unusable_files_of_keys(tmp_path: Path, files: dict[str, bytes], reason: Reason, words: str) -> None:
    """The message names the file and the directory, never a value."""
    for name, value in files.items():
        (tmp_path / name).write_bytes(value)
    found = keys_in(tmp_path)
    assert isinstance(found, NoKeys)
    assert found.reason is reason
    assert words in found.message
    assert str(tmp_path) in found.message
    assert "canary" not in found.message
