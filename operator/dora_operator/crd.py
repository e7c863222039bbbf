"""The CustomResourceDefinitions, made from the pydantic models. `python -m dora_operator.crd [--check] FOLDER`.

Writes `crds/`, or checks that it is up to date. Fields, limits and rules come from `domain`.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from dora_operator.domain.fields import API_VERSION, FIX, GROUP, KIND, PLURAL, VERSION, Rule, adapter
from dora_operator.domain.history import history
from dora_operator.domain.resource import DoraDeploymentStatus
from dora_operator.domain.spec import ROOT_RULES, DoraDeploymentSpec

HEADER = "# Made from the models in operator/dora_operator/domain by `make crd`. Do not edit.\n"
READY = '.status.conditions[?(@.type=="Ready")]'
LAST = ".revisions[-1]"
Columns = tuple[tuple[str, str, str, int], ...]
"""Printer columns: name, type, JSON path, priority (1 shows with `-o wide` only)."""
COLUMNS: Columns = (
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
HISTORY_COLUMNS: Columns = (
    ("Kind", "string", ".workload.kind", 0),
    ("Workload", "string", ".workload.name", 0),
    ("Version", "string", f"{LAST}.version", 0),
    ("Revisions", "integer", f"{LAST}.number", 0),
    ("Failed", "string", f"{LAST}.failure.verdict", 0),
    ("Last", "string", f"{LAST}.state", 0),
    ("Service", "string", f"{LAST}.service", 1),
    ("Env", "string", f"{LAST}.env", 1),
    ("Id", "string", f"{LAST}.datadog.id", 1),
    ("Age", "date", ".metadata.creationTimestamp", 0),
)
"""Of the newest revision. A JSON path cannot count, so Revisions is that revision's number."""


def custom_resource_definition() -> dict[str, Any]:
    """Return the manifest of the CRD of DoraDeployments."""
    version = {
        "schema": {"openAPIV3Schema": _root_schema()},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(*column) for column in COLUMNS],
    }
    return _definition(KIND, PLURAL, "dora", version)


def history_definition() -> dict[str, Any]:
    """Return the manifest of the CRD of DoraHistories."""
    version = {
        "schema": {"openAPIV3Schema": _history_schema()},
        "additionalPrinterColumns": [_column(*column) for column in HISTORY_COLUMNS],
    }
    return _definition(history.KIND, history.PLURAL, "dorahist", version)


def files() -> dict[str, str]:
    """Return the text of each file of `crds/` by its name."""
    manifests = {PLURAL: custom_resource_definition(), history.PLURAL: history_definition()}
    return {f"{GROUP}_{plural}.yaml": HEADER + _yaml(manifest) for plural, manifest in manifests.items()}


def _yaml(manifest: dict[str, Any]) -> str:
    plain = json.loads(json.dumps(manifest))  # no shared lists, so no YAML anchors
    return yaml.safe_dump(plain, sort_keys=False, width=120, allow_unicode=True)


def _definition(kind: str, plural: str, short_name: str, version: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short_name],
                "categories": ["datadog"],
            },
            "versions": [{"name": VERSION, "served": True, "storage": True, **version}],
        },
    }


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
            **_type_and_metadata(KIND),
            "spec": structural_schema(DoraDeploymentSpec),
            "status": status,
        },
        "x-kubernetes-validations": [rule.to_schema() for rule in ROOT_RULES],
    }


def _history_schema() -> dict[str, Any]:
    schema = structural_schema(history.History)
    return schema | {
        "description": "Revisions of one workload, how each ended, and which deployment in Datadog each one is. "
        "Written by the operator alone.",
        "properties": _type_and_metadata(history.KIND) | schema["properties"],
    }


def _type_and_metadata(kind: str) -> dict[str, Any]:
    return {
        "apiVersion": {"type": "string", "description": API_VERSION},
        "kind": {"type": "string", "description": kind},
        "metadata": {"type": "object"},
    }


def structural_schema(model: type[Any]) -> dict[str, Any]:
    """Return the model's schema as Kubernetes takes it: references resolved, no titles, no null."""
    document = adapter(model).json_schema(by_alias=True)
    return _structural(document, document.get("$defs", {}))


def _structural(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    schema = _without_null(_resolved(schema, definitions), definitions)
    result = {key: value for key, value in schema.items() if key not in {"title", "$defs"}}
    if not result.get("default", result):
        del result["default"]  # an absent field means the same
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
    """Write the CRDs into a folder, or with --check say which one is not there or out of date."""
    folder = Path(next(argument for argument in arguments if not argument.startswith("--")))
    stale = {
        folder / name: text
        for name, text in files().items()
        if not (folder / name).exists() or (folder / name).read_text(encoding="utf-8") != text
    }
    if "--check" not in arguments:
        for path, text in stale.items():
            path.write_text(text, encoding="utf-8")
        return 0
    for path in stale:
        sys.stderr.write(f"{path} differs from the models: run `make crd` and commit it\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
