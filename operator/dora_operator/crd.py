"""The CustomResourceDefinition, made from the pydantic models. `python -m dora_operator.crd [--check] FOLDER`.

Writes `crds/`, or checks that it is up to date. Fields, limits and rules come from `domain.resource`.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from dora_operator.domain.fields import API_VERSION, FIX, GROUP, KIND, PLURAL, VERSION, Rule, adapter
from dora_operator.domain.resource import DoraDeploymentStatus
from dora_operator.domain.spec import ROOT_RULES, DoraDeploymentSpec

FILE_NAME = f"{GROUP}_{PLURAL}.yaml"
HEADER = "# Made from the models in operator/dora_operator/domain by `make crd`. Do not edit.\n"
READY = '.status.conditions[?(@.type=="Ready")]'
COLUMNS: tuple[tuple[str, str, str, int], ...] = (
    ("Ready", "string", f"{READY}.status", 0),
    ("Reason", "string", f"{READY}.reason", 0),
    ("Service", "string", ".status.target.service", 0),
    ("Env", "string", ".status.target.env", 0),
    ("Version", "string", ".status.target.version", 0),
    ("Failure", "boolean", ".status.desired.changeFailure", 0),
    ("Verified", "string", '.status.conditions[?(@.type=="Verified")].status', 0),
    ("Id", "string", ".status.target.id", 1),
    ("Remediation", "string", ".status.desired.remediation.type", 1),
    ("Source", "string", ".status.source.name", 1),
    ("Accepted", "date", ".status.acceptedTime", 1),
    ("Age", "date", ".metadata.creationTimestamp", 0),
)
"""Printer columns: name, type, JSON path, priority (1 shows with `-o wide` only)."""


def custom_resource_definition() -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["dora"],
                "categories": ["datadog"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _root_schema()},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(*column) for column in COLUMNS],
                }
            ],
        },
    }


def render() -> str:
    manifest = json.loads(json.dumps(custom_resource_definition()))  # no shared lists, so no YAML anchors
    return HEADER + yaml.safe_dump(manifest, sort_keys=False, width=120, allow_unicode=True)


def _root_schema() -> dict[str, Any]:
    status = structural_schema(DoraDeploymentStatus)
    # Until the operator has reconciled an object, kstatus (Flux, kubectl wait) must not call it current.
    status["default"] = {"observedGeneration": -1}
    return {
        "type": "object",
        "description": "Change-failure and remediation state of one deployment in Datadog DORA Metrics: the desired "
        "state in spec, what Datadog accepted in status.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": API_VERSION},
            "kind": {"type": "string", "description": KIND},
            "metadata": {"type": "object"},
            "spec": structural_schema(DoraDeploymentSpec),
            "status": status,
        },
        "x-kubernetes-validations": [rule.to_schema() for rule in ROOT_RULES],
    }


def structural_schema(model: type[Any]) -> dict[str, Any]:
    """Return the model's schema as Kubernetes takes it: references resolved, no titles, no null."""
    document = adapter(model).json_schema(by_alias=True)
    return _structural(document, document.get("$defs", {}))


def _structural(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    schema = _without_null(_resolved(schema, definitions), definitions)
    result = {key: value for key, value in schema.items() if key not in {"title", "$defs"}}
    if result.get("default", result) is None:
        del result["default"]
    if "properties" in result:
        fields = result["properties"].items()
        result["properties"] = {name: _structural(field, definitions) for name, field in fields}
    if "items" in result:
        result["items"] = _structural(result["items"], definitions)
    if result.get("type") == "integer":
        result["format"] = "int64"
    if FIX in result:
        rule = Rule(f"self.matches(r'{result.pop('pattern')}')", result.pop(FIX))
        result["x-kubernetes-validations"] = [rule.to_schema()]
    return result


def _resolved(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference; the keys beside it (a field's description) win over those that it names (a class's)."""
    if "$ref" not in schema:
        return schema
    named: dict[str, Any] = definitions[schema["$ref"].rsplit("/", 1)[-1]]
    return named | {key: value for key, value in schema.items() if key != "$ref"}


def _without_null(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Absent fields are absent in Kubernetes; null is never one of our values."""
    if "anyOf" not in schema:
        return schema
    (kept,) = (choice for choice in schema["anyOf"] if choice.get("type") != "null")
    outer = {key: value for key, value in schema.items() if key != "anyOf"}
    return _resolved(kept, definitions) | outer


def _column(name: str, kind: str, path: str, priority: int) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "type": kind, "jsonPath": path}
    return column | ({"priority": priority} if priority else {})


def main(arguments: list[str]) -> int:
    """Write the CRD into a folder, or with --check say whether it is there and up to date."""
    check = "--check" in arguments
    path = Path(next(argument for argument in arguments if not argument.startswith("--"))) / FILE_NAME
    if not check:
        path.write_text(render(), encoding="utf-8")
        return 0
    if path.exists() and path.read_text(encoding="utf-8") == render():
        return 0
    sys.stderr.write(f"{path} differs from the models: run `make crd` and commit it\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
