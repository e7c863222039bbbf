"""A verdict as JSON and as a DoraDeployment."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dora_operator.domain.fields import RemediationLink, RemediationType, adapter, to_api
from dora_operator.domain.rollout.identity import ById, ByVersion
from dora_operator.domain.rollout.verdict import (
    Verdict,
    VerdictKind,
    label_value,
    record_manifest,
    resource_name,
)

AT = datetime(2026, 11, 23, 3, 44, 56, tzinfo=UTC)
VERDICT = Verdict(
    name="checkout",
    uid="uid-1",
    revision=2,
    pod_template_hash="7bddf7c8fc",
    service="checkout",
    env="prod",
    version="1.1.0",
    verdict=VerdictKind.ABORTED,
    decided_by_revision=2,
    time=AT,
    message="Rollout aborted update to revision 2",
)


def test_the_manifest_of_an_abort() -> None:
    """Name, labels and spec as documented; no owner, so that a deleted Rollout deletes no unsent report."""
    manifest = record_manifest("shop", VERDICT)
    assert manifest == {
        "apiVersion": "dora-operator.io/v1alpha1",
        "kind": "DoraDeployment",
        "metadata": {
            "name": "checkout-7bddf7c8fc",
            "namespace": "shop",
            "labels": {"dora-operator.io/rollout": "checkout"},
        },
        "spec": {
            "deployment": {"service": "checkout", "env": "prod", "version": "1.1.0"},
            "changeFailure": True,
            "sourceRef": {"kind": "Rollout", "name": "checkout", "version": "1.1.0"},
        },
    }


def test_with_an_id_alone_the_pod_hash_selects_the_revision() -> None:
    """The CRD wants sourceRef.version beside deployment.id, and not every pod template has a version label."""
    by_id = replace(VERDICT, deployment_id="43vkaZNgiso", service=None, env=None, version=None)
    spec = record_manifest("shop", by_id)["spec"]
    assert spec["deployment"] == {"id": "43vkaZNgiso"}
    assert spec["sourceRef"] == {"kind": "Rollout", "name": "checkout", "version": "7bddf7c8fc"}


def test_the_manifest_of_a_recovery_says_false() -> None:
    """A cleared mark is sent as false."""
    assert record_manifest("shop", replace(VERDICT, verdict=VerdictKind.RECOVERED))["spec"]["changeFailure"] is False


@pytest.mark.parametrize(
    ("remediation", "written"),
    [
        pytest.param(
            RemediationLink(type=RemediationType.ROLLBACK, version="1"),
            {"type": "rollback", "version": "1"},
            id="version",
        ),
        pytest.param(
            RemediationLink(type=RemediationType.ROLLFORWARD, id="4242fcdd31586083"),
            {"type": "rollforward", "id": "4242fcdd31586083"},
            id="id",
        ),
    ],
)  # fmt: skip
def test_the_manifest_links_by_exactly_one(remediation: RemediationLink, written: dict[str, str]) -> None:
    """Datadog refuses both id and version."""
    assert record_manifest("shop", replace(VERDICT, remediation=remediation))["spec"]["remediation"] == written


NAMED = some.sampled_from(
    [
        {"service": "checkout", "env": "prod", "version": "1.1.0"},
        {"deployment_id": "4242fcdd31586083"},
        {"deployment_id": "4242fcdd31586083", "service": "checkout", "version": "1.1.0"},
    ]
)
REMEDIATIONS = some.sampled_from(
    [
        None,
        RemediationLink(type=RemediationType.ROLLBACK, id="4242fcdd31586083"),
        RemediationLink(type=RemediationType.ROLLFORWARD, version="2"),
    ]
)
TIMES = some.none() | some.datetimes(timezones=some.just(UTC))
VERDICTS = some.builds(
    lambda named, **fields: Verdict(**named, **fields),
    NAMED,
    name=some.text(max_size=253),
    uid=some.text(max_size=253),
    revision=some.integers(0, 10**9),
    pod_template_hash=some.text(max_size=253),
    verdict=some.sampled_from(VerdictKind),
    decided_by_revision=some.integers(0, 10**9),
    message=some.none() | some.text(max_size=256),
    time=TIMES,
    remediation=REMEDIATIONS,
)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(VERDICTS)
def test_what_was_written_is_read_back(verdict: Verdict) -> None:
    """status.source is the verdict, whatever it says."""
    assert adapter(Verdict).validate_python(json.loads(json.dumps(to_api(verdict)))) == verdict


def test_a_field_that_no_version_writes_any_more_is_ignored() -> None:
    """A record of a former version may say when the stable version was restored."""
    written = to_api(VERDICT) | {
        "restored": {"service": "checkout", "version": "1.0.0", "time": "2026-11-23T03:45:00Z"}
    }
    assert read_record(json.dumps(written)) == VERDICT
    assert adapter(Verdict).validate_python(written) == VERDICT


def test_a_verdict_knows_its_deployment() -> None:
    """By id where the pod template names one, with the tags that it has."""
    assert VERDICT.identity == ByVersion("checkout", "prod", "1.1.0")
    by_id = replace(VERDICT, deployment_id="43vkaZNgiso", env=None)
    assert by_id.identity == ById("43vkaZNgiso", "checkout", None, "1.1.0")


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(some.text(max_size=300), some.text(max_size=300))
def test_names_and_labels_are_always_legal(rollout: str, pod_template_hash: str) -> None:
    """A DNS subdomain of at most 253 characters, a label of at most 63."""
    legal = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
    name, label = resource_name(rollout, pod_template_hash), label_value(rollout)
    assert re.fullmatch(legal, name)
    assert re.fullmatch(legal, label)
    assert len(name) <= 253
    assert len(label) <= 63


def test_long_names_stay_apart() -> None:
    """Two Rollouts that differ only where they are cut have two names."""
    assert resource_name("a" * 260, "hash") != resource_name("a" * 261, "hash")
    assert label_value("a" * 64) != label_value("a" * 65)
    assert label_value("a" * 63) == "a" * 63


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("checkout", "checkout", id="as it is"),
        pytest.param("c" * 63, "c" * 63, id="the longest label"),
        pytest.param("c" * 64, "c" * 52 + "-52b6419d27", id="a longer one has a digest"),
        pytest.param("Check_Out-", "check-out-3a5cdb7144", id="characters that are not allowed"),
        pytest.param("__", "9911f4d2b1", id="nothing that could be kept"),
    ],
)
def test_names_that_fit(name: str, expected: str) -> None:
    """A name that is cut off or changed gets a digest of the whole name."""
    assert label_value(name) == expected


def test_the_longest_name_of_a_record() -> None:
    """253 characters, as Kubernetes allows."""
    assert resource_name("c" * 242, "0123456789") == "c" * 242 + "-0123456789"
    assert len(resource_name("c" * 243, "0123456789")) == 253
