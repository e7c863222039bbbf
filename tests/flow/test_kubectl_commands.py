"""The commands of `kubectl dora` against an API server with set answers: what they print, and with which exit code."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubectl_dora import explain_view
from kubectl_dora.errors import ExitCode
from tests.support import small_cluster
from tests.support.small_cluster import (
    DEPLOYMENTS,
    DORA,
    HISTORIES,
    NAMESPACE,
    REPLICA_SETS,
    ROLLOUTS,
    Answer,
    SmallCluster,
    Terminal,
    condition,
    dora_deployment,
    forbidden,
    listed,
    refused,
)

TAGS = ("--service", "checkout", "--env", "prod", "--version", "1.5.0")
LOGIN_PAGE = Answer("<html><body>Please log in</body></html>")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallCluster]:
    """Return an API server that has a Namespace, the CRD and no operator."""
    for name in ("KUBERNETES_SERVICE_HOST", "DD_API_KEY", "DD_APP_KEY"):
        monkeypatch.delenv(name, raising=False)
    with small_cluster.serving(tmp_path) as serving:
        monkeypatch.setenv("KUBECONFIG", str(serving.kubeconfig))
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "uid": "shop"}}
        serving.answers |= {NAMESPACE: Answer(namespace), DORA: listed(), DEPLOYMENTS: listed()}
        serving.answers |= {ROLLOUTS: listed(), REPLICA_SETS: listed(), HISTORIES: listed()}
        yield serving


@pytest.fixture
def dora(capsys: pytest.CaptureFixture[str]) -> Terminal:
    """Return what runs a command."""
    return Terminal(capsys)


READING = [
    pytest.param(("explain", "a"), id="explain"),
    pytest.param(("explain", "rollout/a"), id="explain a Rollout"),
    pytest.param(("report",), id="report"),
    pytest.param(("backfill",), id="backfill"),
    pytest.param(("version",), id="version"),
    pytest.param(("doctor",), id="doctor"),
    pytest.param(("doctor", "--local"), id="doctor --local"),
]
MARKING = [pytest.param(("mark", *TAGS), id="mark"), pytest.param(("clear", "rollout/a"), id="clear a Rollout")]
NO_OBJECTS = [
    pytest.param(LOGIN_PAGE, id="a login page"),
    pytest.param(Answer({"status": "ok"}), id="JSON of another program"),
    pytest.param(Answer({"kind": "List", "metadata": {}, "items": ["a"]}), id="a list of texts"),
    pytest.param(Answer("[]"), id="an array"),
    pytest.param(Answer(""), id="nothing"),
]


@pytest.mark.parametrize("words", READING + MARKING)
@pytest.mark.parametrize("answer", NO_OBJECTS)
def test_an_answer_that_is_no_object_is_refused(
    cluster: SmallCluster, dora: Terminal, answer: Answer, words: tuple[str, ...]
) -> None:
    """No command takes it for a result, whatever the status says."""
    cluster.answers.clear()
    cluster.otherwise = answer
    ran = dora(*words)
    assert ran.code == ExitCode.CLUSTER
    assert "the answer is no object of Kubernetes" in ran.err
    assert ran.out == ""


def test_a_mark_is_created_only_if_the_answer_is_the_object(cluster: SmallCluster, dora: Terminal) -> None:
    """A proxy that answers the write with a page is no success."""
    cluster.answers[f"POST {DORA}"] = LOGIN_PAGE
    ran = dora("mark", *TAGS)
    assert (ran.code, ran.out) == (ExitCode.CLUSTER, "")
    cluster.answers[f"POST {DORA}"] = Answer(dora_deployment("checkout-prod-1.5.0"), 201)
    ran = dora("mark", *TAGS)
    assert (ran.code, ran.out) == (0, "doradeployment.dora-operator.io/checkout-prod-1.5.0 created\n")


@pytest.mark.parametrize("words", [each for each in READING if "doctor" not in str(each.id)])
def test_a_broken_api_server_is_an_error_with_its_words(
    cluster: SmallCluster, dora: Terminal, words: tuple[str, ...]
) -> None:
    """As the API server says it."""
    cluster.answers.clear()
    cluster.otherwise = refused(500, "etcdserver: request timed out")
    ran = dora(*words)
    assert ran.code == ExitCode.CLUSTER
    assert "etcdserver: request timed out" in ran.err


def test_a_missing_permission_is_no_absence(cluster: SmallCluster, dora: Terminal) -> None:
    """Neither of the operator, nor of what else could not be read."""
    cluster.answers[DEPLOYMENTS] = forbidden("deployments")
    cluster.answers["/apis/apps/v1/namespaces/shop/deployments"] = forbidden("deployments")
    for words in (("version",), ("doctor",)):
        ran = dora(*words)
        assert "this login may not list Deployments: deployments is forbidden" in ran.out
        assert "none found" not in ran.out
    for path, words in ((DORA, ("backfill",)), (HISTORIES, ("report",))):
        cluster.answers[path] = forbidden(path)
        ran = dora(*words)
        assert ran.code == ExitCode.CLUSTER
        assert f"{path} is forbidden" in ran.err


@pytest.mark.parametrize("words", [("explain", "a"), ("backfill",), ("report",), ("backfill", "-A")])
def test_commands_do_without_the_permission_to_read_namespaces(
    cluster: SmallCluster, dora: Terminal, words: tuple[str, ...]
) -> None:
    """They say so where it changes what they print."""
    cluster.answers |= {NAMESPACE: forbidden("namespaces"), "/api/v1/namespaces": forbidden("namespaces")}
    cluster.answers |= {
        path.replace("/namespaces/shop", ""): listed() for path in (DORA, ROLLOUTS, REPLICA_SETS, HISTORIES)
    }
    cluster.answers[DORA] = listed(dora_deployment("a"))
    ran = dora(*words)
    assert ran.code == 0, ran.err
    assert ("are not known, none are assumed: namespaces is forbidden" in ran.out + ran.err) or words == ("report",)


def test_what_cannot_be_reached_is_said_in_words(cluster: SmallCluster, dora: Terminal) -> None:
    """Refused, silent, unknown: without a name of Python's."""
    ran = dora("version", "--context", "away")
    assert ran.code == ExitCode.CLUSTER
    assert "the API server http://127.0.0.1:9 cannot be reached: connection refused" in ran.err
    cluster.otherwise = Answer("", seconds=0.5)
    cluster.answers.clear()
    ran = dora("explain", "a", "--request-timeout", "50ms")
    assert "no answer in time; --request-timeout waits longer" in ran.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param("hello", "it has not the form of a kubeconfig", id="plain text"),
        pytest.param("apiVersion: v1\nkind: Config\n", "Expected key current-context", id="an empty kubeconfig"),
    ],
)
def test_a_file_that_is_no_kubeconfig_is_named(dora: Terminal, tmp_path: Path, content: str, words: str) -> None:
    """With what is wrong in it."""
    (tmp_path / "config").write_text(content)
    ran = dora("version", "--kubeconfig", tmp_path / "config")
    assert ran.code == ExitCode.CLUSTER
    assert f"kubeconfig {tmp_path}/config: it cannot be used: " in ran.err
    assert words in ran.err


