"""Read from the cluster and from Datadog what `doctor` checks, with few requests. Changes nothing."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from dora_operator.clients.kubernetes import ROLLOUTS
from dora_operator.crd import custom_resource_definition
from dora_operator.domain.fields import API_VERSION, GROUP, KIND
from dora_operator.domain.history.identity import Identity
from dora_operator.domain.outcome import Answer, NoAnswer
from dora_operator.domain.request import COLLECTION, REQUEST_TYPE
from dora_operator.domain.resource import DoraDeployment, parse
from dora_operator.domain.sources.rollout import POD_TEMPLATE_HASH, parse_replica_sets, parse_rollout
from dora_operator.domain.stored import BEFORE_CREATION
from dora_operator.reconcile.credentials import NoKeys
from dora_operator.settings import Settings
from kubectl_dora import datadog
from kubectl_dora.checks import AccountFacts, Facts, Permission
from kubectl_dora.cluster import Cluster, now
from kubectl_dora.errors import NotFoundError, RefusedError
from kubectl_dora.gather import Body, list_deployment_bodies, replica_sets_path

VALIDATE = "/api/v1/validate"
MAX_SERVICES = 40
PROBE_ID = "dora-operator-doctor"
"""No deployment has this id, and no service this name; and the mark is invalid besides."""
WATCHED = (
    (GROUP, "doradeployments", "list"),
    (GROUP, "doradeployments", "watch"),
    (GROUP, "doradeployments/status", "patch"),
    ("", "events", "create"),
    ("", "namespaces", "get"),
)
"""What every operator does: group, resource, verb."""
WITH_ROLLOUTS = (
    (GROUP, "doradeployments", "create"),
    (GROUP, "doradeployments", "patch"),
    (GROUP, "doradeployments", "delete"),
    (GROUP, "dorahistories", "create"),
    (GROUP, "dorahistories", "list"),
    (GROUP, "dorahistories", "patch"),
    ("argoproj.io", "rollouts", "list"),
    ("argoproj.io", "rollouts", "watch"),
    ("apps", "replicasets", "list"),
)
LEASES = (
    ("coordination.k8s.io", "leases", "create"),
    ("coordination.k8s.io", "leases", "get"),
    ("coordination.k8s.io", "leases", "update"),
)

PUBLISHED_TRIES = 60
PUBLISHED_PAUSE_SECONDS = 0.5
"""How long the schema of a kind that is served is awaited: 30 seconds."""


async def read_facts(cluster: Cluster, settings: Settings, *, is_own_login: bool) -> Facts:
    """Read everything. What may not be read counts as absent, and the check of the permissions says why."""
    lease_namespace = settings.lease_namespace or cluster.namespace
    fields, permissions, missing, deployments, (bodies, not_selected, has_rollouts), lease = await asyncio.gather(
        read_served_fields(cluster),
        _permissions(cluster, needed(settings, lease_namespace), settings.lease_name),
        _missing_namespaces(cluster, settings.namespaces),
        _deployments(cluster, settings),
        _rollouts(cluster, settings),
        _lease(cluster, lease_namespace, settings),
    )
    rollouts = await _identified(cluster, bodies)
    return Facts(
        now=now(),
        settings=settings,
        account=await read_account(settings, rollouts),
        served_fields=fields,
        known_fields=fields_of(custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]),
        permissions=permissions,
        is_own_login=is_own_login,
        missing_namespaces=missing,
        has_rollouts=has_rollouts,
        rollouts=rollouts,
        not_selected=not_selected,
        lease=lease,
        deployments=deployments,
    )


def needed(settings: Settings, lease_namespace: str) -> list[Permission]:
    """Return every request that an operator with these settings makes."""
    wanted = (*WATCHED, *(WITH_ROLLOUTS if settings.rollouts else ()))
    places = [(namespace, each) for namespace in settings.namespaces or ("",) for each in wanted]
    places += [(lease_namespace, each) for each in LEASES]
    return [Permission(group, resource, verb, namespace) for namespace, (group, resource, verb) in places]


async def _permissions(cluster: Cluster, wanted: Sequence[Permission], lease_name: str) -> dict[Permission, bool]:
    async def one(permission: Permission) -> bool:
        resource, _, subresource = permission.resource.partition("/")
        attributes = {
            "group": permission.group,
            "resource": resource,
            "subresource": subresource,
            "verb": permission.verb,
            "namespace": permission.namespace,
        }
        if permission.resource == "leases" and permission.verb != "create":
            attributes["name"] = lease_name
        return await cluster.is_permitted(attributes)

    answers = await asyncio.gather(*(one(permission) for permission in wanted))
    return dict(zip(wanted, answers, strict=True))


def fields_of(schema: Mapping[str, Any], path: str = "") -> frozenset[str]:
    """Return the paths of all fields of spec and status in a schema."""
    found: set[str] = set()
    for name, field in (schema.get("properties") or {}).items():
        if not path and name not in {"spec", "status"}:
            continue
        here = f"{path}.{name}" if path else name
        found |= {here} | fields_of(field, here) | fields_of(field.get("items") or {}, f"{here}[]")
    return frozenset(found)


async def read_served_fields(
    cluster: Cluster, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> frozenset[str] | None:
    """Return the fields of the kind that the API server serves, or None where the CRD is not installed.

    The API server publishes the schema of a new CRD some seconds after it serves the kind.
    """
    for _ in range(PUBLISHED_TRIES):
        fields = await _published_fields(cluster)
        if fields is not None or not await _is_served(cluster):
            return fields
        await sleep(PUBLISHED_PAUSE_SECONDS)
    return fields


async def _is_served(cluster: Cluster) -> bool:
    document = await _find_document(cluster, f"/apis/{API_VERSION}")
    return any(each.get("kind") == KIND for each in document.get("resources") or ())


async def _published_fields(cluster: Cluster) -> frozenset[str] | None:
    """Read the schema that the API server publishes for everybody: CRDs themselves may not be readable."""
    document = await _find_document(cluster, f"/openapi/v3/apis/{API_VERSION}")
    for schema in ((document.get("components") or {}).get("schemas") or {}).values():
        kinds = schema.get("x-kubernetes-group-version-kind") or ()
        if any(each.get("kind") == KIND for each in kinds):
            return fields_of(schema)
    return None


async def _find_document(cluster: Cluster, path: str) -> Body:
    try:
        return await cluster.document(path, f"the API {API_VERSION}")
    except NotFoundError:
        return {}


async def _missing_namespaces(cluster: Cluster, names: Sequence[str]) -> tuple[str, ...]:
    async def one(name: str) -> bool:
        try:
            return await cluster.find(f"/api/v1/namespaces/{name}", f"Namespace {name}") is not None
        except RefusedError:
            return True  # it may not be read, so nothing is known

    exist = await asyncio.gather(*(one(name) for name in names))
    return tuple(name for name, exists in zip(names, exist, strict=True) if not exists)


async def _deployments(cluster: Cluster, settings: Settings) -> list[DoraDeployment]:
    try:
        lists = await asyncio.gather(
            *(list_deployment_bodies(cluster, each) for each in settings.namespaces or (None,))
        )
    except (NotFoundError, RefusedError):
        return []
    return [parse(body) for bodies in lists for body in bodies]


async def _rollouts(cluster: Cluster, settings: Settings) -> tuple[list[Body], int, bool]:
    """Return the watched Rollouts, how many the selector leaves out, and whether the kind is installed."""
    if not settings.rollouts:
        return [], 0, True
    found: list[Body] = []
    total = 0
    query = {"labelSelector": settings.rollout_selector} if settings.rollout_selector else {}
    try:
        for namespace in settings.namespaces or (None,):
            selected = await cluster.list(ROLLOUTS.path(namespace), "Rollouts", **query)
            total += len(await cluster.list(ROLLOUTS.path(namespace), "Rollouts") if query else selected)
            found += selected
    except NotFoundError:
        return [], 0, False
    except RefusedError:
        return [], 0, True
    return found, total - len(found), True


async def _identified(cluster: Cluster, bodies: Sequence[Body]) -> dict[str, Identity]:
    """Return which deployment each Rollout is now. With workloadRef, its newest ReplicaSet says so."""
    rollouts = [parse_rollout(body) for body in bodies]
    replica_sets: dict[str, list[Body]] = {}
    for namespace in sorted({rollout.key.namespace for rollout in rollouts if rollout.template_identity is None}):
        path = replica_sets_path(namespace)
        try:
            replica_sets[namespace] = await cluster.list(path, "ReplicaSets", labelSelector=POD_TEMPLATE_HASH)
        except RefusedError:
            continue
    identities = {}
    for rollout in rollouts:
        owned = parse_replica_sets(rollout.uid, replica_sets.get(rollout.key.namespace, ()))
        newest = max(owned, key=lambda template: template.numbers, default=None)
        of_template = newest.identity if newest is not None else Identity()
        identities[str(rollout.key)] = rollout.template_identity or of_template
    return identities


async def _lease(cluster: Cluster, namespace: str, settings: Settings) -> Body | None:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{settings.lease_name}"
    try:
        return await cluster.find(path, f"Lease {namespace}/{settings.lease_name}")
    except RefusedError:
        return None


async def read_account(settings: Settings, rollouts: Mapping[str, Identity]) -> AccountFacts:
    """Return what Datadog answers with the operator's keys, client and limits, one request after the other."""
    keys = datadog.keys_of(settings)
    if isinstance(keys, NoKeys):
        return AccountFacts(no_keys=keys.message)
    pairs = {(identity.service, identity.env) for identity in rollouts.values() if identity.is_known}
    services = sorted((service, env) for service, env in pairs if service is not None and env is not None)
    asked = services[:MAX_SERVICES] or [(PROBE_ID, "none")]
    async with datadog.open_account(settings, keys) as account:
        begun = now()
        validate = await account.send("GET", VALIDATE)
        skew = _skew(validate, begun, now())
        write = await account.send("PATCH", f"{COLLECTION}/{PROBE_ID}", _invalid_mark())
    listed = await datadog.list_services(settings, keys, asked, begun - BEFORE_CREATION)
    return AccountFacts("", validate, write, skew, listed, len(services[MAX_SERVICES:]))


def _invalid_mark() -> bytes:
    """Return a mark that Datadog cannot apply: a text where true or false belongs, for an id that does not exist."""
    document = {"data": {"id": PROBE_ID, "type": REQUEST_TYPE, "attributes": {"change_failure": "doctor"}}}
    return json.dumps(document).encode()


def _skew(answer: Answer | NoAnswer, begun: datetime, ended: datetime) -> float | None:
    """Return by how many seconds this clock is behind; the header has no fractions, so half a second is added."""
    try:
        date = parsedate_to_datetime(answer.headers["date"]) if isinstance(answer, Answer) else None
    except (ValueError, KeyError):
        date = None
    local = begun + (ended - begun) / 2
    return (date - local).total_seconds() + 0.5 if date is not None else None
