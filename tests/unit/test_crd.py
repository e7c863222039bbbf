"""The CRD is made from the models; what the API server does with it is tested on the real one."""

from pathlib import Path
from typing import Any

import yaml

from dora_operator import crd

ROOT = Path(__file__).parents[2]
METADATA = {"apiVersion", "kind", "metadata"}
TYPES = [{"type": "string", "description": text} for text in ("dora-operator.io/v1alpha1", "DoraHistory")]


def schemas(node: Any) -> list[dict[str, Any]]:
    """Return every schema within a schema."""
    if not isinstance(node, dict):
        return []
    inner = [*node.get("properties", {}).values(), *([node["items"]] if "items" in node else [])]
    return [node, *(found for child in inner for found in schemas(child))]


def version() -> dict[str, Any]:
    """Return the only version of the CRD."""
    (only,) = crd.custom_resource_definition()["spec"]["versions"]
    return dict(only)


def checked() -> list[dict[str, Any]]:
    """Return every schema of a spec, a status and a history."""
    root = version()["schema"]["openAPIV3Schema"]["properties"]
    return [*schemas(root["spec"]), *schemas(root["status"]), *schemas(history()["schema"]["openAPIV3Schema"])]


def history() -> dict[str, Any]:
    """Return the only version of the CRD of histories."""
    (only,) = crd.history_definition()["spec"]["versions"]
    return dict(only)


def test_the_committed_files_are_up_to_date() -> None:
    """`make crd` would change nothing."""
    assert {file.name: file.read_text(encoding="utf-8") for file in (ROOT / "crds").iterdir()} == crd.files()


def test_the_kustomize_base_has_the_same() -> None:
    """Written with Helm's help, by `make config`; what it writes is compared whole where Helm is."""
    base = list(yaml.safe_load_all((ROOT / "config" / "crd.yaml").read_text(encoding="utf-8")))
    made = [yaml.safe_load(text) for text in crd.files().values()]
    assert [one["spec"] for one in base] == [one["spec"] for one in made], "run `make config` and commit config/"


def test_every_text_and_list_is_bounded() -> None:
    """No string without a limit, an enum or a format; no list without a limit."""
    for schema in checked():
        if schema.get("type") == "string" and schema not in TYPES:
            assert {"maxLength", "enum", "format"} & set(schema), schema
        if schema.get("type") == "array":
            assert "maxItems" in schema


def test_every_field_is_described() -> None:
    """`kubectl explain` has a sentence for each field, and each rule a message."""
    for schema in checked():
        for name, field in schema.get("properties", {}).items():
            assert name in METADATA or field.get("description", "").endswith((".", "?")), name
        for rule in schema.get("x-kubernetes-validations", []):
            assert rule["message"]


def test_a_rule_is_said_once() -> None:
    """The API server's own message for a pattern only repeats it: our fields have CEL rules that name the fix."""
    root = version()["schema"]["openAPIV3Schema"]["properties"]
    for schema in schemas(root["spec"]) + schemas(root["status"]):
        rules = [rule["rule"] for rule in schema.get("x-kubernetes-validations", [])]
        assert not (any("matches" in rule for rule in rules) and "pattern" in schema)
        assert "x-fix" not in schema
    assert not [schema for schema in schemas(root["spec"]) if "pattern" in schema]


def test_conditions_are_those_of_kubernetes() -> None:
    """The patterns of metav1.Condition; messages are shorter."""
    condition = version()["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["conditions"]["items"]
    assert condition["required"] == ["type", "status", "observedGeneration", "lastTransitionTime", "reason", "message"]
    assert condition["properties"]["type"]["pattern"].startswith("^([a-z0-9]([-a-z0-9]*[a-z0-9])?(")
    assert condition["properties"]["reason"]["pattern"] == "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"
    limits = {name: field["maxLength"] for name, field in condition["properties"].items() if "maxLength" in field}
    assert limits == {"type": 316, "reason": 1024, "message": 1024}


def test_defaults() -> None:
    """Only those that users see: the kind of a source, and a status that is current for no generation."""
    root = version()["schema"]["openAPIV3Schema"]["properties"]
    assert root["status"]["default"] == {"observedGeneration": -1}
    assert root["spec"]["properties"]["sourceRef"]["properties"]["kind"]["default"] == "Rollout"
    defaults = [schema["default"] for schema in schemas(root["spec"]) + schemas(root["status"]) if "default" in schema]
    assert defaults == ["Rollout", {"observedGeneration": -1}, "Rollout"]


def test_columns() -> None:
    """What `kubectl get dora` shows, and what -o wide adds."""
    columns = version()["additionalPrinterColumns"]
    shown = [column["name"] for column in columns if not column.get("priority")]
    wide = [column["name"] for column in columns if column.get("priority")]
    assert shown == ["Ready", "Reason", "Service", "Env", "Version", "Failure", "Verified", "Age"]
    assert wide == ["Id", "Remediation", "Source", "Accepted"]
    columns = history()["additionalPrinterColumns"]
    shown = [column["name"] for column in columns if not column.get("priority")]
    assert shown == ["Kind", "Workload", "Version", "Revisions", "Failed", "Last", "Age"]


def test_a_history_is_one_value() -> None:
    """It has no status of its own, and its lists have one owner each."""
    assert "subresources" not in history()
    fields = history()["schema"]["openAPIV3Schema"]["properties"]
    assert list(fields) == ["apiVersion", "kind", "metadata", "workload", "revisions", "versions", "versionsDropped"]
    assert [name for name, field in fields.items() if field.get("x-kubernetes-list-type") == "atomic"] == [
        "revisions",
        "versions",
    ]


def test_the_parts_of_a_status_have_one_owner_each() -> None:
    """A condition is written as a whole: without this the API server keeps an owner for every field of each."""
    fields = version()["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    parts = [field for field in fields.values() if field["type"] == "object"] + [fields["conditions"]["items"]]
    assert len(parts) > 4
    assert all(part["x-kubernetes-map-type"] == "atomic" for part in parts)


def test_a_stale_file_is_noticed(tmp_path: Path, capsys: Any) -> None:
    """--check fails for a file that differs or is not there, and says how to fix it."""
    assert crd.main([str(tmp_path)]) == 0
    assert crd.main(["--check", str(tmp_path)]) == 0
    deployments, histories = (tmp_path / name for name in crd.files())
    deployments.write_text("old")
    histories.unlink()
    assert crd.main(["--check", str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert message.count("make crd") == 2
    assert histories.name in message
