"""The checks of `doctor`: gathered facts in, a finding with its evidence and fix out. Pure."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Any, NamedTuple

from dora_operator.domain import raw
from dora_operator.domain.history.identity import LABEL_PREFIX, Identity, fix_of
from dora_operator.domain.outcome import Answer, NoAnswer
from dora_operator.domain.reasons import Reason
from dora_operator.domain.resource import ConditionStatus, ConditionType, DoraDeployment
from dora_operator.domain.stored import BEFORE_CREATION, ReadProblem, Stored
from dora_operator.settings import Settings
from kubectl_dora.output import duration, moment

TOO_LONG = timedelta(hours=1)
LEASE_SECONDS = 15
"""The duration of the operator's Lease."""
SKEW_WARNING, SKEW_FAILED = 30.0, 300.0
"""Seconds. Datadog refuses deployments that finish in the future, and times in statuses are this clock's."""
REFUSED_FOR_CONTENT = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY})
REFUSED_FOR_KEYS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: a line of evidence and, unless it is ok, a line of what to do."""

    name: str
    status: Status
    evidence: str
    fix: str = ""
    details: tuple[str, ...] = ()
    """Names of the objects that are meant; shown with -o wide."""


class Permission(NamedTuple):
    """A request that the operator makes."""

    group: str
    resource: str
    verb: str
    namespace: str = ""
    """Empty: in all namespaces."""

    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.namespace else ""
        group = f".{self.group}" if self.group else ""
        return f"{self.verb} {self.resource}{group}{where}"


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What Datadog answered with the operator's keys."""

    no_keys: str = ""
    """Why there are none; then nothing was asked."""
    validate: Answer | NoAnswer | None = None
    write: Answer | NoAnswer | None = None
    """To an invalid mark."""
    skew_seconds: float | None = None
    listed: Mapping[tuple[str, str], Stored | ReadProblem] = field(default_factory=dict)
    """By service and env; where no Rollout names one, that of a service which does not exist."""
    unchecked: int = 0
    """Services that were not asked about, to spare the rate limit."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that is checked."""

    now: datetime
    settings: Settings
    account: AccountFacts
    served_fields: frozenset[str] | None
    """Fields of the CRD that the API server has; None: it is not installed."""
    known_fields: frozenset[str]
    permissions: Mapping[Permission, bool]
    is_own_login: bool
    """Whether the permissions are those of the operator's ServiceAccount."""
    missing_namespaces: tuple[str, ...] = ()
    has_rollouts: bool = True
    """Whether Argo Rollouts is installed."""
    rollouts: Mapping[str, Identity] = field(default_factory=dict)
    """By namespace and name: the deployment that the newest pod template is."""
    not_selected: int = 0
    """Rollouts that the operator's selector leaves out."""
    lease: Mapping[str, Any] | None = None
    deployments: Sequence[DoraDeployment] = ()


def check_keys(facts: Facts) -> Check:
    """The API key is known on the site."""
    account, name, site = facts.account, "api key", facts.settings.site
    if account.no_keys:
        specs = [deployment.spec for deployment in facts.deployments if deployment.spec is not None]
        is_fine = bool(facts.deployments) and all(spec.credentials_secret_ref is not None for spec in specs)
        status = Status.OK if is_fine else Status.WARNING if facts.settings.dry_run else Status.FAILED
        fix = "set datadog.existingSecret in the chart's values, or credentialsSecretRef in every DoraDeployment"
        return Check(name, status, account.no_keys, fix)
    fix = f"check that the key belongs to an organisation on {site} (DD_SITE), and was not revoked"
    return _of_answer(name, account.validate, f"not valid on {site}", fix) or Check(name, Status.OK, f"valid on {site}")


def check_read_permission(facts: Facts) -> Check:
    """The application key may read deployments."""
    name, problem = "dora_metrics_read", next(iter(facts.account.listed.values()), ())
    if not isinstance(problem, ReadProblem):
        return Check(name, Status.OK, "deployments can be listed")
    fix = "give the application key the scope dora_metrics_read, and check that it belongs to the same organisation"
    if problem.reason is not Reason.READ_FORBIDDEN:
        fix = "see the check of the API key; run it again in a minute"
    return Check(name, Status.FAILED, problem.message, fix)


def check_write_permission(facts: Facts) -> Check:
    """The application key may mark deployments, as far as a request shows that Datadog refuses for its content."""
    answer, name = facts.account.write, "dora_metrics_write"
    if isinstance(answer, Answer) and answer.status in REFUSED_FOR_CONTENT:
        return Check(name, Status.OK, "an invalid mark was refused for its content, not for its keys")
    fix = "give the application key the scope dora_metrics_write; use the key of a service account"
    return _of_answer(name, answer, "a mark was refused for its keys", fix) or _unexpected(name, answer)


