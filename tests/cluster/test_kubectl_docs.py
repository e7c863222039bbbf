"""The pages about `kubectl dora` show what the commands print: run here, and compared with the pages.

`KUBECTL_DOCS=write .venv/bin/python -m pytest tests/cluster/test_kubectl_docs.py` writes the pages.
"""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from sandbox.cluster import LocalCluster
from sandbox.datadog import Match, Respond, Seed, StandIn
from sandbox.running import OWN_API_KEY, OWN_APP_KEY, running_operator
from tests.support.kubectl_dora import apply_operator, dora
from tests.support.rollouts import App, release
from tests.support.shop import eventually

pytestmark = pytest.mark.cluster
DOCS = Path(__file__).parents[2] / "docs"
PAGES = DOCS / "kubectl"
PICTURE = DOCS / "images" / "kubectl-dora.svg"
NAMESPACE = "store"
WIDTH = 120
BLOCK = re.compile(r"(?s)(<!-- output: ([\w-]+) -->\n)```text\n.*?```\n")
FONTS = re.compile(r"(?s)\s*@font-face \{.*?\}\n")
CHANGING = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "2026-11-24T09:30:00Z"),
    (re.compile(r"\bage \d+\w*"), "age 4m"),
    (re.compile(r"\d+ s (behind|ahead of) Datadog"), "0 s behind Datadog"),
    (re.compile(r"\S+ for \w+, renewed \w+ ago"), "dora-operator-7c9d for 4m, renewed 1s ago"),
)
"""What another run prints otherwise."""
LONG_AGO = {"DORA_OPERATOR_LOOKBACK_HOURS": "0.0001"}
"""With this setting, what happened a second ago is before the lookback."""
Outputs = dict[str, str]


def shown(cluster: LocalCluster, *words: str, environment: dict[str, str] | None = None, code: int = 0) -> str:
    """Run a command as the reader types it, and return both."""
    found = dora(cluster, *words, environment=environment)
    assert found.code == code, found.out + found.err
    lines = [line.rstrip() for line in (found.out + found.err).splitlines()]
    return "\n".join([f"$ kubectl dora {' '.join(words)}", *lines, ""])


def steady(text: str) -> str:
    """Replace what changes from run to run."""
    for pattern, replacement in CHANGING:
        text = pattern.sub(replacement, text)
    return text


@pytest.fixture(scope="module")
def outputs(rollouts_cluster: LocalCluster) -> Iterator[Outputs]:
    """Play what the pages describe, and return what every command printed."""
    rollouts_cluster.kubectl("create", "namespace", NAMESPACE)
    with StandIn() as datadog:
        datadog.fault(Respond(status=200, body='{"valid":true}'), match=Match(path_prefix="/api/v1/validate"))
        times = {"started_at": time.time() - 60, "finished_at": time.time() - 50}
        datadog.seed(Seed(id="4aBcD_fGh-1", service="checkout", env="prod", version="1.4.0", **times))
        apply_operator(rollouts_cluster, NAMESPACE, LONG_AGO)
        yield {name: steady(text) for name, text in _play(rollouts_cluster, datadog)}
    rollouts_cluster.kubectl("delete", "deployment", "dora-operator", "-n", NAMESPACE)


