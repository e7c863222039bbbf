"""What the API server refuses, and that its message says how to fix it. On the real API server."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from dora_operator import crd
from dora_operator.domain.history import history as model
from dora_operator.domain.sites import Site
from sandbox.cluster import LocalCluster

pytestmark = pytest.mark.cluster

ID = "43vkaZNgiso"
OTHER_ID = "X9RMqDwK-4c"
BY_ID = {"id": ID}
BY_VERSION = {"service": "checkout", "env": "prod", "version": "1.5.0"}
WHOLE = {"deployment": BY_ID, "changeFailure": True}


def manifest(spec: dict[str, Any], name: str = "probe") -> str:
    """Return a manifest."""
    body = {"apiVersion": "dora-operator.io/v1alpha1", "kind": "DoraDeployment", "metadata": {"name": name}}
    return yaml.safe_dump(body | {"spec": spec})


def apply(cluster: LocalCluster, spec: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Ask the API server to take a spec."""
    return cluster.run_kubectl("apply", "-f", "-", *arguments, input=manifest(spec))


ACCEPTED = [
    pytest.param(WHOLE, id="a failure by id"),
    pytest.param({"deployment": BY_VERSION, "changeFailure": False}, id="stable by service, env and version"),
    pytest.param({"deployment": {"id": "z" * 11}, "changeFailure": True}, id="the shortest id, of 11 characters"),
    pytest.param({"deployment": {"id": "z" * 256}, "changeFailure": True}, id="a long id"),
    pytest.param({"deployment": {"id": "4242fcdd-3158.6083:_x"}, "changeFailure": True}, id="every kind of character"),
    pytest.param({"deployment": BY_ID, "remediation": {"type": "rollback", "id": OTHER_ID}}, id="a remediation alone"),
    pytest.param(WHOLE | {"remediation": {"type": "rollforward", "version": "1.5.1"}}, id="a rollforward by version"),
    pytest.param(
        WHOLE | {"remediation": {"type": "rollback", "doraDeploymentRef": {"name": "other"}}}, id="a reference"
    ),
    pytest.param({"deployment": BY_VERSION, "sourceRef": {"name": "checkout"}}, id="all from a Rollout"),
    pytest.param(
        {"deployment": BY_ID, "sourceRef": {"name": "checkout", "version": "1.5.0"}}, id="a Rollout and an id"
    ),
    pytest.param(WHOLE | {"credentialsSecretRef": {"name": "keys"}, "suspend": True, "dryRun": True}, id="all options"),
    *[pytest.param(WHOLE | {"site": site.value}, id=f"site {site.value}") for site in Site],
]

