"""Whether two statuses are about the same Datadog deployment."""

from dataclasses import replace

import pytest

from dora_operator.domain.resource import Target, TargetKind

BASE = Target(by=TargetKind.VERSION, service="checkout", env="prod", version="1.1.0", site="datadoghq.com")
FAILED = replace(BASE, revision=2, source_uid="one")


@pytest.mark.parametrize(
    ("other", "same"),
    [
        pytest.param(FAILED, True, id="the same"),
        pytest.param(BASE, True, id="before the Rollout had decided anything"),
        pytest.param(replace(FAILED, revision=5), False, id="the same version, failing again later"),
        pytest.param(replace(FAILED, source_uid="two"), False, id="of a Rollout that was created again"),
        pytest.param(replace(FAILED, site="datadoghq.eu"), False, id="on another site"),
        pytest.param(replace(BASE, version="1.2.0"), False, id="another version"),
        pytest.param(None, False, id="nothing"),
    ],
)
def test_the_same_deployment(other: Target | None, *, same: bool) -> None:
    """A new failure of the same version is another deployment; learning which one it was makes no other of it."""
    assert FAILED.is_same_as(other) is same
