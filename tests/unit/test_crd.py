"""The CRD is what the models say; what the API server does with it is tested on the real one."""

from pathlib import Path
from typing import Any

import yaml

from dora_operator import crd

ROOT = Path(__file__).parents[2]


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


def test_the_committed_file_is_up_to_date() -> None:
    """`make crd` would change nothing."""
    assert (ROOT / "crds" / crd.FILE_NAME).read_text(encoding="utf-8") == crd.render()


def test_the_kustomize_base_has_the_same() -> None:
    """Written with Helm's help, by `make config`; what it writes is compared whole where Helm is."""
    base = yaml.safe_load((ROOT / "config" / "crd.yaml").read_text(encoding="utf-8"))
    assert base["spec"] == yaml.safe_load(crd.render())["spec"], "run `make config` and commit config/"


def test_every_text_and_list_is_bounded() -> None:
    """No string without a limit, an enum or a format; no list without a limit."""
    root = version()["schema"]["openAPIV3Schema"]["properties"]
    for schema in schemas(root["spec"]) + schemas(root["status"]):
        if schema.get("type") == "string":
            assert {"maxLength", "enum", "format"} & set(schema), schema
        if schema.get("type") == "array":
            assert "maxItems" in schema


def test_every_field_is_described() -> None:
    """`kubectl explain` has a sentence for each field, and each rule a message."""
    root = version()["schema"]["openAPIV3Schema"]["properties"]
    for schema in schemas(root["spec"]) + schemas(root["status"]):
        for name, field in schema.get("properties", {}).items():
            assert field.get("description", "").endswith((".", "?")), name
        for rule in schema.get("x-kubernetes-validations", []):
            assert rule["message"]


def test_the_parts_of_a_status_have_one_owner_each() -> None:
    """A condition is written as a whole: without this the API server keeps an owner for every field of each."""
    fields = version()["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    parts = [field for field in fields.values() if field["type"] == "object"] + [fields["conditions"]["items"]]
    assert len(parts) > 4
    assert all(part["x-kubernetes-map-type"] == "atomic" for part in parts)


def test_a_stale_file_is_noticed(tmp_path: Path, capsys: Any) -> None:
    """--check fails for a file that differs, and says the mend."""
    assert crd.main([str(tmp_path)]) == 0
    assert crd.main(["--check", str(tmp_path)]) == 0
    (tmp_path / crd.FILE_NAME).write_text("old")
    assert crd.main(["--check", str(tmp_path)]) == 1
    assert "make crd" in capsys.readouterr().err
