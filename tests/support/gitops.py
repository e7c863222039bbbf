"""What Argo CD, Flux and kstatus compute, as far as it concerns a DoraDeployment: each as its project does it."""

from pathlib import Path
from typing import Any

import celpy
import yaml
from lupa import lua51

GITOPS = Path(__file__).parents[2] / "gitops"
HEALTH_KEY = "resource.customizations.health.dora-operator.io_DoraDeployment"


def argo_health(body: dict[str, Any]) -> tuple[str, str]:
    """Run health.lua as Argo CD does: the object is the global `obj`, the chunk returns status and message."""
    lua = lua51.LuaRuntime()
    lua.globals().obj = lua.table_from(body, recursive=True)
    found = lua.execute((GITOPS / "argo-cd" / "health.lua").read_text(encoding="utf-8"))
    return found["status"], found["message"]


def flux_health(body: dict[str, Any]) -> str:
    """Evaluate healthCheckExprs as Flux does: the generation first, then inProgress, failed, current."""
    if _lags(body):
        return "InProgress"
    checks = flux_checks()
    for word, result in (("inProgress", "InProgress"), ("failed", "Failed"), ("current", "Current")):
        if word in checks and _holds(checks[word], body):
            return result
    return "InProgress"


def flux_checks() -> dict[str, str]:
    """Return the expressions of the example."""
    (checks,) = next(one for one in _flux_objects() if one["kind"] == "Kustomization")["spec"]["healthCheckExprs"]
    return dict(checks)


def kstatus(body: dict[str, Any]) -> str:
    """Return what kstatus computes for a kind that it does not know (cli-utils, `Compute`)."""
    if body["metadata"].get("deletionTimestamp"):
        return "Terminating"
    if _lags(body):
        return "InProgress"
    conditions = body.get("status", {}).get("conditions", [])
    for condition in conditions:
        if condition["status"] == "True" and condition["type"] in {"Reconciling", "Stalled"}:
            return "InProgress" if condition["type"] == "Reconciling" else "Failed"
    for condition in conditions:
        if condition["type"] == "Ready":
            return "Current" if condition["status"] == "True" else "InProgress"
    return "Current"


def _flux_objects() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((GITOPS / "flux" / "kustomization.yaml").read_text(encoding="utf-8")))


def _lags(body: dict[str, Any]) -> bool:
    observed = body.get("status", {}).get("observedGeneration")
    return observed is not None and observed != body["metadata"]["generation"]


def _holds(expression: str, body: dict[str, Any]) -> bool:
    environment = celpy.Environment()
    program = environment.program(environment.compile(expression))
    return bool(program.evaluate({name: celpy.json_to_cel(value) for name, value in body.items()}))
