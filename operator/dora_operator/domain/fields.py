"""What all API models share: field types with their rules, the config of the dataclasses, JSON as Kubernetes has it.

API models are pydantic dataclasses with slots: a slotted value takes a quarter of the memory of a BaseModel.
"""

from enum import StrEnum
from typing import Annotated, Any, ClassVar, NamedTuple, TypeGuard

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, StringConstraints, TypeAdapter
from pydantic.alias_generators import to_camel
from pydantic.dataclasses import dataclass
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

GROUP = "dora-operator.io"
VERSION = "v1alpha1"
KIND = "DoraDeployment"
PLURAL = "doradeployments"
API_VERSION = f"{GROUP}/{VERSION}"

CONFIG = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")
ATOMIC = CONFIG | ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})
"""For parts of a status that are written as a whole.

The API server then keeps one entry in managedFields for the part, not one for each field (docs/decisions/0009).
"""
MESSAGE_LIMIT = 256
"""Longest text that Datadog or a resource can bring into a status, in characters."""
FIX = "x-fix"
"""Key in pydantic's JSON schema under which `crd` finds the message for a broken pattern."""


class Rule(NamedTuple):
    """A CEL rule of the CRD, with a message that says how to fix the input."""

    rule: str
    message: str
    field_path: str = ""
    """Where the API server shows the message; empty: at the object that has the rule."""

    def to_schema(self) -> dict[str, str]:
        entry = {"rule": self.rule, "message": self.message}
        return entry | ({"fieldPath": self.field_path} if self.field_path else {})


class WithRules:
    """Base of API models with CEL rules: puts `RULES` into the JSON schema."""

    __slots__ = ()
    RULES: ClassVar[tuple[Rule, ...]] = ()

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core_schema)
        handler.resolve_ref_schema(schema)["x-kubernetes-validations"] = [rule.to_schema() for rule in cls.RULES]
        return schema


def fix(message: str) -> FieldInfo:
    """Say how to fix a value that breaks its pattern; the API server's own message only repeats the pattern."""
    return FieldInfo(json_schema_extra={FIX: message})


DeploymentId = Annotated[
    str,
    StringConstraints(min_length=11, max_length=256, pattern=r"^[A-Za-z0-9_.:-]+$"),
    fix("an id has only the characters A-Z a-z 0-9 _ . : -; copy it from the deployment's panel in Datadog"),
]
"""An id as Datadog makes or takes it: base64url (11 characters), hexadecimal, UUID, or the caller's own."""

Tag = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=200,
        pattern=r"^[^\p{Cc}\p{Cf}\p{Z}]([^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*[^\p{Cc}\p{Cf}\p{Z}])?$",
    ),
    fix("remove control characters, invisible characters and line breaks, and spaces at the beginning and the end"),
]
"""A value of the tags service, env or version. The one rule for tags, in the CRD (RE2) and in Python (Rust's regex)."""

ObjectName = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
    ),
    fix("the name of an object has lower-case letters, digits, - and ., and begins and ends with a letter or digit"),
]
"""The name of a Kubernetes object (RFC 1123 subdomain)."""

Text = Annotated[str, StringConstraints(max_length=MESSAGE_LIMIT)]
LongText = Annotated[str, StringConstraints(max_length=1024)]


class ObjectKey(NamedTuple):
    """Namespace and name of a Kubernetes object."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class SourceKind(StrEnum):
    """Kinds of workloads that a DoraDeployment can follow."""

    ROLLOUT = "Rollout"


class OnMissing(StrEnum):
    """What the operator does about a deployment that Datadog does not have."""

    WAIT = "Wait"
    CREATE = "Create"


class RemediationType(StrEnum):
    """How a failed deployment was corrected, in Datadog's words."""

    ROLLBACK = "rollback"
    ROLLFORWARD = "rollforward"


@dataclass(frozen=True, slots=True, kw_only=True, config=CONFIG)
class RemediationLink:
    """A remediation as it is sent: by id or by version."""

    type: RemediationType = Field(description="rollback or rollforward.")
    id: Text | None = Field(default=None, description="Id of the remediation deployment in Datadog.")
    version: Text | None = Field(default=None, description="Version of the remediation deployment.")


def is_tag(value: object) -> TypeGuard[str]:
    return _TAG.validator.isinstance_python(value, strict=True)


def is_deployment_id(value: object) -> TypeGuard[str]:
    return _DEPLOYMENT_ID.validator.isinstance_python(value, strict=True)


def adapter(model: type[Any]) -> TypeAdapter[Any]:
    """Return pydantic's adapter of an API model; making one is expensive, so each is kept."""
    if model not in _ADAPTERS:
        _ADAPTERS[model] = TypeAdapter(model)
    return _ADAPTERS[model]


def to_api(value: object) -> dict[str, Any]:
    """Return the JSON object that Kubernetes shows, without absent fields."""
    document: dict[str, Any] = adapter(type(value)).dump_python(value, mode="json", by_alias=True, exclude_none=True)
    return document


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}
_TAG: TypeAdapter[str] = TypeAdapter(Tag)
_DEPLOYMENT_ID: TypeAdapter[str] = TypeAdapter(DeploymentId)
