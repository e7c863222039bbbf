"""The DoraDeployment that the operator creates for a failed revision: its name, labels and spec."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from dora_operator.domain.fields import API_VERSION, GROUP, KIND, to_api
from dora_operator.domain.history.verdicts import Verdict

ROLLOUT_LABEL = f"{GROUP}/rollout"
IGNORE_ANNOTATION = f"{GROUP}/ignore"
ON_MISSING_ANNOTATION = f"{GROUP}/on-missing"
MAX_NAME = 253
MAX_LABEL = 63
DIGEST = 10
"""Characters of the digest that replaces what was cut off or is not allowed in a name."""
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def is_ignored(annotations: Mapping[str, str]) -> bool:
    return annotations.get(IGNORE_ANNOTATION) == "true"


def record_manifest(namespace: str, verdict: Verdict, name: str | None = None) -> dict[str, Any]:
    """Return the DoraDeployment that carries a failure to Datadog.

    It has no owner: a deleted workload must not delete a report. Its spec alone says what Datadog should know, so that
    a kill before its status is written loses nothing.
    """
    # With an id and no version label, the pod hash names the revision.
    version = verdict.version or verdict.pod_template_hash
    spec: dict[str, Any] = {
        "deployment": _deployment(verdict),
        "changeFailure": verdict.change_failure,
        "sourceRef": {"kind": verdict.kind.value, "name": verdict.name, "version": version},
    }
    if verdict.remediation is not None:
        spec["remediation"] = to_api(verdict.remediation)
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": name or record_name(verdict),
            "namespace": namespace,
            "labels": {ROLLOUT_LABEL: label_value(verdict.name)},
        },
        "spec": spec,
    }


def record_name(verdict: Verdict) -> str:
    """Return the name of the record of a revision: of workload and pod template, and of the number where used again."""
    again = "" if verdict.is_first else f"-{verdict.revision}"
    return _fitting(f"{verdict.name}-{verdict.pod_template_hash}{again}", MAX_NAME)


def label_value(workload: str) -> str:
    """Return the workload's name as a label value; a digest keeps long ones apart."""
    return _fitting(workload, MAX_LABEL)


def _fitting(name: str, longest: int) -> str:
    if len(name) <= longest and _NAME.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST]
    kept = re.sub(r"[^a-z0-9]+", "-", name.lower())[: longest - DIGEST - 1].strip("-")
    return f"{kept}-{digest}" if kept else digest


def _deployment(verdict: Verdict) -> dict[str, str]:
    if verdict.deployment_id is not None:
        return {"id": verdict.deployment_id}
    return {"service": verdict.service or "", "env": verdict.env or "", "version": verdict.version or ""}