REFUSED = [
    pytest.param({"changeFailure": True}, "spec.deployment: Required value", id="no deployment"),
    pytest.param({"deployment": {}, "changeFailure": True}, "set either id alone, or service, env and", id="nothing"),
    pytest.param(
        {"deployment": BY_ID | BY_VERSION, "changeFailure": True}, "set either id alone", id="both forms at once"
    ),
    pytest.param(
        {"deployment": {"service": "checkout", "env": "prod"}, "changeFailure": True},
        "set either id alone, or service, env and version all three",
        id="two of three",
    ),
    pytest.param(
        {"deployment": BY_ID | {"env": "prod"}, "changeFailure": True}, "set either id alone", id="id and env"
    ),
    pytest.param(
        {"deployment": {"id": "tooshort10"}, "changeFailure": True}, "should be at least 11 chars", id="10 characters"
    ),
    pytest.param({"deployment": {"id": "z" * 257}, "changeFailure": True}, "Too long", id="an endless id"),
    pytest.param({"deployment": {"id": "../../../secret"}, "changeFailure": True}, "copy it from", id="a path"),
    pytest.param({"deployment": {"id": "aaaaaaaaaa%2f"}, "changeFailure": True}, "copy it from", id="an escaped path"),
    pytest.param({"deployment": {"id": "aaaaaaaaaaa\r\nX: y"}, "changeFailure": True}, "copy it from", id="CR and LF"),
    pytest.param({"deployment": {"id": 12345678901}, "changeFailure": True}, "must be of type string", id="a number"),
    pytest.param(
        {"deployment": BY_VERSION | {"version": 1.5}, "changeFailure": True},
        "must be of type string",
        id="a version that YAML takes for a number",
    ),
    pytest.param(
        {"deployment": BY_VERSION | {"service": " checkout"}, "changeFailure": True}, "remove control", id="a blank"
    ),
    pytest.param(
        {"deployment": BY_VERSION | {"env": "a\tb"}, "changeFailure": True}, "remove control characters", id="a tab"
    ),
    pytest.param(
        {"deployment": BY_VERSION | {"env": ""}, "changeFailure": True}, "at least 1 chars", id="an empty tag"
    ),
    pytest.param({"deployment": BY_VERSION | {"env": "e" * 201}, "changeFailure": True}, "Too long", id="a long tag"),
    pytest.param({"deployment": BY_ID}, "set at least one of changeFailure, remediation and sourceRef", id="no wish"),
    pytest.param(
        {"deployment": BY_VERSION, "remediation": {"type": "rollback", "version": "1.4.2"}},
        "needs changeFailure: true or false",
        id="by version without changeFailure",
    ),
    pytest.param(
        {"deployment": BY_ID, "sourceRef": {"name": "checkout"}}, "set sourceRef.version", id="which revision?"
    ),
    pytest.param(WHOLE | {"changeFailure": "yes"}, "must be of type boolean", id="a word for a boolean"),
    pytest.param(WHOLE | {"remediation": {"id": OTHER_ID}}, "spec.remediation.type: Required", id="no type"),
    pytest.param(
        WHOLE | {"remediation": {"type": "wrong_type", "id": OTHER_ID}}, '"rollback", "rollforward"', id="a wrong type"
    ),
    pytest.param(WHOLE | {"remediation": {"type": "rollback"}}, "set exactly one of id, version", id="no remediation"),
    pytest.param(
        WHOLE | {"remediation": {"type": "rollback", "id": OTHER_ID, "version": "1"}},
        "set exactly one of id, version and doraDeploymentRef",
        id="two remediations",
    ),
    pytest.param(
        WHOLE | {"remediation": {"type": "rollback", "id": ID}}, "cannot be its own remediation", id="itself by id"
    ),
    pytest.param(
        {"deployment": BY_VERSION, "changeFailure": True, "remediation": {"type": "rollback", "version": "1.5.0"}},
        "cannot be its own remediation",
        id="itself by version",
    ),
    pytest.param(
        WHOLE | {"remediation": {"type": "rollback", "doraDeploymentRef": {"name": "probe"}}},
        "doraDeploymentRef names this DoraDeployment itself",
        id="itself by reference",
    ),
    pytest.param(WHOLE | {"site": "evil.example"}, "Unsupported value", id="a host that is no site"),
    pytest.param(WHOLE | {"site": "us1.datadoghq.com"}, '"datadoghq.com"', id="a site that does not exist"),
    pytest.param(WHOLE | {"credentialsSecretRef": {"name": "other/keys"}}, "lower-case", id="another namespace"),
    pytest.param(WHOLE | {"credentialsSecretRef": {"name": "Keys"}}, "lower-case letters", id="a capital letter"),
    pytest.param(WHOLE | {"sourceRef": {"name": "check out", "version": "1"}}, "lower-case", id="a blank in a name"),
]


@pytest.mark.parametrize("spec", ACCEPTED)
def test_what_is_accepted(cluster: LocalCluster, spec: dict[str, Any]) -> None:
    """A good spec passes the API server."""
    result = apply(cluster, spec, "--dry-run=server")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(("spec", "words"), REFUSED)
def test_what_is_refused(cluster: LocalCluster, spec: dict[str, Any], words: str) -> None:
    """A bad spec is refused, and the message says what to do."""
    result = apply(cluster, spec, "--dry-run=server")
    assert result.returncode != 0
    assert words in result.stderr


def test_the_deployment_is_immutable_and_the_rest_is_not(cluster: LocalCluster) -> None:
    """Another deployment needs another resource; everything else can be edited."""
    assert apply(cluster, WHOLE).returncode == 0
    try:
        refused = apply(cluster, WHOLE | {"deployment": {"id": OTHER_ID}})
        assert refused.returncode != 0
        assert "deployment is immutable: delete this DoraDeployment" in refused.stderr
        assert apply(cluster, {"deployment": BY_ID, "changeFailure": False, "suspend": True}).returncode == 0
    finally:
        cluster.kubectl("delete", "dora", "probe")


def test_a_namespace_cannot_be_named(cluster: LocalCluster) -> None:
    """References have no namespace: strict validation refuses one, and it is never stored."""
    result = apply(cluster, WHOLE | {"credentialsSecretRef": {"name": "keys", "namespace": "kube-system"}})
    assert result.returncode != 0
    assert 'unknown field "spec.credentialsSecretRef.namespace"' in result.stderr


def test_a_new_object_is_not_current_before_the_operator_saw_it(cluster: LocalCluster) -> None:
    """status.observedGeneration is -1 until then, so that kstatus does not call it done."""
    assert apply(cluster, WHOLE).returncode == 0
    try:
        assert cluster.kubectl("get", "dora", "probe", "-o", "jsonpath={.status.observedGeneration}") == "-1"
    finally:
        cluster.kubectl("delete", "dora", "probe")


