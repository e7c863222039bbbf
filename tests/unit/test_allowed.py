"""What a namespace may mark with the operator's own keys: lists, patterns, and what cannot be checked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_operator.domain.allowed import Allowed, allowed_in, names_in, why_not
from dora_operator.domain.fields import RemediationLink, RemediationType
from dora_operator.domain.plan import Refuse, Send, make_plan
from dora_operator.domain.reasons import Reason
from tests.support.builders import BY_VERSION, OTHER_ID, context, spec

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
    by_version = {"type": "rollback", "version": "1.4.0"}
    allowed = spec(deployment=BY_VERSION, changeFailure=True, remediation=by_version)
    assert isinstance(make_plan(allowed, context(allowed=SHOP)), Send)
    own_keys = spec(changeFailure=True, credentialsSecretRef={"name": "mine"})
    assert isinstance(make_plan(own_keys, context(allowed=SHOP)), Send)
