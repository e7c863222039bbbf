"""Whether two statuses speak of the same Datadog deployment."""

import pytest

from dora_operator.domain.observed import Target, TargetKind

BASE = Target(by=TargetKind.VERSION, service="checkout", env="prod", version="1.1.0", site="datadoghq.com")
FAILED = BASE.model_copy(update={"revision": 2, "rollout_uid": "one"})


@pytest.mark.parametrize(
    ("other", "same"),
    [
        pytest.param(FAILED, True, id="the same"),
        pytest.param(BASE, True, id="before the Rollout had said anything"),
        pytest.param(FAILED.model_copy(update={"revision": 5}), False, id="the same version, failing again later"),
        pytest.param(FAILED.model_copy(update={"rollout_uid": "two"}), False, id="of a Rollout that was created again"),
        pytest.param(FAILED.model_copy(update={"site": "datadoghq.eu"}), False, id="on another site"),
        pytest.param(BASE.model_copy(update={"version": "1.2.0"}), False, id="another version"),
        pytest.param(None, False, id="nothing"),
    ],
)
def test_the_same_deployment(other: Target | None, *, same: bool) -> None:
    """A new failure of the same version is another deployment; learning which one it was makes no other of it."""
    assert FAILED.is_same_as(other) is same