def _play(cluster: LocalCluster, datadog: StandIn) -> Iterator[tuple[str, str]]:
    scope = ("-n", NAMESPACE)
    variables = {"DORA_OPERATOR_NAMESPACES": NAMESPACE, "DORA_OPERATOR_DATADOG_URL": datadog.url, **LONG_AGO}
    variables["DORA_OPERATOR_LEASE_NAME"] = "store"
    keys = variables | {"DD_API_KEY": OWN_API_KEY, "DD_APP_KEY": OWN_APP_KEY}
    checkout, invoices, cart = _before_the_operator(cluster, datadog)
    _seed(datadog, ("3pQwE_rTy-5", invoices.name, "1.5.0"), ("5kLmN_oPq-6", "search", "1.5.0"))
    yield "backfill", shown(cluster, "backfill", "--local", *scope, environment=keys)
    yield "backfill-apply", shown(cluster, "backfill", "--local", *scope, "--apply", environment=keys).split("\n\n")[-1]
    reading = {"DORA_OPERATOR_READ_BACK": "true", "DORA_OPERATOR_READ_BACK_SCHEDULE": "0.5,1,2"}
    with running_operator(cluster, datadog.url, **variables, **reading):
        eventually(lambda: cart.name in cluster.kubectl("get", "dorahist", *scope), cart.levels)
        rows = [("7fKmQ_xWz-2", "checkout", "1.5.0"), ("9hTbR_cVn-3", "payments", "2.0.0")]
        _seed(datadog, *rows, ("2mXpL_sKd-4", "payments", "1.9.0"))
        _abort(checkout, cart)
        eventually(lambda: "readBack" in checkout.record("1.5.0").get("status", {}), checkout.levels)
        yield "explain-why-not", shown(cluster, "explain", "rollout/cart", "--revision", "2", *scope)
        yield "explain-abort", shown(cluster, "explain", "rollout/checkout", "--revision", "2", *scope)
        yield "explain-resource", shown(cluster, "explain", checkout.record("1.5.0")["metadata"]["name"], *scope)
        deployment = ("--service", "payments", "--env", "prod", "--version", "2.0.0")
        yield "mark-yaml", shown(cluster, "mark", *deployment, *scope, "-o", "yaml")
        yield "mark", shown(cluster, "mark", *deployment, "--rolled-back-to", "1.9.0", *scope, "--wait")
        yield "clear", shown(cluster, "clear", "rollout/checkout", "--revision", "2", *scope, "--wait")
        marks = (f"dora/{checkout.record('1.5.0')['metadata']['name']}", "dora/payments-prod-2.0.0")
        cluster.kubectl("wait", *scope, "--for=condition=Verified", *marks, "--timeout=30s")
        yield "report", shown(cluster, "report", "--local", *scope, "--since", "30d", environment=keys)
        yield "doctor", shown(cluster, "doctor", "--local", "-o", "wide", environment=keys)
        keys["DORA_OPERATOR_NAMESPACES"] += ",payment"
        yield "doctor-failed", shown(cluster, "doctor", "--local", environment=keys, code=1)


def _abort(*apps: App) -> None:
    """Deploy 1.5.0 and abort it."""
    for app in apps:
        app.deploy("1.5.0")
    for app in apps:
        app.until("Paused")
        app.argo("abort")
        app.until("Degraded")


def _seed(datadog: StandIn, *rows: tuple[str, str, str]) -> None:
    """Let Datadog have deployments that have just finished: id, service and version."""
    for name, service, version in rows:
        times = {"started_at": int(time.time()) - 20, "finished_at": int(time.time()) - 10}
        datadog.seed(Seed(id=name, service=service, env="prod", version=version, **times))


def _before_the_operator(cluster: LocalCluster, datadog: StandIn) -> tuple[App, App, App]:
    """Abort a Rollout and roll one back; return the first, and two that are released."""
    checkout, invoices, search = (App(cluster, datadog, NAMESPACE, name) for name in ("checkout", "invoices", "search"))
    cart = App(cluster, datadog, NAMESPACE, "cart", untagged=("version",))
    release(checkout, invoices, search, cart, versions=("1.4.0",))
    search.release("1.5.0")
    search.argo("undo")
    _abort(invoices)
    search.until("Paused")
    search.argo("promote")
    search.until("Healthy")
    return checkout, invoices, cart


def test_the_pages_show_what_the_commands_print(outputs: Outputs) -> None:
    """Every block is the output of this run, and every output is shown."""
    used: set[str] = set()
    for page in sorted(PAGES.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        used |= {name for _, name in BLOCK.findall(text)}
        wanted = BLOCK.sub(lambda found: f"{found[1]}```text\n{outputs[found[2]]}```\n", text)
        if os.environ.get("KUBECTL_DOCS") == "write":
            page.write_text(wanted, encoding="utf-8")
        else:
            assert text == wanted, f"{page.name} is stale: run with KUBECTL_DOCS=write"
    assert used == set(outputs)


def test_the_picture_is_a_recording_of_this_run(outputs: Outputs) -> None:
    """A terminal with the commands of an incident, drawn by Rich."""
    with Path(os.devnull).open("w") as nowhere:
        screen = Console(file=nowhere, record=True, width=WIDTH, highlight=False)
        for name in ("explain-abort", "clear", "doctor-failed"):
            for line in outputs[name].splitlines():
                screen.print(_styled(line))
            screen.print()
        drawn = FONTS.sub("\n", screen.export_svg(title="kubectl dora"))
    if os.environ.get("KUBECTL_DOCS") == "write":
        PICTURE.write_text(drawn, encoding="utf-8")
    assert PICTURE.read_text(encoding="utf-8") == drawn


def _styled(line: str) -> Text:
    """Return a line with the colours of a terminal; the process that printed it had none."""
    text = Text(line, style="bold" if line.startswith("$") else "")
    text.highlight_regex(r"^(ok)\b", "green")
    text.highlight_regex(r"^(warning)\b", "yellow")
    text.highlight_regex(r"^(failed)\b", "bold red")
    text.highlight_regex(r"^  [A-Z][a-z ]+(?=  )", "dim")
    return text