def test_a_missing_program_for_the_login_is_named(cluster: SmallCluster, dora: Terminal) -> None:
    """The API server would only say that it does not know the user."""
    file = cluster.kubeconfig
    document = yaml.safe_load(file.read_text())
    command = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/no/such/login"}
    document["users"][0]["user"] = {"exec": command}
    file.write_text(yaml.safe_dump(document))
    ran = dora("version")
    assert ran.code == ExitCode.CLUSTER
    assert "the program that it names for the login failed" in ran.err
    assert "/no/such/login" in ran.err


def test_rollouts_that_are_not_installed_are_named(cluster: SmallCluster, dora: Terminal) -> None:
    """A 404 without words of the API server is a kind that it does not know."""
    ran = dora("explain", "rollout/checkout")
    assert ran.code == ExitCode.NOT_FOUND
    assert "Rollout shop/checkout: the API server does not know this kind" in ran.err
    cluster.answers[f"{ROLLOUTS}/checkout"] = refused(404, 'rollouts.argoproj.io "checkout" not found')
    assert 'rollouts.argoproj.io "checkout" not found' in dora("explain", "rollout/checkout").err


REFUSED_BEFORE = [
    pytest.param(("explain", "rollout/a", "--revision", "-1"), "--revision", id="a negative revision"),
    pytest.param(("explain", "rollout/"), "no name of an object", id="a type without a name"),
    pytest.param(("explain", "deployment/x"), "deployment is no type", id="another type"),
    pytest.param(("explain", "a", "--revision", "1"), "no revisions", id="a revision of a DoraDeployment"),
    pytest.param(("explain",), "name a Rollout", id="no name"),
    pytest.param(("mark", "checkout"), "write rollout/checkout", id="a name without a type"),
    pytest.param(("mark", *TAGS, "--rolled-back-to", "1.5.0"), "its own remediation", id="a link to itself"),
    pytest.param(("mark", *TAGS, "--name", "A_b"), "is no name", id="no name of an object"),
    pytest.param(("mark", *TAGS, "-n", "../x"), "is no name", id="no name of a namespace"),
    pytest.param(("mark", *TAGS, "-o", "csv"), "csv", id="a format that the command does not have"),
    pytest.param(("backfill", "--since", "3w"), "is no duration", id="no duration"),
    pytest.param(("report", "-A", "-n", "shop"), "contradict", id="two scopes"),
    pytest.param(("probe", "--write"), "without --run", id="writes without --run"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED_BEFORE)
def test_input_is_checked_before_anything_is_asked(
    cluster: SmallCluster, dora: Terminal, words: tuple[str, ...], message: str
) -> None:
    """With exit code 2, an error and a fix."""
    ran = dora(*words)
    assert (ran.code, ran.out) == (ExitCode.USAGE, "")
    assert message in ran.err
    assert ran.err.splitlines()[0].startswith("error: ")
    assert ran.err.splitlines()[-1].startswith("fix: ")
    assert cluster.requests == []


def test_types_and_names_are_written_as_kubectl_takes_them(cluster: SmallCluster, dora: Terminal) -> None:
    """`TYPE NAME`, `TYPE/NAME`, short and full types."""
    for words in (["rollout/a"], ["rollout", "a"], ["ro", "a"], ["rollouts.argoproj.io/a"]):
        cluster.requests.clear()
        dora("explain", *words)
        assert f"{ROLLOUTS}/a" in [path for _, path, _, _ in cluster.requests]
    cluster.answers[DORA] = listed(dora_deployment("a"))
    for words in (["a"], ["dora/a"], ["dora", "a"], ["doradeployment", "a"]):
        assert dora("explain", *words).code == 0


@pytest.mark.parametrize(
    ("flags", "headers"),
    [
        pytest.param(("--as", "kim"), {"Impersonate-User": "kim", "Authorization": "Bearer token-of-jo"}, id="--as"),
        pytest.param(("--user", "sam"), {"Authorization": "Bearer token-of-sam"}, id="--user"),
        pytest.param(("--context", "away", "--cluster", "here"), {"User-Agent": "kubectl-dora"}, id="--cluster"),
    ],
)
def test_the_flags_of_kubectl_stand_before_or_after_the_command(
    cluster: SmallCluster, dora: Terminal, flags: tuple[str, ...], headers: dict[str, str]
) -> None:
    """In both places they mean the same."""
    for words in ((*flags, "report"), ("report", *flags), ("-n", "shop", "report", *flags)):
        cluster.requests.clear()
        ran = dora(*words)
        assert ran.code == 0, ran.err
        assert all(headers.items() <= sent.items() for _, _, sent, _ in cluster.requests)
    assert dora("--user", "nobody", "report").code == ExitCode.CLUSTER


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        pytest.param((), "Commands:", id="nothing"),
        pytest.param(("-h",), "Commands:", id="-h"),
        pytest.param(("help",), "Commands:", id="help"),
        pytest.param(("help", "mark"), "kubectl dora mark --service checkout", id="help of a command"),
        pytest.param(("explain", "-h"), "kubectl dora explain rollout checkout --revision 2", id="-h of a command"),
        pytest.param(("--version",), "kubectl-dora 0.", id="--version"),
        pytest.param(("completion", "bash"), "_KUBECTL_DORA_COMPLETE=bash_complete", id="completion"),
    ],
)
def test_help_ends_well_and_asks_nothing(
    cluster: SmallCluster, dora: Terminal, words: tuple[str, ...], shown: str
) -> None:
    """On standard output."""
    ran = dora(*words)
    assert (ran.code, ran.err, cluster.requests) == (0, "", [])
    assert shown in ran.out


