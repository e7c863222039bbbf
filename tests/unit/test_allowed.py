"""What a namespace may mark with the operator's own keys: lists, patterns, and what cannot be checked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_operator.domain.allowed import Allowed, allowed_in, names_in, was_allowed, why_not
from dora_operator.domain.fields import RemediationLink, RemediationType
from dora_operator.domain.plan import Refuse, Send, make_plan
from dora_operator.domain.reasons import Reason
from dora_operator.domain.resource import DoraDeploymentStatus
from dora_operator.domain.rollout.restoration import ID_PREFIX
from tests.support.builders import BY_VERSION, OTHER_ID, context, deployment, spec

OWN = Allowed(own_services=frozenset({"checkout"}))
NO_ROLLOUT = Allowed(own_services=frozenset())
BOTH = Allowed(("checkout", "cart"), (), frozenset({"checkout", "billing"}))
SHOP = Allowed(("checkout", "cart-*"), ("prod",))


@pytest.mark.parametrize(
    ("allowed", "service", "env", "words"),
    [
        pytest.param(Allowed(), "checkout", "prod", None, id="no list allows everything"),
        pytest.param(Allowed(), None, None, None, id="no list allows ids too"),
        pytest.param(SHOP, "checkout", "prod", None, id="named"),
        pytest.param(SHOP, "cart-api", "prod", None, id="named by how it begins"),
        pytest.param(SHOP, "cart", "prod", "service cart", id="what only almost begins so"),
        pytest.param(SHOP, "billing", "prod", "allowed-services", id="another service"),
        pytest.param(SHOP, "checkout", "staging", "allowed-envs", id="another environment"),
        pytest.param(SHOP, None, None, "service, env and version", id="an id, whose service is not known"),
        pytest.param(Allowed(("",), ()), "checkout", "prod", "service checkout", id="an empty list allows nothing"),
        pytest.param(Allowed((), ("prod",)), "anything", "prod", None, id="only environments are limited"),
        pytest.param(OWN, "checkout", "prod", None, id="a service that a Rollout of the namespace runs"),
        pytest.param(OWN, "billing", "prod", "none of them runs billing", id="a service that no Rollout runs"),
        pytest.param(OWN, None, None, "service, env and version", id="an id does not show that a Rollout runs it"),
        pytest.param(NO_ROLLOUT, "checkout", "prod", "none of them runs checkout", id="a namespace without Rollouts"),
        pytest.param(BOTH, "billing", "prod", "allowed-services", id="every policy limits: run, and not in the list"),
        pytest.param(
            BOTH, "cart", "prod", "none of them runs cart", id="every policy limits: in the list, and not run"
        ),
        pytest.param(BOTH, "checkout", "prod", None, id="run, and in the list"),
    ],
)
def test_what_is_allowed(allowed: Allowed, service: str | None, env: str | None, words: str | None) -> None:
    """The message names what is wrong and how to fix it."""
    message = why_not(allowed, "shop", service, env)
    assert (message is None) if words is None else (message is not None and words in message and "shop" in message)


def test_a_namespace_says_what_the_settings_do_not() -> None:
    """Each annotation counts alone; an empty one allows nothing."""
    defaults = Allowed(("a",), ("b",))
    assert allowed_in({}, defaults) == defaults
    assert allowed_in({"dora-operator.io/allowed-services": "x, y-*,"}, defaults) == Allowed(("x", "y-*"), ("b",))
    assert allowed_in({"dora-operator.io/allowed-envs": " "}, defaults) == Allowed(("a",), ("",))


def test_services_of_a_namespace_replace_those_that_its_rollouts_run() -> None:
    """An administrator names what the namespace may mark; environments leave the policy as it is."""
    assert allowed_in({"dora-operator.io/allowed-services": "x"}, OWN) == Allowed(("x",))
    assert allowed_in({"dora-operator.io/allowed-envs": "x"}, OWN) == Allowed((), ("x",), OWN.own_services)


def ready(reason: str | None, secret: str | None = None) -> DoraDeploymentStatus:
    """Return the status of a resource with a reason of Ready."""
    spec = {"deployment": BY_VERSION, "changeFailure": True}
    if secret is not None:
        spec |= {"credentialsSecretRef": {"name": secret}}
    condition = {"type": "Ready", "status": "False", "observedGeneration": 1, "reason": reason, "message": ""}
    conditions = [condition | {"lastTransitionTime": "2026-11-23T10:00:00Z"}] if reason is not None else []
    target = {"by": "Version", "site": "datadoghq.com", "credentialsSecret": secret} | BY_VERSION
    return deployment(spec, {"conditions": conditions, "target": target}).status


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(ready("Accepted"), True, id="accepted"),
        pytest.param(ready("DatadogUnavailable"), True, id="sent, and not accepted yet"),
        pytest.param(ready("Suspended"), True, id="held back after it was allowed"),
        pytest.param(ready("NotAllowed"), False, id="refused"),
        pytest.param(ready("InvalidSpec"), False, id="not understood, so not asked"),
        pytest.param(ready(None), False, id="new"),
        pytest.param(ready("Accepted", "mine"), False, id="accepted with keys of its own, to which no policy applies"),
    ],
)
def test_a_resource_that_was_allowed_stays_allowed(status: DoraDeploymentStatus, *, expected: bool) -> None:
    """The status shows it, and only the operator writes that."""
    assert status.target is not None
    assert was_allowed(status) == expected


def test_a_link_whose_id_was_read_back_stays_allowed() -> None:
    """The link was made by version and stays within the service and env; the id is what a read has found."""
    link = {"type": "rollback", "version": "1.4.0"}
    known = RemediationLink(type=RemediationType.ROLLBACK, version="1.4.0", id=OTHER_ID)
    linked = spec(deployment=BY_VERSION, changeFailure=True, remediation=link)
    assert isinstance(make_plan(linked, context(allowed=SHOP, known_link=known)), Send)


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_list_never_allows_what_it_does_not_name(listed: str, service: str) -> None:
    """Whatever an annotation says, only what it names passes."""
    allowed = allowed_in({"dora-operator.io/allowed-services": listed}, Allowed())
    passes = why_not(allowed, "shop", service, "prod") is None
    named = any(service == name or (name.endswith("*") and service.startswith(name[:-1])) for name in names_in(listed))
    assert passes == (named or (service == "" and not names_in(listed)))


def test_a_plan_that_is_not_allowed() -> None:
    """Refused before any other check; keys of the namespace's own are not checked."""
    refused = make_plan(spec(deployment=BY_VERSION | {"service": "billing"}, changeFailure=True), context(allowed=SHOP))
    assert isinstance(refused, Refuse)
    assert refused.reason is Reason.NOT_ALLOWED
    by_id = make_plan(spec(changeFailure=True), context(allowed=SHOP))
    assert isinstance(by_id, Refuse)
    for other in (context(allowed=SHOP), context(allowed=SHOP, referenced=spec().deployment)):
        by = {"doraDeploymentRef": {"name": "other"}} if other.referenced else {"id": OTHER_ID}
        link = {"type": "rollback"} | by
        linked = make_plan(spec(deployment=BY_VERSION, changeFailure=True, remediation=link), other)
        assert isinstance(linked, Refuse)
        assert linked.reason is Reason.NOT_ALLOWED
        assert "by version" in linked.message
    for by in ({"version": "1.4.0"}, {"id": ID_PREFIX + "0" * 40}):
        link = {"type": "rollback"} | by
        allowed = spec(deployment=BY_VERSION, changeFailure=True, remediation=link)
        assert isinstance(make_plan(allowed, context(allowed=SHOP)), Send)
    own_keys = spec(changeFailure=True, credentialsSecretRef={"name": "mine"})
    assert isinstance(make_plan(own_keys, context(allowed=SHOP)), Send)
