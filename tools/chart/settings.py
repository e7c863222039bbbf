"""The operator's settings as values of the chart: name, default, and schema, all taken from the settings model.

Decides what the chart sets differently from the operator, and nothing else.
"""

from typing import Any

from pydantic import AliasChoices

from dora_operator.settings import Settings

CHART_DEFAULTS: dict[str, Any] = {"healthPort": 8081, "metricsPort": 8080, "logFormat": "json", "leaseName": ""}
"""Where a pod wants something else than a process on a desk."""
PORT = {"type": "integer", "minimum": 1, "maximum": 65_535}
NAMESPACE = {"type": "string", "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"}
NAMES = {"type": "array", "items": {"type": "string", "pattern": "^[^,\\s]+$"}}
"""They are joined by commas; an empty one alone would be no list at all, which allows everything."""
NARROWER: dict[str, dict[str, Any]] = {
    "healthPort": PORT,  # the kubelet needs it, so it cannot be off
    "metricsPort": {"anyOf": [PORT, {"const": ""}]},
    "namespaces": {"type": "array", "uniqueItems": True, "items": NAMESPACE},
    "allowedServices": NAMES,
    "allowedEnvs": NAMES,
}
"""Schemas that are stricter than the operator's own."""
WORDS = {
    "healthPort": "Port of /livez, /readyz and /healthz; the kubelet asks there.",
    "leaseName": "Name of the Lease; empty: the release's.",
}
"""Descriptions that are not those of the operator."""
KEPT = ("enum", "pattern", "minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength", "maxItems", "items")

Setting = tuple[Any, dict[str, Any], str]
"""Default, schema, description."""


def camel(name: str) -> str:
    """Return a field's name as values are written: `dry_run` is `dryRun`."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def settings() -> dict[str, Setting]:
    """Return every setting of the operator whose variable begins with DORA_OPERATOR_."""
    document = Settings.model_json_schema(by_alias=False)
    found = {}
    for field, about in Settings.model_fields.items():
        if not isinstance(about.validation_alias, AliasChoices):  # site and keys stand below `datadog`
            name = camel(field)
            schema = document["properties"][field]
            default = CHART_DEFAULTS.get(name, _plain(schema.get("default")))
            words = WORDS.get(name) or (about.description or "").replace(
                ", separated by commas", ""
            )  # a value is a list
            found[name] = (default, NARROWER.get(name) or _schema(schema, document), words)
    return found


def _plain(default: Any) -> Any:
    """Helm drops null, so what is absent is an empty text."""
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
