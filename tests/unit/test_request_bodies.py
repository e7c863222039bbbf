"""The bodies of the requests, byte by byte: what Datadog receives."""

from datetime import datetime, timedelta, timezone

import pytest

from dora_operator.domain.posted_events import DeploymentEvent
from dora_operator.domain.request import (
    PatchById,
    PatchByVersion,
    PatchRequest,
    encode,
    encode_event,
    encode_list,
)
from dora_operator.domain.resource import MarkState
from tests.support.builders import DEPLOYMENT_ID, FAILURE, NOW, OTHER_ID, after, link


@pytest.mark.parametrize(
    ("request_", "path", "body"),
    [
        pytest.param(
            PatchById(DEPLOYMENT_ID, FAILURE),
            f"/api/v2/dora/deployments/{DEPLOYMENT_ID}",
            b'{"data":{"attributes":{"change_failure":true},"id":"43vkaZNgiso","type":"dora_deployment_patch_request"}}',
            id="by id",
        ),
        pytest.param(
            PatchById("a/../b?c", MarkState()),
            "/api/v2/dora/deployments/a%2F..%2Fb%3Fc",
            b'{"data":{"attributes":{},"id":"a/../b?c","type":"dora_deployment_patch_request"}}',
            id="an id cannot leave its segment of the path",
        ),
        pytest.param(
            PatchByVersion(
                "checkout", "prod", "1.5.0", MarkState(change_failure=True, remediation=link(version="1.4.2"))
            ),
            "/api/v2/dora/deployments",
            b'{"data":{"attributes":{"change_failure":true,"env":"prod","remediation":{"type":"rollback",'
            b'"version":"1.4.2"},"service":"checkout","version":"1.5.0"},"type":"dora_deployment_patch_request"}}',
            id="by version, with a remediation by version",
        ),
        pytest.param(
            PatchByVersion("checkout", "prod", "1", MarkState(remediation=link(id=OTHER_ID, version="1.4.2"))),
            "/api/v2/dora/deployments",
            b'{"data":{"attributes":{"env":"prod","remediation":{"id":"X9RMqDwK-4c","type":"rollback"},'
            b'"service":"checkout","version":"1"},"type":"dora_deployment_patch_request"}}',
            id="an id that was read back replaces the version",
        ),
    ],
)
def test_what_a_mark_sends(request_: PatchRequest, path: str, body: bytes) -> None:
    """Sorted keys and no spaces: the same state is always the same body."""
    assert (request_.path, encode(request_)) == (path, body)


def test_what_a_deployment_event_sends() -> None:
    """Times in nanoseconds; absent fields are absent."""
    event = DeploymentEvent("an-id-of-its-own", "checkout", "prod", "1.5.0", NOW, NOW + timedelta(microseconds=1))
    assert encode_event(event) == (
        b'{"data":{"attributes":{"custom_tags":["dora_operator:created"],"env":"prod",'
        b'"finished_at":1795435200000001000,"id":"an-id-of-its-own",'
        b'"service":"checkout","started_at":1795435200000000000,"version":"1.5.0"}}}'
    )
    bare = DeploymentEvent("an-id-of-its-own", "checkout", None, None, NOW, NOW)
    assert b"env" not in encode_event(bare)
    assert b"version" not in encode_event(bare)


def test_what_a_list_sends() -> None:
    """Times in UTC with a Z and without fractions; the end is rounded up, so that nothing of its second is missing."""
    east = datetime(2026, 11, 23, 14, 0, 0, 900_000, tzinfo=timezone(timedelta(hours=2)))
    assert encode_list('check"out', "pr\\od", after(-600), east, 1000) == (
        b'{"data":{"attributes":{"from":"2026-11-23T11:50:00Z","limit":1000,'
        b'"query":"service:\\"check\\\\\\"out\\" env:\\"pr\\\\\\\\od\\"","sort":"-started_at",'
        b'"to":"2026-11-23T12:00:01Z"},'
        b'"type":"dora_deployments_list_request"}}'
    )
