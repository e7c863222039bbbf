"""The settings of the operator: read once from the environment, and passed down.

No other module reads the environment. A resource can change none of these, above all not `datadog_url`.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AliasChoices, Field, HttpUrl, SecretStr, WithJsonSchema, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from dora_operator.domain.allowed import Allowed
from dora_operator.domain.fields import OnMissing, SourceKind
from dora_operator.domain.history.policy import AbortRecovery, Policy, RetrySuccess, RollbackMarks
from dora_operator.domain.selectors import SELECTOR
from dora_operator.domain.sites import Site


def _matches(pattern: str, longest: int, words: str) -> AfterValidator:
    def check(value: str) -> str:
        if len(value) > longest or re.fullmatch(pattern, value) is None:
            raise ValueError(f"{value[:longest]!r} is not {words}")
        return value

    return AfterValidator(check)


def _text(pattern: str, longest: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "maxLength": longest, "pattern": pattern})


_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
NAMESPACE = rf"^{_LABEL}$"
_NAMESPACE_OR_EMPTY = rf"^({_LABEL})?$"
_NAMESPACE_WORDS = "the name of a namespace: lower-case letters, digits and -, at most 63"
_OBJECT = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
_OBJECT_WORDS = "the name of an object: lower-case letters, digits, - and ., at most 253"
_SELECTOR_WORDS = "a label selector, such as team=shop,tier in (web,api),!legacy"

PREFIX = "DORA_OPERATOR_"
"""Of the variables of all settings but Datadog's own."""
_OF_A_SERVICE = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_|$)|_PORT_\d+_(TCP|UDP|SCTP)(_|$)")
"""Variables that a kubelet sets for each Service of the namespace. Source: Kubernetes, "Service"."""

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Port = Annotated[int, Field(ge=0, le=65_535)]
Namespace = Annotated[str, _matches(NAMESPACE, 63, _NAMESPACE_WORDS), _text(NAMESPACE, 63)]
NamespaceOrEmpty = Annotated[str, _matches(_NAMESPACE_OR_EMPTY, 63, _NAMESPACE_WORDS), _text(_NAMESPACE_OR_EMPTY, 63)]
ObjectName = Annotated[str, _matches(_OBJECT, 253, _OBJECT_WORDS), _text(_OBJECT, 253)]
Selector = Annotated[str, _matches(SELECTOR, 1000, _SELECTOR_WORDS), _text(SELECTOR, 1000)]
ReadTime = Annotated[float, Field(gt=0, le=30 * 86_400)]


