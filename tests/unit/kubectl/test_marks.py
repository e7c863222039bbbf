"""Which DoraDeployment `mark` and `clear` write."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_operator.domain.fields import ObjectName, adapter
from dora_operator.domain.resource import DoraDeployment, parse
from kubectl_dora.errors import UsageError
from kubectl_dora.marks import (
    Change,
    Create,
    Nothing,
    Wanted,
    for_git,
    name_for,
    next_step,
    remediation_from_flags,
    selector_from_flags,
)

CHECKOUT = {"service": "checkout", "env": "prod", "version": "1.5.0"}
FAILED = Wanted(CHECKOUT, change_failure=True)
CLEARED = Wanted(CHECKOUT, change_failure=False)


def stored(name: str, spec: dict[str, Any], created: str = "2026-11-23T03:00:00Z") -> DoraDeployment:
    """Return a DoraDeployment that is in the cluster."""
    metadata = {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "7", "creationTimestamp": created}
    return parse({"metadata": metadata, "spec": spec})


def test_a_deployment_without_a_resource_gets_one() -> None:
    """It has a name that is made from the deployment."""
    step = next_step(
        FAILED, "shop", [stored("other", {"deployment": CHECKOUT | {"version": "1"}, "changeFailure": True})]
    )
    assert isinstance(step, Create)
    assert step.manifest["metadata"] == {"name": "checkout-prod-1.5.0", "namespace": "shop"}
    assert step.manifest["spec"] == {"deployment": CHECKOUT, "changeFailure": True}


def test_a_deployment_with_a_resource_gets_no_second_one() -> None:
    """Of two, the older one is changed, because it wins."""
    old = stored("old", {"deployment": CHECKOUT, "changeFailure": True})
    new = stored("new", {"deployment": CHECKOUT, "changeFailure": False}, "2026-11-23T04:00:00Z")
    assert next_step(CLEARED, "shop", [new, old]) == Change(old, {"changeFailure": False})
    assert next_step(FAILED, "shop", [new, old]) == Nothing(old)


def test_clearing_removes_the_remediation() -> None:
    """A deployment that did not fail was not corrected."""
    link = {"type": "rollback", "version": "1.4.0"}
    failed = stored("one", {"deployment": CHECKOUT, "changeFailure": True, "remediation": link})
    assert next_step(CLEARED, "shop", [failed]) == Change(failed, {"changeFailure": False, "remediation": None})
    assert next_step(FAILED, "shop", [failed]) == Nothing(failed)


def test_another_link_leaves_nothing_of_the_one_before() -> None:
    """A version takes the place of an id."""
    link = {"type": "rollback", "id": "4242fcdd31586083"}
    failed = stored("one", {"deployment": CHECKOUT, "changeFailure": True, "remediation": link})
    wanted = Wanted(CHECKOUT, change_failure=True, remediation={"type": "rollforward", "version": "1.5.1"})
    step = next_step(wanted, "shop", [failed])
    assert isinstance(step, Change)
    body = {"metadata": {"name": "one", "uid": "x"}, "spec": {"changeFailure": True, "remediation": link}}
    assert for_git(body, step.spec)["spec"]["remediation"] == {"type": "rollforward", "version": "1.5.1"}
    assert for_git(body)["metadata"] == {"name": "one"}


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param((None, "checkout", "prod", None), id="no version"),
        pytest.param((None, None, None, None), id="nothing"),
        pytest.param(("4242fcdd31586083", "checkout", None, None), id="id and service"),
        pytest.param(("short", None, None, None), id="no id"),
        pytest.param((None, "checkout", "prod", "1.5.0\n"), id="a line break in a tag"),
    ],
)
def test_flags_that_name_no_deployment_are_refused(flags: tuple[str | None, ...]) -> None:
    """The error names the flag and the fix."""
    with pytest.raises(UsageError) as error:
        selector_from_flags(*flags)  # type: ignore[arg-type]
    assert error.value.fix
    assert error.value.code == 2


def test_links_are_versions_or_ids() -> None:
    """An id has a prefix."""
    assert remediation_from_flags("1.4.0", None) == {"type": "rollback", "version": "1.4.0"}
    assert remediation_from_flags(None, "id:4242fcdd31586083") == {"type": "rollforward", "id": "4242fcdd31586083"}
    assert remediation_from_flags(None, None) is None
    for both in (("1", "2"), ("id:no", None), ("", None)):
        with pytest.raises(UsageError):
            remediation_from_flags(*both)


TAGS = st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Z")), min_size=1, max_size=200)


@given(TAGS, TAGS, TAGS)
def test_every_deployment_has_a_valid_name(service: str, env: str, version: str) -> None:
    """Names are valid for Kubernetes, and the same for the same deployment."""
    deployment = {"service": service, "env": env, "version": version}
    adapter(ObjectName).validate_python(name_for(deployment))  # type: ignore[arg-type]
    assert name_for(deployment) == name_for(dict(deployment))
    other = name_for(deployment | {"version": version + "x"})
    assert other != name_for(deployment)