def _of_answer(name: str, answer: Answer | NoAnswer | None, refused: str, fix: str) -> Check | None:
    if not isinstance(answer, Answer):
        fix = "allow HTTPS to the site's API (NetworkPolicy, proxy, DNS), or correct DORA_OPERATOR_DATADOG_URL"
        return Check(name, Status.FAILED, f"no answer: {answer.detail if answer else 'not asked'}", fix)
    if answer.status in REFUSED_FOR_KEYS:
        return Check(name, Status.FAILED, f"{refused}: the answer is {answer.status}", fix)
    return None if answer.status < HTTPStatus.BAD_REQUEST else _unexpected(name, answer)


def _unexpected(name: str, answer: Answer | NoAnswer | None) -> Check:
    status = answer.status if isinstance(answer, Answer) else None
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Check(name, Status.WARNING, "not checked: the rate limit is used up (429)", "run it again in a minute")
    fix = "Datadog or a proxy before it answers as its API does not: try again, and check DORA_OPERATOR_DATADOG_URL"
    return Check(name, Status.WARNING, f"not checked: unexpected answer {status}", fix)


def check_clock(facts: Facts) -> Check:
    """This clock agrees with Datadog's."""
    skew = facts.account.skew_seconds
    if skew is None:
        return Check("clock", Status.WARNING, "not checked: Datadog did not answer", "see the checks of the keys")
    evidence = f"{abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} Datadog's Date header"
    if abs(skew) < SKEW_WARNING:
        return Check("clock", Status.OK, evidence)
    status = Status.FAILED if abs(skew) >= SKEW_FAILED else Status.WARNING
    return Check("clock", status, evidence, "synchronise the node's clock (NTP)")


def check_crd(facts: Facts) -> Check:
    """The CRD is that of this version of the operator."""
    name, served = "crd", facts.served_fields
    fix = (
        "upgrade the chart with crds.install=true; without it, from the files of the release:"
        " kubectl apply --server-side --force-conflicts -f crds/"
    )
    if served is None:
        evidence = "the API server publishes no schema of doradeployments.dora-operator.io: the CRD is not installed"
        return Check(name, Status.FAILED, evidence, fix)
    missing, unknown = facts.known_fields - served, served - facts.known_fields
    if missing:
        evidence = f"the cluster's CRD is older than the operator: {len(missing)} fields are missing"
        return Check(name, Status.FAILED, evidence, fix, tuple(sorted(missing)))
    if unknown:
        evidence = f"the cluster's CRD is newer than the operator: {len(unknown)} fields are unknown to it"
        return Check(name, Status.WARNING, evidence, "upgrade the operator", tuple(sorted(unknown)))
    return Check(name, Status.OK, f"v1alpha1 with all {len(served)} fields")


def check_permissions(facts: Facts) -> Check:
    """RBAC allows every request that the operator makes."""
    denied = tuple(str(permission) for permission, allowed in facts.permissions.items() if not allowed)
    whose = "the operator's ServiceAccount" if facts.is_own_login else "this login (not the operator's)"
    if not denied:
        return Check("rbac", Status.OK, f"{whose} may do all {len(facts.permissions)} things that the operator does")
    status = Status.FAILED if facts.is_own_login else Status.WARNING
    fix = "install the chart's Roles (rbac.create: true) or grant these verbs"
    return Check("rbac", status, f"{whose} may not: {', '.join(denied)}", fix, denied)


def check_scope(facts: Facts) -> Check:
    """What is watched exists."""
    settings, name = facts.settings, "scope"
    where = f"namespaces {', '.join(settings.namespaces)}" if settings.namespaces else "every namespace"
    evidence = f"watches {where}, {len(facts.rollouts)} Rollouts"
    if settings.rollout_selector:
        evidence += f" with {settings.rollout_selector} ({facts.not_selected} others are left out)"
    if facts.missing_namespaces:
        fix = f"create {', '.join(facts.missing_namespaces)}, or remove them from DORA_OPERATOR_NAMESPACES"
        return Check(name, Status.FAILED, f"{evidence}; not all of them exist", fix, facts.missing_namespaces)
    if settings.rollouts and not facts.has_rollouts:
        fix = "install Argo Rollouts, or set settings.sources: []; DoraDeployments work without it"
        return Check(name, Status.WARNING, f"{evidence}; Argo Rollouts is not installed in this cluster", fix)
    if facts.not_selected and not facts.rollouts:
        fix = "label the Rollouts, or change DORA_OPERATOR_ROLLOUT_SELECTOR"
        return Check(name, Status.WARNING, f"{evidence}: no Rollout is left", fix)
    if settings.dry_run:
        fix = "remove DORA_OPERATOR_DRY_RUN when the dry run is over"
        return Check(name, Status.WARNING, f"{evidence}; a dry run: nothing is sent", fix)
    return Check(name, Status.OK, evidence)


