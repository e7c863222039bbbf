"""What the demo plays on: a cluster, a stand-in for Datadog, the operator; and what the audience sees of them.

Shows and waits; the story itself is in `story`.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from rich.columns import Columns
from rich.console import Console, Group
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from sandbox.cluster import LocalCluster
from sandbox.datadog import Recorded, Seed, StandIn
from sandbox.programs.cache import SandboxError

WAIT_SECONDS = 150.0
COLOURS = {"True": "green", "False": "red", "Unknown": "yellow"}


@dataclass(slots=True)
class Stage:
    """The parts, and the console in front of them."""

    console: Console
    cluster: LocalCluster
    datadog: StandIn
    _shown: int = field(default=0)

    def scene(self, title: str, words: str) -> None:
        """Begin a scene."""
        self.console.print()
        self.console.rule(f"[bold]{title}", align="left")
        self.console.print(words)

    def apply(self, manifest: str) -> bool:
        """Show a manifest, apply it with kubectl, show what kubectl says; return whether it was accepted."""
        self.console.print(Syntax(manifest.strip(), "yaml", background_color="default"))
        result = self.cluster.run_kubectl("apply", "-f", "-", input=manifest)
        self.console.print("[dim]$ kubectl apply -f -[/dim]")
        text, colour = (result.stdout, "green") if result.returncode == 0 else (result.stderr, "red")
        self.console.print(Text(text.strip(), style=colour))
        return result.returncode == 0

    def report(self, service: str, version: str, *, ago: float = 0, deployment_id: str = "") -> None:
        """Let CI report a deployment that succeeded so many seconds ago to Datadog."""
        finished = time.time() - ago
        deployment_id = deployment_id or f"ci-{service}-{version}-{finished:.0f}"
        self.datadog.seed(
            Seed(
                id=deployment_id,
                service=service,
                env="prod",
                version=version,
                started_at=finished - 1,
                finished_at=finished,
                source="api_deployments",
            )
        )

    def writes(self) -> list[Recorded]:
        """Return the requests that Datadog has received, without the reads."""
        return [one for one in self.datadog.requests() if not _is_read(one)]

    def wait(self, name: str, reason: str, condition: str = "Ready") -> dict[str, Any]:
        """Wait until a condition has a reason.

        Raises:
            SandboxError: it did not happen in time.
        """

        def shown() -> bool:
            conditions = self.status(name).get("conditions", [])
            return any(one["type"] == condition and one["reason"] == reason for one in conditions)

        self.wait_until(shown, f"DoraDeployment {name} did not become {reason}")
        return self.status(name)

    def status(self, name: str) -> dict[str, Any]:
        """Return the status of a DoraDeployment."""
        found: dict[str, Any] = json.loads(self.cluster.kubectl("get", "dora", name, "-o", "json"))
        status: dict[str, Any] = found.get("status", {})
        return status

    def wait_made(self, rollout: str) -> str:
        """Wait until the operator has made a DoraDeployment for a Rollout, and return its name."""

        def names() -> str:
            label = f"dora-operator.io/rollout={rollout}"
            return self.cluster.kubectl("get", "dora", "-l", label, "-o", "jsonpath={.items[*].metadata.name}")

        self.wait_until(lambda: bool(names()), f"no DoraDeployment was made for Rollout {rollout}")
        return names()

    def wait_healthy(self, *rollouts: str) -> None:
        """Wait until Rollouts are healthy with the version of their spec."""
        for name in rollouts:
            self.cluster.argo("status", name, "--timeout", f"{WAIT_SECONDS:.0f}s")

    def wait_until(self, condition: Callable[[], bool], words: str) -> None:
        """Wait for a condition.

        Raises:
            SandboxError: it did not become true in time.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise SandboxError(f"{words} within {WAIT_SECONDS:.0f} s")
            time.sleep(0.1)

    def show(self, name: str, status: dict[str, Any], *, reads_of: str = "") -> None:
        """Show a resource's conditions beside the requests that Datadog has received since the last time.

        Reads follow a schedule of their own: only the last one of a service is shown, and only where it is the point.
        """
        requests = self.datadog.requests()
        fresh, self._shown = [one for one in requests[self._shown :] if not _is_read(one)], len(requests)
        if reads_of:
            fresh += [one for one in requests if _is_read(one) and f'\\"{reads_of}\\"' in one.body][-1:]
        left = Panel(_conditions(status), title=f"status of DoraDeployment {name}", width=64)
        right = Panel(_received(fresh), title="what Datadog received", width=60)
        self.console.print(Columns([left, right], padding=(0, 1)))

    def expect(self, *, fact: bool, words: str) -> None:
        """State a fact that the demo stands for.

        Raises:
            SandboxError: it is not true.
        """
        if not fact:
            raise SandboxError(f"the demo expected that {words}")
        self.console.print(f"[green]✓[/green] {words}")


def _conditions(status: dict[str, Any]) -> Group:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("condition", "status", "reason"):
        table.add_column(heading)
    for one in status["conditions"]:
        table.add_row(one["type"], Text(one["status"], style=COLOURS[one["status"]]), one["reason"])
    words = [Text(status["conditions"][0]["message"], style="italic")]
    if status.get("nextAttemptTime"):
        words.append(Text(f"next attempt at {status['nextAttemptTime']}", style="dim"))
    return Group(table, Text(), *words)


def _received(requests: Sequence[Recorded]) -> Group:
    if not requests:
        return Group(Text("nothing", style="dim"))
    parts: list[Text | Syntax] = []
    for request in requests:
        parts.append(Text(f"{time.strftime('%H:%M:%S', time.localtime(request.time))} {request.method} {request.path}"))
        document = json.dumps(json.loads(request.body or "{}"), indent=1)
        parts.append(Syntax(document, "json", background_color="default", word_wrap=True))
        style = "green" if request.status in {HTTPStatus.OK, HTTPStatus.ACCEPTED} else "red"
        parts.append(Text(f"answered {request.status}", style=style))
    return Group(*parts)


def _is_read(request: Recorded) -> bool:
    return request.method == "GET" or (request.method == "POST" and request.path.endswith("/deployments"))
