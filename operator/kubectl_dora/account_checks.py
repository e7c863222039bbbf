"""The checks of what Datadog answered: keys, permissions, clock, rate limit, services. Pure."""

from collections import Counter
from http import HTTPStatus

from kubectl_dora.findings import SEEN_DAYS, Check, Facts, Reply, Status

SKEW_WARNING, SKEW_FAILED = 30.0, 300.0
"""Seconds. Datadog refuses deployments that finish in the future, and times in statuses are this clock's."""
FEW_REQUESTS = 0.1
"""Share of the rate limit below which it is short."""
REFUSED_FOR_CONTENT = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY})


def check_keys(facts: Facts) -> Check:
    """The API key is known on the site."""
    account, name = facts.account, "api key"
    if account.no_keys:
        fix = "set datadog.existingSecret in the chart's values, or credentialsSecretRef in every DoraDeployment"
        return Check(name, _without_keys(facts), account.no_keys, fix)
    return _of_reply(
        name,
        account.validate,
        ok=f"valid on {account.site}",
        refused=f"not valid on {account.site}",
        fix=f"check that the key belongs to an organisation on {account.site} (DD_SITE), and was not revoked",
    )


def _without_keys(facts: Facts) -> Status:
    """Return how bad it is that the operator has no keys of its own: a dry run needs none."""
    specs = [each.spec for each in facts.deployments if each.spec is not None]
    if facts.deployments and all(spec.credentials_secret_ref is not None for spec in specs):
        return Status.OK
    return Status.WARNING if facts.settings.dry_run else Status.FAILED


def check_read_permission(facts: Facts) -> Check:
    """The application key may read deployments."""
    return _of_reply(
        "dora_metrics_read",
        facts.account.listing,
        ok="deployments can be listed",
        refused="deployments cannot be listed",
        fix="give the application key the scope dora_metrics_read, and check that it belongs to the same organisation",
    )


def check_write_permission(facts: Facts) -> Check:
    """The application key may mark deployments, as far as a request shows that Datadog refuses for its content."""
    reply, name = facts.account.write, "dora_metrics_write"
    if reply.status in REFUSED_FOR_CONTENT:
        return Check(name, Status.OK, "an invalid mark was refused for its content, not for its keys")
    return _of_reply(
        name,
        reply,
        ok="",
        refused="a mark was refused for its keys",
        fix="give the application key the scope dora_metrics_write; use the key of a service account",
    )


def _of_reply(name: str, reply: Reply, *, ok: str, refused: str, fix: str) -> Check:
    if reply.status is None:
        fix = "allow HTTPS to the site's API (NetworkPolicy, proxy, DNS), or correct DORA_OPERATOR_DATADOG_URL"
        return Check(name, Status.FAILED, f"no answer: {reply.error}", fix)
    if reply.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Check(name, Status.FAILED, f"{refused}: the answer is {reply.status}", fix)
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Check(name, Status.WARNING, "not checked: the rate limit is used up (429)", "run it again in a minute")
    if reply.status < HTTPStatus.BAD_REQUEST and ok:
        return Check(name, Status.OK, ok)
    fix = "Datadog or a proxy before it answers as its API does not: try again, and check DORA_OPERATOR_DATADOG_URL"
    return Check(name, Status.WARNING, f"not checked: unexpected answer {reply.status} {reply.error}".rstrip(), fix)


def check_clock(facts: Facts) -> Check:
    """This clock agrees with Datadog's."""
    skew = facts.account.skew_seconds
    if skew is None:
        return Check("clock", Status.WARNING, "not checked: Datadog did not answer", "see the checks of the keys")
    evidence = f"{abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} Datadog's Date header"
    fix = "synchronise the node's clock (NTP)"
    if abs(skew) >= SKEW_FAILED:
        return Check("clock", Status.FAILED, evidence, fix)
    if abs(skew) >= SKEW_WARNING:
        return Check("clock", Status.WARNING, evidence, fix)
    return Check("clock", Status.OK, evidence)


def check_rate_limit(facts: Facts) -> Check:
    """Enough requests are left."""
    account, name = facts.account, "rate limit"
    if account.limit is None or account.remaining is None:
        return Check(name, Status.OK, "Datadog sent no rate limit")
    reset = f", new in {account.reset_seconds:.0f} s" if account.reset_seconds is not None else ""
    evidence = f"{account.remaining} of {account.limit} requests left{reset}"
    if account.remaining >= account.limit * FEW_REQUESTS:
        return Check(name, Status.OK, evidence)
    fix = "find what else uses the DORA API of this account, or ask Datadog for a higher limit; the operator waits"
    return Check(name, Status.WARNING, evidence, fix)


def check_services(facts: Facts) -> Check:
    """Datadog has deployments of each service: what it does not have cannot be marked."""
    name, seen = "services", facts.account.services
    if seen is None:
        fix = "see dora_metrics_read"
        return Check(name, Status.WARNING, "not checked: deployments cannot be read", fix)
    unchecked = f"; {facts.account.unchecked} more were not checked" if facts.account.unchecked else ""
    unknown = sorted(f"{service} in {env}" for (service, env), found in seen.items() if not found.deployments)
    if unknown:
        evidence = (
            f"{len(unknown)} of {len(seen)} services have no deployment in Datadog in {SEEN_DAYS} days{unchecked}"
        )
        fix = "choose a source of deployments in Datadog's DORA settings, and compare service and env with the labels"
        return Check(name, Status.WARNING, evidence, fix, tuple(unknown))
    return Check(name, Status.OK, f"Datadog has deployments of all {len(seen)} services{unchecked}")


def check_sources(facts: Facts) -> Check:
    """Each service's deployments come from one source."""
    name, seen = "sources", facts.account.services
    if seen is None:
        return Check(name, Status.WARNING, "not checked: deployments cannot be read", "see dora_metrics_read")
    counts = Counter(source for found in seen.values() for source in found.sources)
    mixed = sorted(
        f"{service} in {env}: {', '.join(sorted(found.sources))}"
        for (service, env), found in seen.items()
        if len(found.sources) > 1
    )
    evidence = ", ".join(f"{source} ({count})" for source, count in counts.most_common()) or "no deployments"
    if mixed:
        fix = "choose one source per service in Datadog's DORA settings: two count a deployment twice"
        return Check(name, Status.WARNING, f"{evidence}; {len(mixed)} services have several", fix, tuple(mixed))
    return Check(name, Status.OK, evidence)
