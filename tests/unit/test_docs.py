"""The documentation says nothing that is not there: reasons, Events, settings, values, targets, files."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import AliasChoices

from dora_operator.domain.events import CLEARED, LINKED, MARKED, NOT_WRITTEN
from dora_operator.domain.history.verdicts import SkipReason
from dora_operator.domain.reasons import Reason
from dora_operator.settings import Settings
from tests.support.pages import PAGES, ROOT, VALUES_FILE, blocks, commands, text
from tools.reference import __main__ as reference

DOCS = ROOT / "docs"
COMMANDS = [pytest.param(command, id=f"{where}: {command[:60]}") for where, command in commands()]
VALUES: dict[str, Any] = yaml.safe_load((ROOT / "charts/dora-operator/values.yaml").read_text(encoding="utf-8"))
VARIABLES = {
    field.validation_alias.choices[0]
    if isinstance(field.validation_alias, AliasChoices)
    else f"DORA_OPERATOR_{name.upper()}"
    for name, field in Settings.model_fields.items()
}
TARGETS = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))
GUIDES = [*sorted((DOCS / "how-to").glob("*.md")), DOCS / "rollouts.md", *sorted((DOCS / "kubectl").glob("*.md"))]
EXAMPLES = yaml.safe_load((ROOT / "charts/dora-operator/Chart.yaml").read_text(encoding="utf-8"))["annotations"]
SAMPLES = [
    pytest.param(manifest, id=f"{where}: {manifest['metadata']['name']}")
    for where, documents in [
        *((block.where, block.objects()) for block in blocks("yaml") if block.title != VALUES_FILE),
        *(
            (str(path.relative_to(ROOT)), [*yaml.safe_load_all(path.read_text())])
            for path in (ROOT / "gitops").rglob("*.yaml")
        ),
        ("Chart.yaml", yaml.safe_load(EXAMPLES["artifacthub.io/crdsExamples"])),
    ]
    for manifest in documents
    if manifest.get("kind") == "DoraDeployment"
]
BESIDE = {"DORA_OPERATOR_CACHE"}
"""Variables that are not the operator's: of its sandbox."""


@pytest.mark.parametrize("reason", list(Reason))
def test_troubleshooting_knows_every_reason(reason: Reason) -> None:
    """Each reason has advice."""
    assert f"`{reason.value}`" in (DOCS / "troubleshooting.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("reason", list(SkipReason))
def test_troubleshooting_knows_every_warning_about_a_rollout(reason: SkipReason) -> None:
    """The Warning Events on Rollouts too."""
    assert f"`{reason.value}`" in (DOCS / "troubleshooting.md").read_text(encoding="utf-8")


def test_the_tests_of_faults_exist() -> None:
    """Each test that the page of faults names."""
    named = re.findall(r"`((?:chaos|cluster|flow|unit)/[\w/*]+\.py)`", (DOCS / "faults.md").read_text(encoding="utf-8"))
    assert len(named) > 20
    assert [name for name in named if not list((ROOT / "tests").glob(name))] == []


def test_the_reference_of_events_is_complete() -> None:
    """Each reason of an Event has a row, and each row is one."""
    page = (DOCS / "reference" / "events.md").read_text(encoding="utf-8")
    said = set(re.findall(r"(?m)^\| `(\w+)` \|", page))
    assert said == {MARKED, CLEARED, LINKED, NOT_WRITTEN, "OutdatedCRD"} | {reason.value for reason in SkipReason}


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: str(page.relative_to(DOCS)))
def test_a_guide_starts_with_when_it_is_needed(page: Path) -> None:
    """Its first paragraph."""
    first = page.read_text(encoding="utf-8").split("\n\n")[1]
    assert re.match(r"Use (this page|this command|these commands|the plugin) (when|before|after) ", first)


def test_the_generated_reference_is_up_to_date() -> None:
    """`make reference` would change nothing."""
    assert reference.main(["--check"]) == 0


@pytest.mark.parametrize(
    ("line", "passes"),
    [
        pytest.param("[quick start](quick-start.md#nowhere)", False, id="a link to a heading that is not there"),
        pytest.param("[nowhere](nowhere.md)", False, id="a link to a page that is not there"),
        pytest.param("[the quick start](quick-start.md)", True, id="a link to a page"),
    ],
)
def test_a_broken_link_fails_make_docs(tmp_path: Path, line: str, passes: object) -> None:
    """The target's own command, in a copy of the documentation with one more line."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    for name in ("mkdocs.yml", "Makefile"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("tools", "sandbox"):
        (tmp_path / name).symlink_to(ROOT / name)
    with (tmp_path / "docs/index.md").open("a", encoding="utf-8") as page:
        page.write(f"\n{line}\n")
    installed = ["--old-file", ".venv/.ready", f"BIN={Path(sys.executable).parent}"]
    built = subprocess.run(["make", "docs", *installed], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (built.returncode == 0) == passes, built.stdout + built.stderr


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        pytest.param("resource.md", "up to 10", "up to 11", id="another limit of the resource"),
        pytest.param("chart.md", "`replicaCount`", "`replica`", id="another value of the chart"),
    ],
)
def test_a_stale_reference_is_noticed(
    name: str, old: str, new: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--check fails and names the fix; writing corrects it."""
    path = tmp_path / name
    assert reference.main([], tmp_path) == 0
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    assert reference.main(["--check"], tmp_path) == 1
    assert re.search(f"{name} is out of date: run `make reference`", capsys.readouterr().err)
    assert reference.main([], tmp_path) == 0
    assert reference.main(["--check"], tmp_path) == 0