def test_a_status_of_an_older_crd_is_written_on(cluster: LocalCluster) -> None:
    """The parts of a status used to have an owner for each field; the next write leaves one for each part."""
    older = json.loads(json.dumps(crd.custom_resource_definition()))
    status = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    for part in (status["conditions"]["items"], status["desired"]):
        del part["x-kubernetes-map-type"]
    cluster.kubectl("apply", "-f", "-", input=yaml.safe_dump(older))
    assert apply(cluster, WHOLE).returncode == 0
    before = write_status_until(cluster, lambda owned: "f:reason" in str(owned["f:conditions"]))
    assert before["f:desired"] != {}
    cluster.kubectl("apply", "-f", "-", input=json.dumps(crd.custom_resource_definition()))
    after = write_status_until(cluster, lambda owned: "f:reason" not in str(owned["f:conditions"]))
    assert after["f:desired"] == {}
    assert [name for name in after["f:conditions"] if name.startswith("k:")] == ['k:{"type":"Ready"}']


def write_status_until(cluster: LocalCluster, settled: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Write a status until the API server follows the CRD of the moment; return the fields that the writer owns."""
    for number in range(100):
        condition = {"type": "Ready", "status": "True", "reason": "Accepted", "message": f"write {number}"}
        condition |= {"observedGeneration": 1, "lastTransitionTime": "2026-11-24T00:00:00Z"}
        patch = {"status": {"conditions": [condition], "desired": {"changeFailure": number % 2 == 0}}}
        command = ["patch", "dora", "probe", "--subresource=status", "--type=merge", "--field-manager=dora-operator"]
        cluster.kubectl(*command, "-p", json.dumps(patch))
        body = json.loads(cluster.kubectl("get", "dora", "probe", "-o", "json", "--show-managed-fields"))
        entries = body["metadata"]["managedFields"]
        (owned,) = [entry["fieldsV1"]["f:status"] for entry in entries if entry["manager"] == "dora-operator"]
        if settled(owned):
            return dict(owned)
    raise AssertionError(f"the API server does not follow the CRD: {owned}")


def test_columns_short_name_and_category(cluster: LocalCluster) -> None:
    """`kubectl get dora`, `-o wide` and `kubectl get datadog` show what a person needs first."""
    assert apply(cluster, WHOLE).returncode == 0
    try:
        short = cluster.kubectl("get", "dora").splitlines()[0].split()
        assert short == ["NAME", "READY", "REASON", "SERVICE", "ENV", "VERSION", "FAILURE", "VERIFIED", "AGE"]
        wide = cluster.kubectl("get", "doradeployments", "-o", "wide").splitlines()[0].split()
        assert {"ID", "REMEDIATION", "SOURCE", "ACCEPTED"} <= set(wide)
        assert "probe" in cluster.kubectl("get", "datadog")
    finally:
        cluster.kubectl("delete", "dora", "probe")


def test_explain_reads_well(cluster: LocalCluster) -> None:
    """`kubectl explain dora.spec` describes each field in a sentence."""
    text = cluster.kubectl("explain", "dora.spec")
    for field in ("deployment", "changeFailure", "remediation", "sourceRef", "site", "credentialsSecretRef", "dryRun"):
        assert field in text
    assert "true marks the deployment as a change failure" in " ".join(text.split())
    assert "enum: rollback, rollforward" in cluster.kubectl("explain", "dora.spec.remediation")


def test_a_history_shows_its_newest_revision(cluster: LocalCluster) -> None:
    """As the operator writes it; `kubectl get dorahist` shows who, what and how it went."""
    identity = {"service": "checkout", "env": "prod"}
    revisions = [
        {"number": 1, "podTemplateHash": "a", "state": "Promoted", **identity, "version": "1.0.0"},
        {"number": 2, "podTemplateHash": "b", "state": "Aborted", **identity, "version": "1.1.0"}
        | {"failure": {"verdict": "Aborted", "cause": "Abort", "time": "2026-01-01T00:00:00Z"}},
    ]
    body = {"workload": {"kind": "Rollout", "name": "checkout", "uid": "u"}, "revisions": revisions}
    history = model.parse(body)
    assert history is not None
    written = json.dumps(model.manifest("default", history, "argoproj.io/v1alpha1"))
    cluster.kubectl("apply", "--server-side", "--validate=strict", "-f", "-", input=written)
    try:
        head, row = (line.split() for line in cluster.kubectl("get", "dorahist").splitlines())
        assert head == ["NAME", "KIND", "WORKLOAD", "VERSION", "REVISIONS", "FAILED", "LAST", "AGE"]
        assert row[:-1] == ["rollout-checkout", "Rollout", "checkout", "1.1.0", "2", "Aborted", "Aborted"]
        assert model.parse(json.loads(cluster.kubectl("get", "dorahist", "rollout-checkout", "-o", "json"))) == history
    finally:
        cluster.kubectl("delete", "dorahist", "rollout-checkout")
