"""The base of all API models: how Python fields become JSON fields, and CEL rules part of the schema.

Holds no field and no rule of its own.
"""

from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


class Rule(NamedTuple):
    """A CEL rule of the CRD, with a message that tells the mend."""

    rule: str
    message: str
    field_path: str = ""
    """Where the API server shows the message; empty: where the rule stands."""

    def to_schema(self) -> dict[str, str]:
        """Return the entry of x-kubernetes-validations."""
        entry = {"rule": self.rule, "message": self.message}
        return entry | ({"fieldPath": self.field_path} if self.field_path else {})


MEND = "x-mend"
"""Key in pydantic's JSON schema under which `crd` finds the message for a broken pattern."""


def mend(message: str) -> FieldInfo:
    """Say what to do about a value that breaks its pattern; the API server's own words only repeat the pattern."""
    return FieldInfo(json_schema_extra={MEND: message})


class Model(BaseModel):
    """camelCase outside, immutable inside, CEL rules beside the fields that they join."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")
    RULES: ClassVar[tuple[Rule, ...]] = ()

    def to_api(self) -> dict[str, Any]:
        """Return the JSON object that Kubernetes shows, without absent fields."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core_schema)
        if cls.RULES:
            handler.resolve_ref_schema(schema)["x-kubernetes-validations"] = [rule.to_schema() for rule in cls.RULES]
        return schema