def check_leader(facts: Facts) -> Check:
    """One replica leads."""
    name, holder = "leader", raw.text(facts.lease, "spec", "holderIdentity")
    fix = "see the operator's logs: no replica holds the Lease, so nothing is written"
    if not holder:
        return Check(name, Status.FAILED, f"nobody holds the Lease {facts.settings.lease_name}", fix)
    renewed, acquired = (raw.moment(facts.lease, "spec", field) for field in ("renewTime", "acquireTime"))
    silent = (facts.now - renewed).total_seconds() if renewed else float("inf")
    if silent > LEASE_SECONDS:
        return Check(name, Status.FAILED, f"{holder} has not renewed the Lease since {moment(renewed)}", fix)
    age = duration((facts.now - acquired).total_seconds()) if acquired else "an unknown time"
    return Check(name, Status.OK, f"{holder} for {age}, renewed {duration(silent)} ago")


def check_identity(facts: Facts) -> Check:
    """Every Rollout says which deployment it is."""
    lacking = {name: fix_of(identity) for name, identity in facts.rollouts.items() if not identity.is_known}
    if not lacking:
        return Check("identity", Status.OK, f"all {len(facts.rollouts)} Rollouts can be identified")
    fix = f"set {LABEL_PREFIX}service, env and version on the pod template"
    evidence = f"{len(lacking)} of {len(facts.rollouts)} Rollouts cannot be identified"
    details = tuple(f"{rollout}: {missing}" for rollout, missing in sorted(lacking.items()))
    return Check("identity", Status.WARNING, evidence, fix, details)


def check_services(facts: Facts) -> Check:
    """Datadog has deployments of each service, from one source: what it does not have cannot be marked."""
    name, listed = "services", facts.account.listed
    read = {service: rows for service, rows in listed.items() if not isinstance(rows, ReadProblem)}
    if not read:
        return Check(name, Status.WARNING, "not checked: deployments cannot be read", "see dora_metrics_read")
    left = facts.account.unchecked + len(listed) - len(read)
    unchecked = f"; {left} more were not checked" if left else ""
    unknown = sorted(f"{service} in {env}" for (service, env), rows in read.items() if not rows)
    if unknown:
        days = BEFORE_CREATION.days
        evidence = f"{len(unknown)} of {len(read)} services have no deployment in Datadog in {days} days{unchecked}"
        fix = "choose a source of deployments in Datadog's DORA settings, and compare service and env with the labels"
        return Check(name, Status.WARNING, evidence, fix, tuple(unknown))
    sources = {service: {row.source for row in rows if row.source} for service, rows in read.items()}
    counts = Counter(source for found in sources.values() for source in found)
    named = ", ".join(f"{source} ({count})" for source, count in counts.most_common())
    mixed = tuple(f"{s} in {env}: {', '.join(sorted(found))}" for (s, env), found in sources.items() if len(found) > 1)
    if mixed:
        fix = "choose one source per service in Datadog's DORA settings: two count a deployment twice"
        return Check(name, Status.WARNING, f"{named}; {len(mixed)} services have several sources", fix, mixed)
    return Check(name, Status.OK, f"Datadog has deployments of all {len(read)} services: {named}{unchecked}")


def check_resources(facts: Facts) -> Check:
    """No DoraDeployment is stalled, or fails for long."""
    stalled = [_described(one) for one in facts.deployments if _is_true(one, ConditionType.STALLED)]
    failing = [
        _described(one)
        for one in facts.deployments
        if _is_true(one, ConditionType.RECONCILING)
        and one.status.pending_since_time is not None
        and facts.now - one.status.pending_since_time > TOO_LONG
    ]
    total = f"{len(facts.deployments)} DoraDeployments"
    if not stalled and not failing:
        return Check("resources", Status.OK, f"{total}, none stalled or failing for more than an hour")
    evidence = f"{len(stalled)} of {total} are stalled, {len(failing)} fail for more than an hour"
    names = tuple(sorted(stalled + failing))
    return Check("resources", Status.WARNING, evidence, "kubectl dora explain NAME says why", names)


def _is_true(deployment: DoraDeployment, kind: ConditionType) -> bool:
    condition = deployment.status.condition(kind)
    return condition is not None and condition.status is ConditionStatus.TRUE


def _described(deployment: DoraDeployment) -> str:
    return f"{deployment.key}: {deployment.status.reason(ConditionType.READY) or 'no condition'}"


NEED_KEYS = (check_read_permission, check_write_permission, check_clock, check_services)
CHECKS: tuple[Callable[[Facts], Check], ...] = (
    check_keys,
    *NEED_KEYS,
    check_crd,
    check_permissions,
    check_scope,
    check_leader,
    check_identity,
    check_resources,
)
"""In the order in which they are shown."""


def run_checks(facts: Facts) -> list[Check]:
    """Return the finding of every check; without keys nothing was asked of Datadog, and one finding says so."""
    skipped = NEED_KEYS if facts.account.no_keys else ()
    return [check(facts) for check in CHECKS if check not in skipped]
