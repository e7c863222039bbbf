"""The commands of `kubectl dora` about a Rollout that a recorded trace left, against an API server with set answers."""

import csv
import io
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dora_operator.domain.history.history import manifest as history_manifest
from dora_operator.domain.records import record_manifest
from tests.support import small_cluster
from tests.support.small_cluster import DEPLOYMENTS, NAMESPACE, Answer, SmallCluster, Terminal, listed, refused
from tests.unit.history.test_traces import replay, trace
from tests.unit.kubectl.levels import facts_of, levels_of
from tests.unit.kubectl.test_backfill import verdict_of

LEVELS = levels_of("canary-manual-abort")
VERDICT = verdict_of(facts_of(LEVELS))
NAME, PLACE = LEVELS.rollout["metadata"]["name"], LEVELS.rollout["metadata"]["namespace"]
ROLLOUTS = f"/apis/argoproj.io/v1alpha1/namespaces/{PLACE}/rollouts"
DORA = f"/apis/dora-operator.io/v1alpha1/namespaces/{PLACE}/doradeployments"
HISTORIES = f"/apis/dora-operator.io/v1alpha1/namespaces/{PLACE}/dorahistories"
REPLICA_SETS = f"/apis/apps/v1/namespaces/{PLACE}/replicasets"
DATADOG = "/api/v2/dora/deployments"
FLAGS = ("--since", "3000d", "--local", "-n", PLACE)


def datadog_row(number: int, *, marked: bool = False, version: str | None = None) -> dict[str, Any]:
    """Return a deployment of the time of the failure as Datadog returns it."""
    assert VERDICT.started_time is not None
    began = VERDICT.started_time
    tags = {"service": VERDICT.service, "env": VERDICT.env, "version": version or VERDICT.version}
    times = {
        "started_at": f"{began:%Y-%m-%dT%H:%M:%SZ}",
        "finished_at": f"{began + timedelta(0, 60):%Y-%m-%dT%H:%M:%SZ}",
    }
    return {"id": f"deployment-{number}", "attributes": {**tags, **times, "change_failure": marked}}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallCluster]:
    """Return an API server with the Rollout of a trace, which answers as Datadog, too: revision 2 was aborted."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with small_cluster.serving(tmp_path) as serving:
        environment = {"DORA_OPERATOR_DATADOG_URL": serving.url, "DD_API_KEY": "a", "DD_APP_KEY": "b"}
        for name, value in (environment | {"KUBECONFIG": str(serving.kubeconfig)}).items():
            monkeypatch.setenv(name, value)
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE, "uid": "n"}}
        rollout = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", **LEVELS.rollout}
        serving.answers |= {
            NAMESPACE.replace("shop", PLACE): Answer(namespace),
            DEPLOYMENTS: listed(),
            ROLLOUTS: listed(LEVELS.rollout),
            f"{ROLLOUTS}/{NAME}": Answer(rollout),
            REPLICA_SETS: listed(*LEVELS.replica_sets.values()),
            DORA: listed(),
            HISTORIES: listed(),
            DATADOG: Answer({"data": [datadog_row(1)]}),
        }
        yield serving


@pytest.fixture
def dora(capsys: pytest.CaptureFixture[str]) -> Terminal:
    """Return what runs a command."""
    return Terminal(capsys)


def stored(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a record as the API server has stored it."""
    metadata = {"uid": "r", "resourceVersion": "1", "generation": 1, "creationTimestamp": "2026-11-23T03:00:00Z"}
    return manifest | {"metadata": manifest["metadata"] | metadata}


def with_history(cluster: SmallCluster) -> None:
    """Add the DoraHistory that an operator has written."""
    history = replay(trace("canary-manual-abort")).history
    assert history is not None
    body = history_manifest(PLACE, history, "argoproj.io/v1alpha1")
    cluster.answers[HISTORIES] = listed(body | {"metadata": body["metadata"] | {"uid": "h"}})


def test_what_was_missed_is_found_and_marked_by_the_id_of_its_row(cluster: SmallCluster, dora: Terminal) -> None:
    """A second run finds it recorded."""
    shown = dora("backfill", *FLAGS)
    assert "1 new. Nothing was written." in shown.out, shown.out + shown.err
    assert "deployment-1" in shown.out
    cluster.otherwise = Answer({"apiVersion": "a", "kind": "b", "metadata": {"name": "c", "uid": "d"}})
    answer = Answer({"apiVersion": "a", "kind": "b", "metadata": {"name": "c", "uid": "d"}}, 201)
    cluster.answers[f"POST {DORA}"] = answer
    assert "1 DoraDeployments were created, 0 could not be." in dora("backfill", *FLAGS, "--apply").out
    method, path, _, manifest = cluster.requests[-1]
    assert (method, path) == ("POST", f"{DORA}?fieldManager=kubectl-dora&fieldValidation=Strict")
    assert manifest["spec"] == {"deployment": {"id": "deployment-1"}, "changeFailure": True}
    cluster.answers[DORA] = listed(stored(manifest))
    again = dora("backfill", *FLAGS, "--apply")
    assert "0 DoraDeployments were created" in again.out


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        pytest.param([], "1 uncertain", id="no row"),
        pytest.param([datadog_row(1), datadog_row(2)], "deployment-1, deployment-2", id="several rows"),
    ],
)
def test_nothing_is_applied_where_the_row_is_not_certain(
    cluster: SmallCluster, dora: Terminal, rows: list[dict[str, Any]], words: str
) -> None:
    """The candidates are named."""
    cluster.answers[DATADOG] = Answer({"data": rows})
    assert words in dora("backfill", *FLAGS).out
    assert "0 DoraDeployments were created" in dora("backfill", *FLAGS, "--apply").out
    assert [path for method, path, _, _ in cluster.requests if method == "POST" and path.startswith(DORA)] == []


