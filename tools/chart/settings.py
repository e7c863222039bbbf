"""The operator's settings as values of the chart: name, default and schema, all derived from the settings model.

This module decides only where the chart differs from the operator.
"""

from typing import Any

from pydantic import AliasChoices

from dora_operator.settings import NAMESPACE, Settings

CHART_DEFAULTS: dict[str, Any] = {"healthPort": 8081, "metricsPort": 8080, "logFormat": "json", "leaseName": ""}
"""Defaults for a pod that differ from those of a process."""
PORT = {"type": "integer", "minimum": 1, "maximum": 65_535}
URL_PORT = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
NAMES = {"type": "array", "items": {"type": "string", "pattern": "^[^,\\s]+$"}}
"""They are joined by commas. An empty name alone would be an empty list, which allows everything."""
NARROWER: dict[str, dict[str, Any]] = {
    "healthPort": PORT,  # the kubelet needs it, so it cannot be off
    "metricsPort": {"anyOf": [PORT, {"const": ""}]},
    "namespaces": {
        "type": "array",
        "uniqueItems": True,
        "items": {"type": "string", "maxLength": 63, "pattern": NAMESPACE},
    },
    "allowedServices": NAMES,
    "allowedEnvs": NAMES,
    "datadogUrl": {
        "type": "string",
        "maxLength": 2083,
        "pattern": rf"^(https?://([^\s/?#:@\[\]]+|\[[0-9A-Fa-f:.]+\])(:{URL_PORT})?(/[^\s?#]*)?)?$",
    },
    "leaseName": {"type": "string", "maxLength": 253, "pattern": "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$"},
}
"""Schemas that are stricter than the operator's own."""
WORDS = {
    "healthPort": "Port of /livez, /readyz and /healthz, for the kubelet.",
    "leaseName": "Name of the Lease; empty: the release's name.",
}
"""Descriptions that differ from those of the operator."""
KEPT = (
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "items",
)

Setting = tuple[Any, dict[str, Any], str]
"""Default, schema, description."""


def camel(name: str) -> str:
    """Return a field's name in the case of values: `dry_run` is `dryRun`."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def settings() -> dict[str, Setting]:
    """Return every setting of the operator whose variable begins with DORA_OPERATOR_."""
    document = Settings.model_json_schema(by_alias=False)
    found = {}
    for field, about in Settings.model_fields.items():
        if not isinstance(about.validation_alias, AliasChoices):  # site and keys are values of `datadog`
            name = camel(field)
            schema = document["properties"][field]
            default = CHART_DEFAULTS.get(name, _plain(schema.get("default")))
            words = WORDS.get(name) or (about.description or "").replace(
                ", separated by commas", ""
            )  # a value is a list
            found[name] = (default, NARROWER.get(name) or _schema(schema, document), words)
    return found


def _plain(default: Any) -> Any:
    """Return a default that Helm keeps: it drops null, so an absent value is an empty text."""
    if default is None:
        return ""
    if isinstance(default, float) and default.is_integer():
        return int(default)
    return list(default) if isinstance(default, tuple) else default


def _schema(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    if choices:
        return {"anyOf": [{"const": ""}, *(_schema(choice, document) for choice in choices)]}
    if "$ref" in schema:
        schema = document["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
    return {"type": schema["type"]} | {word: schema[word] for word in KEPT if word in schema}
