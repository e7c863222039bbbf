"""Reference, alerts and dashboard say only what the registry has: names, labels, expressions, anchors."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dora_operator.domain.history.history import VerdictKind
from dora_operator.domain.reasons import Reason
from dora_operator.metrics import CODE_LABELS, KINDS, RESULTS, WATCHED, Call
from tests.support.exercise import ADDED_BY_SCRAPES, Described, catalogue
from tests.support.promql import named_labels, selectors

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "dora-operator"
PAGE = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
GROUPS = yaml.safe_load((CHART / "rules" / "dora-operator.yaml").read_text(encoding="utf-8"))["groups"]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
DASHBOARD: dict[str, Any] = json.loads((CHART / "dashboards" / "dora-operator.json").read_text(encoding="utf-8"))
HOME = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["home"]
CATALOGUE = catalogue()
SERIES = {series: found for found in CATALOGUE.values() for series in found.series}
EVERY_RULE = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])


def test_every_metric_is_explained() -> None:
    """Each metric has a row with its type, its labels and its help text, and each row is a metric."""
    assert dict(explained()) == {
        name: (found.kind, found.labels, found.meaning)
        for name, found in CATALOGUE.items()
        if not name.startswith("dora_operator_process_")
    }


def explained() -> Iterator[tuple[str, tuple[str, frozenset[str], str]]]:
    """Read the table of metrics."""
    for line in PAGE.splitlines():
        row = re.fullmatch(r"\| `(dora_operator_\w+)` \| (\w+) \| (.*) \| (.*) \|", line)
        if row is not None:
            name, kind, labels, meaning = row.groups()
            yield name, (kind, frozenset(re.findall(r"`(\w+)`", labels)), meaning)


WORDS = {
    "call": {call.value for call in Call},
    "result": set(RESULTS),
    "kind": {*KINDS, *(kind.value for kind in VerdictKind)},
    "resource": set(WATCHED),
    "origin": {"resource", "rollout"},
    "state": {"due", "delayed", "waiting", "working"},
}
"""The values of labels whose values are fixed."""


def test_every_label_and_its_words_are_explained() -> None:
    """The second table has every label, and the words of those whose values are fixed."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    said: dict[str, set[str]] = {}
    for line in rows:
        for label in re.findall(r"`(\w+)`", line.split("|")[1]):
            said.setdefault(label, set()).update(re.findall(r"`(\w+)`", line))
    assert {label for found in CATALOGUE.values() for label in found.labels} <= said.keys()
    for label, words in WORDS.items():
        assert words <= said[label], label


def test_all_names_begin_alike() -> None:
    """One prefix, and units at the end as Prometheus wants them."""
    assert all(name.startswith("dora_operator_") for name in CATALOGUE)
    assert all(name.endswith("_total") == (found.kind == "counter") for name, found in CATALOGUE.items())


def existing(expression: str) -> list[Described]:
    """Check every name of an expression, and return the metrics that it reads."""
    found = []
    for selector in selectors(expression):
        assert selector.name in SERIES, f"{selector.name} does not exist"
        metric = SERIES[selector.name]
        named = {matcher.name for matcher in selector.matchers.matchers}
        assert named <= metric.labels | ADDED_BY_SCRAPES, f"{selector.name} has no label of {named}"
        found.append(metric)
    labels = {label for metric in found for label in metric.labels}
    assert named_labels(expression) <= labels | ADDED_BY_SCRAPES | {"le"}, expression
    return found


@EVERY_RULE
def test_an_alert_reads_what_exists(rule: dict[str, Any]) -> None:
    """Its expression parses, and every metric and label in it exists; its texts use labels that it has."""
    metrics = existing(rule["expr"])
    labels = {label for metric in metrics for label in metric.labels}
    texts = " ".join(rule["annotations"].values())
    assert set(re.findall(r"\$labels\.(\w+)", texts)) <= labels


@EVERY_RULE
def test_an_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    """Summary, description, severity, and a section of the runbook that exists."""
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert {"summary", "description", "runbook_url"} == rule["annotations"].keys()
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    path = page.removeprefix(f"{HOME}/blob/main/")
    headings = re.findall(r"^## (.+)$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    assert rule["alert"] in headings
    assert anchor == rule["alert"].lower()


def test_alerts_and_runbook_are_the_same_set() -> None:
    """No section without its alert, and no alert twice."""
    headings = re.findall(r"^## (.+)$", (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings == [rule["alert"] for rule in RULES]


@EVERY_RULE
def test_promtool_sees_an_alert_fire(rule: dict[str, Any]) -> None:
    """The sample series for promtool, which `make compat` runs, have a case for each alert."""
    assert f'alertname="{rule["alert"]}"' in (ROOT / "tests" / "alerts" / "dora-operator.yaml").read_text(
        encoding="utf-8"
    )


@EVERY_RULE
def test_reasons_in_an_alert_are_reasons(rule: dict[str, Any]) -> None:
    """A reason that is misspelt would make an alert that never fires."""
    for selector in selectors(rule["expr"]):
        for matcher in selector.matchers.matchers:
            if matcher.name == "reason":
                assert set(matcher.value.split("|")) <= {reason.value for reason in Reason}


def panels() -> list[dict[str, Any]]:
    """Return every panel, those in rows too."""
    return [one for panel in DASHBOARD["panels"] for one in (panel, *panel.get("panels", []))]


def test_the_dashboard_is_what_grafana_needs() -> None:
    """A title, a uid, a schema version, a data source to choose, and panels with unique ids in a grid of 24 columns."""
    assert DASHBOARD["title"]
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", DASHBOARD["uid"])
    assert DASHBOARD["schemaVersion"] >= 39
    assert DASHBOARD["id"] is None
    (source,) = [one for one in DASHBOARD["templating"]["list"] if one["type"] == "datasource"]
    assert (source["name"], source["query"]) == ("datasource", "prometheus")
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))
    for panel in panels():
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert panel["description"]
            assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_no_two_panels_overlap() -> None:
    """Each cell of the grid belongs to one panel."""
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        own = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not own & cells, panel["title"]
        cells |= own


@pytest.mark.parametrize("panel", [one for one in panels() if one["type"] != "row"], ids=lambda panel: panel["title"])
def test_a_panel_reads_what_exists(panel: dict[str, Any]) -> None:
    """Each target parses, reads metrics that exist, and its legend names labels that they have."""
    for target in panel["targets"]:
        metrics = existing(target["expr"].replace("$__rate_interval", "5m"))
        labels = {label for metric in metrics for label in metric.labels} | ADDED_BY_SCRAPES
        assert set(re.findall(r"\{\{\s*(\w+)\s*\}\}", target["legendFormat"])) <= labels


def test_every_metric_is_in_an_alert_or_on_the_dashboard() -> None:
    """What no alert and no panel reads need not be measured."""
    expressions = [rule["expr"] for rule in RULES]
    expressions += [
        target["expr"].replace("$__rate_interval", "5m") for panel in panels() for target in panel.get("targets", [])
    ]
    read = {selector.name for expression in expressions for selector in selectors(expression)}
    unread = {name for name, found in CATALOGUE.items() if not found.series & read}
    assert {name for name in unread if "_process_" not in name} == set()


@pytest.mark.parametrize(
    ("code", "label"),
    [(202, "202"), (429, "429"), (None, "none"), (599, "5xx"), (499, "4xx")],
    ids=["202", "429", "no answer", "599", "499"],
)
def test_codes_are_a_bounded_label(code: int | None, label: str) -> None:
    """A proxy's own codes cannot make ever more series."""
    assert CODE_LABELS[code] == label