class Settings(BaseSettings):
    """All settings. Each is read from DORA_OPERATOR_<NAME> unless it has an alias."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, populate_by_name=True, extra="ignore")

    site: Site = Field(
        default=Site.US1,
        validation_alias=AliasChoices("DD_SITE"),
        description="Datadog site of the operator's account.",
    )
    api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("DD_API_KEY"), description="API key of the operator's account."
    )
    app_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("DD_APP_KEY"),
        description="Application key of the operator's account, with the permission dora_metrics_write.",
    )
    keys_dir: Path | None = Field(
        default=None,
        validation_alias=AliasChoices("DORA_OPERATOR_KEYS_DIR"),
        description="Directory with the files api-key and app-key, read for each request: changed keys count without a "
        "restart. Takes precedence over DD_API_KEY and DD_APP_KEY.",
    )
    datadog_url: HttpUrl | None = Field(
        default=None, description="Base URL instead of https://api.<site>, for a proxy or tests."
    )
    trust_env: bool = Field(
        default=False, description="true honours HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE for requests to Datadog."
    )
    namespaces: Annotated[tuple[Namespace, ...], NoDecode] = Field(
        default=(), description="Namespaces to watch, separated by commas. Empty: all."
    )
    dry_run: bool = Field(default=False, description="true sends nothing, and shows in status what would be sent.")
    health_port: Port | None = Field(default=None, description="Port of /livez, /readyz and /healthz. Empty: none.")
    metrics_port: Port | None = Field(
        default=None, description="Port of /metrics. May equal the port of the probes. Empty: none."
    )
    workers: Annotated[int, Field(ge=1, le=256)] = Field(
        default=16, description="Reconciles at the same time. At most 8 of them send to one Datadog account."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Lowest level that is logged."
    )
    log_format: Literal["text", "json"] | None = Field(
        default=None, description="text, or json with one object per line. Empty: text on a terminal, else json."
    )
    request_timeout_seconds: Seconds = Field(default=30.0, description="Timeout of one request to Datadog.")
    sources: Annotated[tuple[SourceKind, ...], NoDecode] = Field(
        default=(SourceKind.ROLLOUT,),
        description="Kinds of workloads that are watched, separated by commas: Rollout. Empty: none.",
    )
    rollout_selector: Selector = Field(default="", description="Label selector for Rollouts. Empty: all.")
    retry_success: RetrySuccess = Field(
        default=RetrySuccess.MARK_STABLE,
        description="After an aborted version is retried and promoted: MarkStable clears its mark, Keep leaves it.",
    )
    rollback_marks: RollbackMarks = Field(
        default=RollbackMarks.FIRST_AFTER_TARGET,
        description="Which version a rollback marks: FirstAfterTarget, as Datadog does, or Replaced.",
    )
    abort_recovery: AbortRecovery = Field(
        default=AbortRecovery.NONE,
        description="What is linked to an aborted deployment: None, or NextVersion (which measures the time to the "
        "next release).",
    )
    read_back: bool = Field(
        default=True, description="true reads back what Datadog stored. Needs the permission dora_metrics_read."
    )
    read_back_schedule: Annotated[tuple[ReadTime, ...], NoDecode, Field(min_length=1, max_length=6)] = Field(
        default=(30.0, 120.0, 600.0, 3600.0, 86_400.0),
        description="Seconds after Datadog accepted a state at which it is read back, separated by commas.",
    )
    on_missing: OnMissing = Field(
        default=OnMissing.WAIT,
        description="What happens if Datadog does not have a failed deployment: Wait, or Create (post its event).",
    )
    create_after_seconds: Annotated[float, Field(ge=60, le=86_400)] = Field(
        default=3600.0,
        description="onMissing: Create posts the event of a failed revision so many seconds after its end.",
    )
    lookback_hours: Annotated[float, Field(gt=0, le=720)] = Field(
        default=24.0,
        description="How far back a start considers what happened to Rollouts while the operator was not running.",
    )
    retention_days: Annotated[float, Field(gt=0, le=3650)] = Field(
        default=90.0, description="How long settled DoraDeployments that the operator created are kept."
    )
    lease_name: ObjectName = Field(
        default="dora-operator", description="Name of the Lease. Only its holder writes; two operators need two names."
    )
    lease_namespace: NamespaceOrEmpty = Field(
        default="", description="Namespace of the Lease. Empty: the operator's own."
    )
    allowed_services: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Services that may be marked with the operator's keys, unless the Namespace names its own. "
        "Empty: all.",
    )
    allowed_envs: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Environments that may be marked with the operator's keys, unless the Namespace names its own. "
        "Empty: all.",
    )
    resync_seconds: Seconds = Field(
        default=1800.0, description="How often everything is listed again, in case a watch has missed a change."
    )

    @field_validator("namespaces", "sources", "allowed_services", "allowed_envs", "read_back_schedule", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @field_validator("read_back_schedule")
    @classmethod
    def _ascends(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(later <= earlier for earlier, later in pairwise(value)):
            raise ValueError("the seconds must ascend, such as 30,120,600,3600,86400")
        return value

    @field_validator("datadog_url")
    @classmethod
    def _is_base(cls, value: HttpUrl | None) -> HttpUrl | None:
        if value is not None and (value.username or value.password or value.query or value.fragment):
            raise ValueError("it has a user, a query or a fragment: only a path can follow the host and the port")
        return value

    @field_validator(
        "health_port", "metrics_port", "log_format", "datadog_url", "api_key", "app_key", "keys_dir", mode="before"
    )
    @classmethod
    def _empty_is_absent(cls, value: object) -> object:
        return None if value == "" else value

    @property
    def base_url(self) -> str | None:
        """Where all requests to Datadog go. None: to the API of the site of each account."""
        return str(self.datadog_url).rstrip("/") if self.datadog_url is not None else None

    @property
    def allowed(self) -> Allowed:
        return Allowed(self.allowed_services, self.allowed_envs)

    @property
    def rollout_policy(self) -> Policy:
        return Policy(
            retry_success=self.retry_success,
            abort_recovery=self.abort_recovery,
            rollback_marks=self.rollback_marks,
            lookback=timedelta(hours=self.lookback_hours),
        )

    @property
    def rollouts(self) -> bool:
        return SourceKind.ROLLOUT in self.sources


def variable_of(field: str) -> str:
    alias = Settings.model_fields[field].validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"{PREFIX}{field.upper()}"


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Return a message for each variable with the operator's prefix that is no setting: a typing error, mostly.

    A misspelt dry run would send real marks. What a kubelet sets for a Service is no typing error.
    """
    known = [variable_of(field) for field in Settings.model_fields]
    names = [
        name
        for name, value in environment.items()
        if name.upper().startswith(PREFIX) and name.upper() not in known and not _is_of_a_service(name, value)
    ]
    return [
        f"{name}: there is no such setting; the nearest is {get_close_matches(name.upper(), known, 1, 0)[0]}"
        for name in sorted(names)
    ]


def _is_of_a_service(name: str, value: str) -> bool:
    return _OF_A_SERVICE.search(name) is not None or (name.endswith("_PORT") and "://" in value)
