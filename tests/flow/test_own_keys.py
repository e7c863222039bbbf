"""The operator's own keys, in files that change: used without a restart, for all resources that wait for them."""

import logging
from pathlib import Path

import httpx
import pytest

from tests.support.fakes import FakeCluster, FakeDatadog, running_operator

ACCEPTED = httpx.Response(202, text='{"data":null}')
NEW = "new-canary"


def write(directory: Path, api_key: str) -> None:
    """Write the files of a mounted Secret."""
    (directory / "api-key").write_text(api_key)
    (directory / "app-key").write_text(f"app-{api_key}")


@pytest.mark.parametrize(
    ("first_key", "answers", "reason"),
    [
        pytest.param(None, [ACCEPTED], "CredentialsNotFound", id="there was no Secret"),
        pytest.param("o l d", [ACCEPTED], "CredentialsInvalid", id="the keys were unusable"),
        pytest.param("old", [httpx.Response(401), ACCEPTED], "Unauthorized", id="Datadog did not know the keys"),
        pytest.param("old", [httpx.Response(403), ACCEPTED], "Forbidden", id="the keys lacked the permission"),
    ],
)
async def test_changed_keys_are_tried_at_once(
    tmp_path: Path,
    first_key: str | None,
    answers: list[httpx.Response],
    reason: str,
    cluster: FakeCluster,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One poll after the files have changed the mark is sent, with the new keys, and no key is shown anywhere."""
    caplog.set_level(logging.DEBUG)
    requests = len(answers) - 1  # the last answer is that to the new keys
    if first_key is not None:
        write(tmp_path, first_key)
    datadog = FakeDatadog(answers=[*answers])
    cluster.apply("a", changeFailure=True)
    async with running_operator(cluster, datadog, keys_dir=tmp_path) as operator:
        await operator.poll_secrets()
        await operator.poll_secrets()
        assert reason_of(cluster, "a") == reason
        assert len(datadog.requests) == requests
        write(tmp_path, NEW)
        await operator.pass_time(1)
        await operator.poll_secrets()
        assert reason_of(cluster, "a") == "Accepted"
        assert NEW not in f"{operator.app.credentials} {cluster.objects} {caplog.text}"
    sent = datadog.requests[-1].headers
    assert (sent["dd-api-key"], sent["dd-application-key"]) == (NEW, f"app-{NEW}")
    assert len(datadog.requests) == requests + 1


async def test_the_next_request_has_the_new_keys(tmp_path: Path, cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """Nothing waits for keys: the files are read for each request."""
    write(tmp_path, "old")
    cluster.apply("a", changeFailure=True)
    async with running_operator(cluster, datadog, keys_dir=tmp_path) as operator:
        write(tmp_path, NEW)
        await operator.pass_time(1)
        cluster.apply("a", changeFailure=False)
        await operator.settle()
    assert [request.headers["dd-api-key"] for request in datadog.requests] == ["old", NEW]


async def test_files_that_do_not_change_cost_nothing(tmp_path: Path, cluster: FakeCluster) -> None:
    """A resource that waits for better keys is not tried with the same ones, however often they are polled."""
    write(tmp_path, "old")
    datadog = FakeDatadog(answers=[httpx.Response(403)])
    cluster.apply("a", changeFailure=True)
    async with running_operator(cluster, datadog, keys_dir=tmp_path) as operator:
        for _ in range(5):
            await operator.poll_secrets()
        writes = cluster.status_writes
        write(tmp_path, "old")
        await operator.poll_secrets()
    assert len(datadog.requests) == 1
    assert cluster.status_writes == writes == 1


async def test_after_a_restart_waiting_resources_are_tried_once(
    tmp_path: Path, cluster: FakeCluster, datadog: FakeDatadog
) -> None:
    """The files may have changed while the operator was not running."""
    write(tmp_path, "old")
    datadog.answers = [httpx.Response(401)]
    cluster.apply("a", changeFailure=True)
    async with running_operator(cluster, datadog, keys_dir=tmp_path):
        pass
    write(tmp_path, NEW)
    datadog.answers = [ACCEPTED]
    async with running_operator(cluster, datadog, keys_dir=tmp_path) as operator:
        await operator.poll_secrets()
    assert reason_of(cluster, "a") == "Accepted"


async def test_files_take_precedence_over_variables(tmp_path: Path, cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """Both are set: the files count."""
    write(tmp_path, NEW)
    cluster.apply("a", changeFailure=True)
    async with running_operator(cluster, datadog, keys_dir=tmp_path, api_key="x", app_key="y"):
        pass
    assert datadog.requests[0].headers["dd-api-key"] == NEW


def reason_of(cluster: FakeCluster, name: str) -> str:
    """Return the reason of Ready."""
    return next(str(one["reason"]) for one in cluster.status(name)["conditions"] if one["type"] == "Ready")