def test_without_datadog_nothing_is_certain(cluster: SmallCluster, dora: Terminal) -> None:
    """Without a pod, or without the permission to read."""
    ran = dora("backfill", "--since", "3000d", "-n", PLACE)
    assert "1 uncertain. Nothing was written." in ran.out
    assert "Datadog was not read: no pod of the operator was found; --local reads here" in ran.err
    cluster.answers[DATADOG] = refused(403, "Forbidden")
    ran = dora("backfill", *FLAGS)
    assert ("1 uncertain" in ran.out, "dora_metrics_read" in ran.err) == (True, True)


def test_a_revision_is_explained_by_its_history_and_its_record(cluster: SmallCluster, dora: Terminal) -> None:
    """From the failure to the request."""
    with_history(cluster)
    manifest = record_manifest(PLACE, VERDICT)
    cluster.answers[DORA] = listed(stored(manifest))
    out = dora("explain", "rollout", NAME, "--revision", "2", "-n", PLACE).out
    assert "Decision      Aborted: change failure" in out
    assert "cause Abort at " in out
    assert f"DoraDeployment {PLACE}/{manifest['metadata']['name']} (made by the operator)" in out
    assert "PATCH /api/v2/dora/deployments" in out


def test_the_report_compares_the_histories_with_datadog(cluster: SmallCluster, dora: Terminal) -> None:
    """As CSV, in words, and without Datadog."""
    with_history(cluster)
    cluster.answers[DATADOG] = Answer({"data": [datadog_row(1, marked=True), datadog_row(3, version="9.9.9")]})
    lines = list(csv.DictReader(io.StringIO(dora("report", *FLAGS, "-o", "csv").out)))
    classes = {line["version"]: line["category"] for line in lines}
    assert classes[str(VERDICT.version)] == "agrees"
    assert classes["9.9.9"] == "row without revision"
    assert sorted(classes.values()) == ["agrees", "missing row", "row without revision"]
    shown = dora("report", *FLAGS)
    assert (
        "Coverage: 1 workloads with a history, 1 identifiable, 1 with deployments in Datadog; 1 failures" in shown.out
    )
    assert "agree: -o wide shows them" in shown.out
    unread = dora("report", "--since", "3000d", "-n", PLACE)
    assert (unread.code, "Datadog was not read" in unread.err) == (0, True)
    assert "- with deployments in Datadog" in unread.out


def test_a_resource_that_cannot_be_written_is_counted(cluster: SmallCluster, dora: Terminal) -> None:
    """With the cause, and exit code 1."""
    cluster.answers[f"POST {DORA}"] = refused(409, "already exists")
    ran = dora("backfill", *FLAGS, "--apply")
    assert ran.code == 1
    assert "is not written: one with its name exists" in ran.err
    assert "0 DoraDeployments were created, 1 could not be." in ran.out


def test_rows_are_read_in_the_pod_of_the_operator(
    cluster: SmallCluster, dora: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `kubectl exec`, with what is asked for on standard input."""
    operator = {
        "metadata": {"name": "operator", "namespace": "dora", "uid": "o"},
        "spec": {"template": {"spec": {"containers": [{"name": "operator", "image": "dora:1"}]}}},
    }
    cluster.answers[DEPLOYMENTS] = listed(operator)
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/words\nexec {sys.executable} -m kubectl_dora rows\n')
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert "1 new. Nothing was written." in dora("backfill", "--since", "3000d", "-n", PLACE).out
    assert "-i -n dora deploy/operator -c operator -- kubectl-dora rows" in (tmp_path / "words").read_text()


def test_a_revision_is_marked_by_its_tags(cluster: SmallCluster, dora: Terminal) -> None:
    """The newest one by default; one that is gone is not found."""
    created = {
        "apiVersion": "dora-operator.io/v1alpha1",
        "kind": "DoraDeployment",
        "metadata": {"name": "x", "uid": "x"},
    }
    cluster.answers[f"POST {DORA}"] = Answer(created, 201)
    assert dora("mark", "rollout", NAME, "-n", PLACE).code == 0
    newest = cluster.requests[-1][3]["spec"]["deployment"]
    assert dora("clear", f"rollout/{NAME}", "--revision", "1", "-n", PLACE).code == 0
    first = cluster.requests[-1][3]["spec"]
    assert (first["deployment"]["service"], first["changeFailure"]) == (newest["service"], False)
    assert first["deployment"]["version"] != newest["version"]
    gone = dora("mark", f"rollout/{NAME}", "--revision", "9", "-n", PLACE)
    assert gone.code == 3
    assert "give --revision with one of 1, 2" in gone.err


def test_a_write_that_is_refused_is_said(cluster: SmallCluster, dora: Terminal) -> None:
    """A write that the API server refuses has its words."""
    cluster.answers[f"POST {DORA}"] = refused(422, "spec.deployment: Invalid value")
    ran = dora("mark", f"rollout/{NAME}", "-n", PLACE)
    assert (ran.code, ran.out) == (4, "")
    assert "spec.deployment: Invalid value" in ran.err
    assert "fix: correct what the message names" in ran.err
