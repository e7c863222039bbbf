"""Reads request bodies into values; raises `RefusedError` where Datadog answers 400.

Pure. Recorded: the wording for a wrong remediation type and for a missing list type. From the specification: which
members are required, and that by version a remediation has exactly its type and one of id and version. Chosen here,
as no source says it: an id in the body that differs from the one in the path is refused, and so is null for a mark.
"""

import re
from dataclasses import dataclass

from sandbox.datadog import moments
from sandbox.datadog.documents import Members, RefusedError, attributes_of, data_of
from sandbox.datadog.model import Listing
from sandbox.datadog.query import Query, QueryError, parse_query
from sandbox.datadog.values import Event, Git, Key, Mark, Remediation

PATCH_TYPE = "dora_deployment_patch_request"
LIST_TYPE = "dora_deployments_list_request"
FAILURES_LIST_TYPE = "dora_failures_list_request"
REMEDIATION_TYPES = ("rollback", "rollforward")
SORTS = ("started_at", "-started_at", "finished_at", "-finished_at")
TAGS_MAXIMUM = 100
_OWN_ID = re.compile(r"[A-Za-z0-9\-_.:]{16,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class VersionMark:
    """A mark for the deployment of this service, env and version that finished last."""

    key: Key
    mark: Mark


def mark_by_id(deployment_id: str, body: bytes) -> Mark:
    """Read the PATCH of one deployment."""
    data = data_of(body, expected_type=PATCH_TYPE)
    if data.wanted_text("id") != deployment_id:
        raise RefusedError('"id" in body must be the id in path')
    attributes = attributes_of(data)
    change_failure = attributes.flag("change_failure")
    return Mark(change_failure, _remediation(attributes.members("remediation")))


def mark_by_version(body: bytes) -> VersionMark:
    """Read the PATCH that names service, env and version."""
    attributes = attributes_of(data_of(body, expected_type=PATCH_TYPE))
    change_failure = attributes.flag("change_failure", required=True)
    service, env, version = (attributes.wanted_text(name) for name in ("service", "env", "version"))
    given = attributes.members("remediation")
    if given is not None:
        given.only(("id", "version", "type"))
        given.wanted_text("type")
        if not {"id", "version"} & given.values.keys():
            raise RefusedError('Missing required attribute in body: "remediation" needs "id" or "version"')
    return VersionMark((service, env, version), Mark(change_failure, _remediation(given)))


def _remediation(given: Members | None) -> Remediation | None:
    if given is None:
        return None
    kind = given.one_of("type", REMEDIATION_TYPES)
    if {"id", "version"} <= given.values.keys():
        raise RefusedError('attribute "remediation" must have "id" or "version", not both')
    names = {name: given.text(name, required=name in given.values) for name in ("id", "version")}
    return Remediation(names["id"], names["version"], kind)


def event(body: bytes) -> Event:
    """Read a new deployment."""
    attributes = attributes_of(data_of(body, expected_type=None))
    own_id = attributes.text("id")
    if own_id is not None and not _OWN_ID.fullmatch(own_id):
        raise RefusedError('attribute "id" must be 16 to 128 characters of [A-Za-z0-9-_.:]')
    tags = attributes.texts("custom_tags", maximum=TAGS_MAXIMUM)
    if any(":" not in tag for tag in tags):
        raise RefusedError('attribute "custom_tags" must be made of "key:value"')
    git = attributes.members("git")
    return Event(
        id=own_id,
        service=attributes.wanted_text("service"),
        started_at=_number(attributes, "started_at"),
        finished_at=_number(attributes, "finished_at"),
        env=attributes.text("env"),
        version=attributes.text("version"),
        team=attributes.text("team"),
        custom_tags=tags,
        git=Git(git.wanted_text("commit_sha"), git.wanted_text("repository_url")) if git is not None else None,
    )


def failure(body: bytes) -> None:
    """Check a failure event (an incident): only that it began; failures are not kept here."""
    _number(attributes_of(data_of(body, expected_type=None)), "started_at")


def listing(body: bytes, expected_type: str = LIST_TYPE, *, exact_times: bool = False) -> Listing:
    """Read which deployments are to be listed; `exact_times` refuses every date-time but those with Z and seconds."""
    attributes = attributes_of(data_of(body, expected_type=expected_type))
    start, end = (_moment(attributes, name, exact=exact_times) for name in ("from", "to"))
    return Listing(
        start=float("-inf") if start is None else start,
        end=float("inf") if end is None else end,
        limit=attributes.integer("limit", minimum=1, maximum=1000) or 10,
        query=_query(attributes.text("query") or ""),
        sort=attributes.one_of("sort", SORTS) or "-started_at",
    )


def _query(text: str) -> Query:
    try:
        return parse_query(text)
    except QueryError as error:
        raise RefusedError(f'attribute "query": {error}') from None


def _number(attributes: Members, name: str) -> float:
    value = attributes.integer(name, minimum=1, required=True) or 0
    moment = moments.from_number(value)
    if moment is None:
        raise RefusedError(f'attribute "{name}" must be in seconds, milliseconds or nanoseconds')
    return moment


def _moment(attributes: Members, name: str, *, exact: bool) -> float | None:
    text = attributes.text(name)
    if text is None:
        return None
    moment = moments.from_text(text, exact=exact)
    if moment is None:
        raise RefusedError(f'error decoding attribute "{name}": must be a date-time as in 2026-01-31T00:00:00Z')
    return moment