@pytest.mark.parametrize("manifest", SAMPLES)
def test_a_copied_sample_sends_nothing(manifest: dict[str, Any]) -> None:
    """It is held back, or follows a Rollout, or names a deployment that its reader has to fill in."""
    spec = manifest["spec"]
    states_something = "changeFailure" in spec or "remediation" in spec
    to_fill_in = any(str(value).startswith("YOUR-") for value in spec["deployment"].values())
    assert spec.get("dryRun") or to_fill_in or not states_something


def test_every_setting_that_is_named_exists() -> None:
    """Variables of the environment."""
    assert set(re.findall(r"DORA_OPERATOR_[A-Z_]*[A-Z]", text())) - VARIABLES - BESIDE == set()


NUMBER = r"([\d.]+)(?: seconds| workers| hours| days)?"
BESIDE_A_SETTING = re.compile(rf"{NUMBER} \(`DORA_OPERATOR_([A-Z_]+)`\)|`DORA_OPERATOR_([A-Z_]+)` \({NUMBER}\)")


def test_a_number_beside_a_setting_is_its_default() -> None:
    """As in `16 workers (DORA_OPERATOR_WORKERS)`: a default that was changed is changed in running text too."""
    said = [(name or other, float(before or after)) for before, name, other, after in BESIDE_A_SETTING.findall(text())]
    assert len(said) >= 2
    assert [(name, number) for name, number in said if Settings.model_fields[name.lower()].default != number] == []


PORTS = {"readyz": "settings.healthPort", "livez": "settings.healthPort", "metrics": "settings.metricsPort"}


def test_a_port_beside_a_path_is_the_charts() -> None:
    """Who forwards a port of an installed operator and asks a path there gets an answer."""
    asked = re.findall(r"localhost:(\d+)/(\w+)", text())
    assert asked
    assert [(port, path) for port, path in asked if int(port) != _value(PORTS[path])] == []
    forwarded = re.findall(r"port-forward \S+ (\d+)", text())
    assert {int(port) for port in forwarded} <= {_value(path) for path in PORTS.values()}


def test_every_value_of_the_chart_that_is_named_exists() -> None:
    """Dotted paths in code, as `settings.dryRun`."""
    heads = "|".join(name for name, value in VALUES.items() if isinstance(value, dict) and value)
    named = {
        found
        for page in PAGES
        for found in re.findall(rf"`((?:{heads})(?:\.\w+)+)(?:=[^`]*)?`", page.read_text(encoding="utf-8"))
    }
    assert len(named) > 10
    assert [path for path in sorted(named) if not path.endswith(".py") and not _is_value(path)] == []


def test_every_target_of_make_that_is_named_exists() -> None:
    """In running text, as `make demo`."""
    named = {target for page in PAGES for target in re.findall(r"`make ([a-z]+)`", page.read_text(encoding="utf-8"))}
    assert "demo" in named
    assert named <= TARGETS


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_command_names_is_there(command: str) -> None:
    """Targets of make, values that Helm sets, files of the repository."""
    words = shlex.split(command)
    if words[:1] == ["make"]:
        assert {word for word in words[1:] if "=" not in word} <= TARGETS
    for before, word in pairwise(words):
        if before == "--set":
            assert _is_value(word.split("=")[0]), word
        if re.match(r"(charts|crds|gitops|config|docs|sandbox|bench)(/|$)", word):
            assert (ROOT / word).exists(), word


def test_a_newcomer_finds_the_files_that_contributing_names() -> None:
    """Each path in the table, below the operator's package or the repository."""
    table = _section("Where a change belongs")
    paths = re.findall(r"`([\w./-]+(?:\.\w+|/))`", table)
    assert len(paths) > 60
    roots = (ROOT, ROOT / "operator/dora_operator")
    assert [path for path in paths if not any((root / path).exists() for root in roots)] == []


def test_contributing_names_the_layers_that_are_checked() -> None:
    """In the order of import-linter's contract."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = document["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    rows = re.findall(r"(?m)^\| (`.*?) \|", _section("Layers"))
    assert [sorted(re.findall(r"\w+", row)) for row in rows] == [sorted(re.findall(r"\w+", layer)) for layer in layers]


@pytest.mark.parametrize("group", ["dependencies", "dev"])
def test_contributing_says_why_each_package_is_there(group: str) -> None:
    """What a user installs, and what a developer needs besides."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    required = document["dependency-groups"]["dev"] if group == "dev" else document["project"]["dependencies"]
    names = {re.split(r"[^\w-]", each)[0] for each in required}
    rows = " ".join(re.findall(r"(?m)^\| (.*?) \|", _section("Packages, and why each one")))
    assert names - set(re.findall(r"[\w-]+", rows)) == set()


def _section(heading: str) -> str:
    """Return a section of CONTRIBUTING."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def _value(path: str) -> Any:
    found: Any = VALUES
    for part in path.split("."):
        found = found[part]
    return found


def _is_value(path: str) -> bool:
    found: Any = VALUES
    for part in path.split("."):
        if not isinstance(found, dict) or (found and part not in found):
            return False
        found = found.get(part, {})
    return True
