"""Which deployment is meant: targets, their keys and locks, and what a read adds to them."""

from dataclasses import replace

import pytest

from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.plan import (
    DeploymentKey,
    RolloutState,
    WorkloadRef,
    dependencies_of,
    keys_of,
    lock_of,
    request_for,
    target_of,
)
from dora_operator.domain.request import PatchById, PatchByVersion
from dora_operator.domain.resource import MarkState, Target, TargetKind
from dora_operator.domain.sites import Site
from tests.support.builders import (
    BY_ID,
    BY_VERSION,
    DEPLOYMENT_ID,
    FAILURE,
    SITE,
    deployment,
    spec,
)
from tests.unit.test_plan_results import ID_TARGET, REFERRING, VERSION_TARGET

BY_SECRET = {"credentialsSecretRef": {"name": "keys"}}


FAILED_IN_ROLLOUT = RolloutState(MarkState(change_failure=True), "uid-1", 2, "Aborted")


@pytest.mark.parametrize(
    ("fields", "rollout_state", "expected"),
    [
        pytest.param({}, None, ID_TARGET, id="by id"),
        pytest.param({"deployment": BY_VERSION}, None, VERSION_TARGET, id="by service, env and version"),
        pytest.param(
            {"deployment": BY_VERSION | BY_ID, "site": "datadoghq.eu"} | BY_SECRET,
            None,
            Target(by=TargetKind.ID, id=DEPLOYMENT_ID, site="datadoghq.eu", credentials_secret="keys", **BY_VERSION),
            id="an id with its tags, a site and a Secret",
        ),
        pytest.param(
            {"deployment": BY_VERSION},
            FAILED_IN_ROLLOUT,
            replace(VERSION_TARGET, revision=2, source_uid="uid-1"),
            id="the revision of a Rollout",
        ),
    ],
)
def test_which_deployment_is_meant(fields: dict, rollout_state: RolloutState | None, expected: Target) -> None:
    """The target has all that identifies the deployment and the account."""
    assert target_of(spec(**fields), Site.US1, rollout_state) == expected


@pytest.mark.parametrize(
    ("target", "key", "lock"),
    [
        pytest.param(
            ID_TARGET,
            DeploymentKey(SITE, id=DEPLOYMENT_ID),
            DeploymentKey(SITE, id=DEPLOYMENT_ID),
            id="an id is unique on its site",
        ),
        pytest.param(
            replace(ID_TARGET, credentials_secret="keys", **BY_VERSION),
            DeploymentKey(SITE, id=DEPLOYMENT_ID),
            DeploymentKey(SITE, id=DEPLOYMENT_ID),
            id="an id, whatever else is named",
        ),
        pytest.param(
            VERSION_TARGET,
            DeploymentKey(SITE, **BY_VERSION),
            DeploymentKey(SITE, **BY_VERSION),
            id="a version, with the operator's keys",
        ),
        pytest.param(
            replace(VERSION_TARGET, credentials_secret="keys"),
            DeploymentKey(SITE, account="shop/keys", **BY_VERSION),
            DeploymentKey(SITE, **BY_VERSION),
            id="a version is unique in one account; requests about it go one by one",
        ),
    ],
)
def test_the_keys_of_a_target(target: Target, key: DeploymentKey, lock: DeploymentKey) -> None:
    """Two resources with the same key are rivals; two requests with the same lock are never sent side by side."""
    assert keys_of("shop", target, None) == {key}
    assert lock_of(target) == lock


def test_a_read_back_id_is_a_key_too() -> None:
    """The key by version stays: another resource may name the same deployment so."""
    pinned = replace(VERSION_TARGET, by=TargetKind.ID, id=DEPLOYMENT_ID)
    keys = {DeploymentKey(SITE, **BY_VERSION), DeploymentKey(SITE, id=DEPLOYMENT_ID)}
    assert keys_of("shop", VERSION_TARGET, pinned) == keys
    fields = {
        "deployment": BY_VERSION,
        "sourceRef": {"name": "checkout"},
        "remediation": REFERRING,
    }
    status = {"target": {"by": "ID", "id": DEPLOYMENT_ID, "site": SITE} | BY_VERSION}
    expected = {*keys, WorkloadRef("shop", "checkout"), ObjectKey("shop", "other")}
    assert dependencies_of(Site.US1, deployment(fields, status)) == expected


def test_a_spec_that_cannot_be_understood_has_no_dependencies() -> None:
    """Nothing is decided from it."""
    assert dependencies_of(Site.US1, replace(deployment(), spec=None)) == frozenset()


def test_a_request_is_by_id_as_soon_as_that_is_known() -> None:
    """Else by service, env and version."""
    assert request_for(replace(VERSION_TARGET, id="an-id"), FAILURE) == PatchById("an-id", FAILURE)
    assert request_for(VERSION_TARGET, FAILURE) == PatchByVersion("checkout", "prod", "1.5.0", FAILURE)


def test_what_a_read_adds_to_a_target() -> None:
    """The id and the tags; what the target has itself stays."""
    known = Target(by=TargetKind.ID, id=DEPLOYMENT_ID, site=SITE, **BY_VERSION)
    assert ID_TARGET.with_known(known) == known
    assert VERSION_TARGET.with_known(known) == known
    assert VERSION_TARGET.with_known(VERSION_TARGET) == VERSION_TARGET
    assert VERSION_TARGET.with_known(None) == VERSION_TARGET
    other = replace(known, version="9.9.9")
    assert VERSION_TARGET.with_known(other) == VERSION_TARGET
    renamed = replace(known, service="cart", env="staging", version="2")
    assert known.with_known(renamed) == known
