"""How long each command of kubectl's plugin takes on a full cluster, and how many API requests it sends."""

import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from bench import objects
from sandbox.cluster import LocalCluster
from sandbox.cluster.audit import entries
from sandbox.datadog import StandIn
from sandbox.running import OWN_API_KEY, OWN_APP_KEY

AGENT = "kubectl-dora"
ROUNDS = 3
ROLLOUT = "app-0"
MOST_REQUESTS, LONGEST_SECONDS, LONGEST_START = 40, 3.0, 0.4
"""What is to be reached."""


@dataclass(frozen=True, slots=True)
class CommandCost:
    """One command: the median of its runs."""

    name: str
    seconds: float
    cpu_seconds: float
    """Of the command itself, user and system: a busy machine changes it less than the time on the clock."""
    requests: int


def measure_plugin(deployments: int, rollouts: int) -> list[CommandCost]:
    """Measure every command that reads, and the start of the plugin beside that of kubectl."""
    kubectl = str(Path(sys.executable).with_name("kubectl"))
    dora = [sys.executable, "-m", "kubectl_dora"]
    with LocalCluster.start(with_rollouts=True) as cluster, StandIn() as datadog:
        cluster.kubectl("apply", "-f", str(Path(__file__).parents[1] / "crds"))
        cluster.kubectl("wait", "--for=condition=Established", "crd/doradeployments.dora-operator.io", "--timeout=30s")
        asyncio.run(objects.make_settled(cluster, deployments))
        _make_rollouts(cluster, rollouts)
        environment = os.environ | {
            "KUBECONFIG": str(cluster.kubeconfig),
            "DD_API_KEY": OWN_API_KEY,
            "DD_APP_KEY": OWN_APP_KEY,
            "DORA_OPERATOR_DATADOG_URL": datadog.url,
        }
        runs = {
            "kubectl version --client": [kubectl, "version", "--client"],
            "version --client": [*dora, "version", "--client"],
            "version": [*dora, "version"],
            "doctor --local": [*dora, "doctor", "--local"],
            f"explain rollout/{ROLLOUT}": [*dora, "explain", f"rollout/{ROLLOUT}"],
            "mark --dry-run=server": [
                *dora, "mark", "--service", "checkout", "--env", "prod", "--version", "9", "--dry-run=server",
            ],
            "backfill -A": [*dora, "backfill", "-A"],
            "report -A": [*dora, "report", "-A"],
        }  # fmt: skip
        return [_measure(name, words, environment, cluster.audit_log) for name, words in runs.items()]


def plugin_table(costs: list[CommandCost], deployments: int, rollouts: int) -> Table:
    """Show the commands."""
    limits = f"limits: {LONGEST_SECONDS:g} s and {MOST_REQUESTS} requests for a command, {LONGEST_START:g} s to start"
    table = Table(title=f"kubectl dora on {deployments} DoraDeployments and {rollouts} Rollouts", caption=limits)
    for heading in ("", "seconds", "CPU seconds", "API requests"):
        table.add_column(heading, justify="left" if not heading else "right")
    for cost in costs:
        table.add_row(cost.name, f"{cost.seconds:.2f}", f"{cost.cpu_seconds:.2f}", str(cost.requests))
    return table


def _measure(name: str, words: list[str], environment: dict[str, str], log: Path) -> CommandCost:
    seconds, cpu_seconds = [], []
    before = _requests(log)
    for _ in range(ROUNDS):
        begun, used = time.perf_counter(), _cpu_of_children()
        run = subprocess.run(words, env=environment, capture_output=True, check=False)
        seconds.append(time.perf_counter() - begun)
        cpu_seconds.append(_cpu_of_children() - used)
        if run.returncode > 1:
            raise RuntimeError(f"{name}: {run.stderr.decode()}")
    requests = (_requests(log) - before) // ROUNDS
    return CommandCost(name, statistics.median(seconds), statistics.median(cpu_seconds), requests)


def _cpu_of_children() -> float:
    """Return the CPU seconds of all processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _requests(log: Path) -> int:
    return sum(1 for entry in entries(log) if entry.get("userAgent") == AGENT)


def _make_rollouts(cluster: LocalCluster, count: int) -> None:
    """Create Rollouts without replicas; their controller makes a ReplicaSet of each."""
    items = []
    for number in range(count):
        name = f"app-{number}"
        tags = {"service": name, "env": "prod", "version": "1.0.0"}
        labels = {f"tags.datadoghq.com/{tag}": value for tag, value in tags.items()} | {"app": name}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "app"}]}}
        spec = {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "strategy": {"canary": {}}}
        metadata = {"name": name, "namespace": objects.NAMESPACE}
        body = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": metadata}
        items.append(body | {"spec": spec | {"template": template}})
    cluster.kubectl("create", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    while True:
        sets = cluster.kubectl("get", "replicasets", "-n", objects.NAMESPACE, "-o", "name")
        if len(sets.split()) >= count:
            return
        time.sleep(1)
