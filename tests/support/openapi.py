"""Schemas for kubeconform, made from the OpenAPI document of a real API server: offline, and of exactly its version."""

import json
from pathlib import Path
from typing import Any

from sandbox.cluster import LocalCluster
from tests.support.shop import eventually

LOCATION = "{{ .Group }}-{{ .ResourceAPIVersion }}-{{ .ResourceKind }}.json"
"""Name of a schema's file, as a template of kubeconform."""


def write_schemas(cluster: LocalCluster, folder: Path) -> None:
    """Write a strict schema for each kind that the API server serves."""
    crds = json.loads(cluster.kubectl("get", "crd", "-o", "json"))["items"]
    versions = {f"apis/{crd['spec']['group']}/{one['name']}" for crd in crds for one in crd["spec"]["versions"]}

    def complete() -> set[str] | None:
        paths = set(json.loads(cluster.kubectl("get", "--raw", "/openapi/v3"))["paths"])
        return paths if versions <= paths else None

    for path in eventually(complete, lambda: f"the API server does not describe all of {versions}"):
        if path.startswith(("api/", "apis/")) and path.count("/") == (1 if path.startswith("api/") else 2):
            document = json.loads(cluster.kubectl("get", "--raw", f"/openapi/v3/{path}"))
            components = {"schemas": {name: strict(one) for name, one in document["components"]["schemas"].items()}}
            for name, one in components["schemas"].items():
                for kind in one.get("x-kubernetes-group-version-kind", ()):
                    group = kind["group"] or kind["version"]  # kubeconform's own name for the group of v1
                    file = folder / f"{group}-{kind['version']}-{kind['kind'].lower()}.json"
                    reference = {"$ref": f"#/components/schemas/{name}", "components": components}
                    file.write_text(json.dumps(reference), encoding="utf-8")


def strict(schema: Any) -> Any:
    """Return a schema that refuses unknown fields, in every object that lists its fields."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: strict(one) for name, one in schema.items()}
    closed = "properties" in found and not found.get("x-kubernetes-preserve-unknown-fields")
    return {"additionalProperties": False} | found if closed and isinstance(found["properties"], dict) else found