def test_a_manifest_for_git_needs_no_cluster(dora: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a pipeline: no kubeconfig, and a namespace only if it is named."""
    monkeypatch.setenv("KUBECONFIG", "/no/such/file")
    words = ("mark", *TAGS, "--rolled-back-to", "1.4.0", "--dry-run=client")
    ran = dora(*words, "-o", "yaml")
    assert ran.code == 0, ran.err
    assert yaml.safe_load(ran.out) == {
        "apiVersion": "dora-operator.io/v1alpha1",
        "kind": "DoraDeployment",
        "metadata": {"name": "checkout-prod-1.5.0"},
        "spec": {
            "deployment": {"service": "checkout", "env": "prod", "version": "1.5.0"},
            "changeFailure": True,
            "remediation": {"type": "rollback", "version": "1.4.0"},
        },
    }
    assert yaml.safe_load(dora(*words, "-o", "yaml", "-n", "shop").out)["metadata"]["namespace"] == "shop"
    assert dora(*words).out.endswith("created (client dry run)\n")


def test_a_manifest_for_git_has_what_belongs_there(cluster: SmallCluster, dora: Terminal) -> None:
    """Of a resource that exists: neither its status, nor what kubectl and the API server noted."""
    noted = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
    stored = dora_deployment("a", metadata={"annotations": noted | {"team": "a"}}, status={"attempts": 1})
    cluster.answers |= {DORA: listed(stored), f"{DORA}/a": Answer(stored)}
    printed = yaml.safe_load(dora("clear", *TAGS, "-o", "yaml").out)
    assert set(printed) == {"apiVersion", "kind", "metadata", "spec"}
    assert printed["metadata"] == {"name": "a", "namespace": "shop", "annotations": {"team": "a"}}
    assert printed["spec"]["changeFailure"] is False
    assert {method for method, _, _, _ in cluster.requests} == {"GET"}


@pytest.mark.parametrize("held", ["dryRun", "suspend"])
def test_a_mark_that_is_held_back_is_said(cluster: SmallCluster, dora: Terminal, held: str) -> None:
    """The resource is as wanted, and nothing reaches Datadog."""
    cluster.answers[DORA] = listed(dora_deployment("a", **{held: True}))
    ran = dora("mark", *TAGS)
    assert ran.out == "doradeployment.dora-operator.io/a unchanged\n"
    assert f"Nothing is sent to Datadog: spec.{held} of DoraDeployment shop/a is true." in ran.err


def test_explain_shows_no_conflict_with_a_resource_that_may_not_mark(cluster: SmallCluster, dora: Terminal) -> None:
    """The operator counts only resources that send something as rivals; so does the explanation."""
    older = dora_deployment(
        "older", changeFailure=False, status={"conditions": [condition("Ready", "False", "NotAllowed")]}
    )
    ready = {"conditions": [condition("Ready", "True", "Accepted")], "observedGeneration": 1}
    newer = dora_deployment("newer", "2026-11-25T00:00:00Z", status=ready)
    cluster.answers[DORA] = listed(older, newer)
    out = dora("explain", "newer").out
    assert "Conflict" not in out
    assert "PATCH /api/v2/dora/deployments" in out
    older["status"] = {}
    cluster.answers[DORA] = listed(older, newer)
    assert "Conflict" in dora("explain", "newer").out


def test_a_defect_is_one_line_with_a_hint(
    cluster: SmallCluster, dora: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Users get no traceback."""

    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("metadata")

    monkeypatch.setattr(explain_view, "run", broken)
    ran = dora("explain", "a")
    assert ran.code == ExitCode.FAILED
    assert ran.err.startswith("error: kubectl dora: a defect of this program (KeyError in broken:")
    assert "fix: report" in ran.err


def test_settings_are_refused_in_words(dora: Terminal, cluster: SmallCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the words of the package that reads them, and without the value: it may be a key."""
    monkeypatch.setenv("DORA_OPERATOR_WORKERS", "secret")
    ran = dora("doctor", "--local")
    assert ran.code == ExitCode.FAILED
    assert "the setting DORA_OPERATOR_WORKERS: it is no whole number" in ran.err
    assert "secret" not in ran.err
    assert cluster.requests == []


def test_output_may_end_early() -> None:
    """`| head` is no error."""
    words = f"{sys.executable} -m kubectl_dora probe | head -n 1"
    found = subprocess.run(["bash", "-o", "pipefail", "-c", words], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")
