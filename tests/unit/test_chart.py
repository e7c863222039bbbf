"""The parts of the chart that are generated: each setting has a value, and nothing is out of date. No Helm needed."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import AliasChoices

from dora_operator import crd
from dora_operator.domain.selectors import SELECTOR
from dora_operator.settings import Settings
from tools.chart import __main__ as chart_files
from tools.chart.settings import CHART_DEFAULTS, camel, settings
from tools.chart.table import UndescribedError, table

CHART = chart_files.CHART
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
ELSEWHERE = {
    "site": "datadog.site",
    "api_key": "datadog.apiKey",
    "app_key": "datadog.appKey",
    "keys_dir": "datadog.existingSecret",
}
"""Values outside `settings`."""


def value(path: str) -> Any:
    """Return the default at a dotted path of values.yaml."""
    found: Any = VALUES
    for part in path.split("."):
        assert part in found, f"values.yaml has no {path}: run `make chart`"
        found = found[part]
    return found


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_has_a_value(field: str) -> None:
    """With the operator's own default, or one that the chart chooses for pods."""
    about = Settings.model_fields[field]
    name = camel(field)
    found = value(ELSEWHERE.get(field, f"settings.{name}"))
    if name in CHART_DEFAULTS:
        assert found == CHART_DEFAULTS[name]
        return
    default = about.default
    expected = "" if default is None else list(default) if isinstance(default, tuple) else default
    assert found == getattr(expected, "value", expected)


def test_every_value_is_a_setting() -> None:
    """Nothing stands below `settings` that no operator reads."""
    fields = {camel(name) for name, about in Settings.model_fields.items()}
    assert set(VALUES["settings"]) - fields == set()


def test_the_values_outside_settings_are_those_of_datadog() -> None:
    """A new variable without the prefix needs a place in the chart by hand."""
    aliased = {
        name for name, about in Settings.model_fields.items() if isinstance(about.validation_alias, AliasChoices)
    }
    assert aliased == set(ELSEWHERE)


def test_everything_generated_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """`make chart` would change nothing."""
    assert chart_files.main(["--check"]) == 0, capsys.readouterr().err


def test_the_crd_is_the_one_that_is_committed() -> None:
    """The chart, `crds/` and the models agree to the byte."""
    assert {file.name: file.read_text(encoding="utf-8") for file in (CHART / "files").iterdir()} == crd.files()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        pytest.param("files/dora-operator.io_dorahistories.yaml", "kind: DoraHistory", "kind: Other", id="another CRD"),
        pytest.param("values.yaml", '  logLevel: "INFO"', '  logLevel: "DEBUG"', id="another default of a setting"),
        pytest.param("values.yaml", "  dryRun: false\n", "", id="a setting that is missing"),
        pytest.param("values.schema.json", '"maximum": 256', '"maximum": 257', id="another limit"),
        pytest.param("README.md", "| `replicaCount` |", "| `replica` |", id="another table of values"),
    ],
)
def test_a_stale_file_is_noticed(
    file: str, old: str, new: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--check fails and names the file and the fix; writing puts it right."""
    chart = tmp_path / "dora-operator"
    shutil.copytree(CHART, chart)
    text = (chart / file).read_text(encoding="utf-8")
    assert old in text
    (chart / file).write_text(text.replace(old, new), encoding="utf-8")
    assert chart_files.main(["--check"], chart) == 1
    output = capsys.readouterr().err
    assert file in output
    assert "make chart" in output
    assert chart_files.main([], chart) == 0
    assert (chart / file).read_text(encoding="utf-8") == text


def test_a_value_without_a_description_is_named() -> None:
    """The README's table has no gaps."""
    with pytest.raises(UndescribedError, match=r"image\.tag has no description"):
        table("image:\n  # -- Where.\n  repository: x\n  # a note\n  tag: y\n")


def test_the_schema_knows_every_value_and_allows_no_other() -> None:
    """Each map of values.yaml whose keys the chart fixes is closed."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))

    def compare(values: dict[str, Any], found: dict[str, Any], path: str) -> None:
        assert found["additionalProperties"] is False, path
        assert set(values) <= set(found["properties"]), path
        for name, inner in values.items():
            if isinstance(inner, dict) and "properties" in found["properties"][name] and inner:
                compare(inner, found["properties"][name], f"{path}.{name}")

    compare(VALUES, schema, "values")


def test_versions_agree() -> None:
    """The chart installs the version of the operator that it stands beside."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    project = (CHART.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'(?m)^version = "(.+)"$', project)
    assert found is not None
    assert str(chart["appVersion"]) == found[1]


@pytest.mark.parametrize(
    ("selector", "is_accepted"),
    [
        *((selector, True) for selector in ("", " ", "a=b", "a==b", " a = b , c=d ", "a=", "x.y/z=1", "a", "!a")),
        *((selector, True) for selector in ("a!=b", "a in (b)", "a notin (b, c)")),
        *((selector, False) for selector in (",", "a=b,", "=b", "a=b c", "a=b=c", "a in b")),
    ],
)
def test_selectors(selector: str, *, is_accepted: bool) -> None:
    """Those that the API server accepts."""
    assert (re.search(SELECTOR, selector) is not None) is is_accepted


LEAST_AND_MOST = [
    (name, value)
    for name, (_, schema, _) in settings().items()
    for choice in schema.get("anyOf", [schema])
    for value in (*choice.get("enum", ()), choice.get("minimum"), choice.get("maximum"), choice.get("const"))
    if value is not None
]


@pytest.mark.parametrize(("name", "value"), LEAST_AND_MOST, ids=[f"{name}={value}" for name, value in LEAST_AND_MOST])
def test_the_operator_accepts_the_limits_of_the_schema(name: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each choice, and the least and the greatest number that the schema allows."""
    snake = re.sub("([A-Z])", lambda found: f"_{found[1].lower()}", name)
    monkeypatch.setenv(f"DORA_OPERATOR_{snake.upper()}", str(value))
    Settings()


def test_the_chart_says_where_it_comes_from() -> None:
    """What Helm and Artifact Hub show, in the form that Artifact Hub reads; every URL is below the project's home."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    home = chart["home"]
    assert chart["sources"] == [home]
    assert chart["icon"] == f"{home}/raw/main/docs/images/icon.svg"
    assert (CHART.parents[1] / "docs" / "images" / "icon.svg").exists()
    assert {one["url"] for one in chart["maintainers"]} == {home}
    notes = chart["annotations"]
    assert all(isinstance(text, str) and name.startswith("artifacthub.io/") for name, text in notes.items())
    for link in yaml.safe_load(notes["artifacthub.io/links"]):
        path = re.sub("^(tree|blob)/main/", "", link["url"].removeprefix(f"{home}/"))
        assert (CHART.parents[1] / path).exists(), path
    definitions = [yaml.safe_load(text) for text in crd.files().values()]
    assert {(kind["name"], kind["version"]) for kind in yaml.safe_load(notes["artifacthub.io/crds"])} == {
        (definition["metadata"]["name"], version["name"])
        for definition in definitions
        for version in definition["spec"]["versions"]
    }
    for example in yaml.safe_load(notes["artifacthub.io/crdsExamples"]):
        assert example["spec"]["dryRun"] is True
