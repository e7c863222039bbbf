"""`kubectl dora doctor`: is it set up right? The checks run where the keys are.

By default `kubectl exec` runs `dora-operator doctor` in the operator's pod: its keys, its network, its ServiceAccount.
With --local they run here, with keys from this environment.
"""

import asyncio
import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import ValidationError

from dora_operator.domain.fields import ObjectKey
from dora_operator.kubectl import output
from dora_operator.kubectl.checks import run_checks
from dora_operator.kubectl.cluster import Cluster, open_cluster
from dora_operator.kubectl.doctor_facts import read_facts
from dora_operator.kubectl.errors import CommandError, ExitCode, UsageError
from dora_operator.kubectl.findings import AccountFacts, Check, Service, Status, read_check
from dora_operator.kubectl.gather import DEPLOYMENTS
from dora_operator.kubectl.installation import Installation, find_installations
from dora_operator.kubectl.options import Format, Options
from dora_operator.kubectl.policy import read_policy
from dora_operator.kubectl.version import client_version
from dora_operator.settings import Settings

EXEC_SECONDS = 60.0
MANY = 20
"""Details shown of one check."""


@dataclass(frozen=True, slots=True)
class Report:
    """What doctor found, and where it ran."""

    where: str
    checks: tuple[Check, ...]

    @property
    def failed(self) -> bool:
        """Whether a check failed."""
        return any(each.status is Status.FAILED for each in self.checks)


def run(options: Options, *, local: bool) -> int:
    """Check, and print the findings. The exit code is 1 where one failed."""
    report = asyncio.run(report_here(options) if local else _in_the_pod(options))
    if options.output in {Format.JSON, Format.YAML}:
        output.show_document(report, options.output or Format.JSON)
    else:
        show(report, wide=options.output is Format.WIDE)
    return ExitCode.FAILED if report.failed else ExitCode.OK


def show(report: Report, *, wide: bool) -> None:
    """Print the findings for people."""
    screen = output.console()
    rows = [(output.cell(each.status.value, each.status.value), each.name, each.evidence) for each in report.checks]
    output.show_table(("Status", "Check", "Evidence"), rows, screen)
    for check in report.checks:
        if check.status is Status.OK and not (wide and check.details):
            continue
        lines = ["", f"{check.name}: {check.evidence}"]
        lines += [f"  fix: {check.fix}"] if check.fix and check.status is not Status.OK else []
        if wide:
            lines += [f"  - {detail}" for detail in check.details[:MANY]]
            lines += [f"  - and {len(check.details) - MANY} more: -o json"] if len(check.details) > MANY else []
        elif check.details:
            lines.append(f"  -o wide names what is meant ({len(check.details)})")
        output.show_lines(lines, screen)
    counts = Counter(each.status for each in report.checks)
    summary = ", ".join(f"{counts[status]} {status.value}" for status in Status)
    output.show_lines(["", f"{summary} ({report.where})"], screen)


async def report_here(options: Options) -> Report:
    """Run the checks in this process.

    Raises:
        CommandError: the settings are invalid, or the cluster cannot be reached.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part) for part in found["loc"])
        fix = "correct the environment; docs/reference/settings.md lists the settings"
        raise CommandError(f"setting {name}", found["msg"], fix) from None
    in_pod = "KUBERNETES_SERVICE_HOST" in os.environ and options.kubeconfig is None and "KUBECONFIG" not in os.environ

    async def read_account(settings: Settings, services: Sequence[Service]) -> AccountFacts:
        from dora_operator.kubectl import datadog_facts  # noqa: PLC0415 - imports httpx

        return await datadog_facts.read_account(settings, services, _now)

    async with open_cluster(options) as cluster:
        facts = await read_facts(cluster, settings, _now, read_account, is_own_login=in_pod)
        policy = () if in_pod else await read_policy(cluster, settings)
        where = "in the operator's pod" if in_pod else f"local, context {cluster.context}"
    return Report(where, (*run_checks(facts), *policy))


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the clock of this command


async def _in_the_pod(options: Options) -> Report:
    async with open_cluster(options) as cluster:
        installations = await find_installations(cluster)
        outside = await _not_watched(cluster, installations)
        if installations:
            outside += await read_policy(cluster, installations[0].settings)
    checks = installation_checks(installations, client_version())
    if any(each.status is Status.FAILED for each in checks):
        return Report("the checks in the pod were not run; --local runs them here", (*checks, *outside))
    installation = installations[0]
    found = _exec(options, installation)
    return Report(f"in a pod of Deployment {installation.title}", (*checks, *outside, *found))


def installation_checks(installations: Sequence[Installation], client: str) -> tuple[Check, ...]:
    """Check the operator's Deployment."""
    name = "operator"
    if not installations:
        fix = "install the chart; if it is installed, use a login that may list Deployments, or --local"
        return (Check(name, Status.FAILED, "no Deployment with app.kubernetes.io/name=dora-operator was found", fix),)
    if len(installations) > 1:
        names = tuple(each.title for each in installations)
        fix = "uninstall all but one, or let them watch different namespaces (DORA_OPERATOR_NAMESPACES)"
        found = [Check(name, Status.WARNING, f"{len(names)} operators: {', '.join(names)}", fix, names)]
    else:
        found = []
    chosen = installations[0]
    evidence = f"Deployment {chosen.title}: {chosen.ready} of {chosen.replicas} replicas ready"
    if chosen.problem:
        fix = "correct the chart's values; docs/reference/settings.md lists the settings"
        found.append(Check(name, Status.FAILED, f"{evidence}; {chosen.problem}", fix))
    elif not chosen.ready:
        fix = f"kubectl -n {chosen.namespace} describe deploy/{chosen.name}; kubectl logs deploy/{chosen.name}"
        found.append(Check(name, Status.FAILED, evidence, fix))
    else:
        found.append(Check(name, Status.OK, evidence))
    found.append(_version_check(chosen.version, client))
    return tuple(found)


def _version_check(operator: str, client: str) -> Check:
    evidence = f"operator {operator}, kubectl-dora {client}"
    if operator.removeprefix("v").partition("-")[0] == client.partition("+")[0]:
        return Check("version", Status.OK, evidence)
    fix = "install the kubectl-dora of the operator's version"
    return Check("version", Status.WARNING, f"{evidence}: they differ", fix)


async def _not_watched(cluster: Cluster, installations: Sequence[Installation]) -> tuple[Check, ...]:
    """Find DoraDeployments where no operator sees them: they would wait for ever without a word."""
    watched = {name for each in installations for name in each.settings.namespaces}
    if not installations or any(not each.settings.namespaces for each in installations):
        return ()
    try:
        found = await cluster.list(f"{DEPLOYMENTS}/doradeployments", "DoraDeployments")
    except CommandError:
        return ()
    keys = [ObjectKey(each["metadata"]["namespace"], each["metadata"]["name"]) for each in found]
    return (outside_check([key for key in keys if key.namespace not in watched], watched),)


def outside_check(outside: Sequence[ObjectKey], watched: set[str]) -> Check:
    """Report the DoraDeployments outside the watched namespaces."""
    name = "not watched"
    if not outside:
        return Check(name, Status.OK, "all DoraDeployments are in watched namespaces")
    namespaces = sorted({key.namespace for key in outside})
    evidence = f"{len(outside)} DoraDeployments are in namespaces that no operator watches: {', '.join(namespaces)}"
    fix = f"add them to DORA_OPERATOR_NAMESPACES (now {', '.join(sorted(watched))})"
    return Check(name, Status.FAILED, evidence, fix, tuple(map(str, outside)))


def _exec(options: Options, installation: Installation) -> tuple[Check, ...]:
    """Run the checks in the operator's pod."""
    program = shutil.which("kubectl")
    if program is None:
        cause = "it is not on PATH, and the checks run by `kubectl exec`"
        raise UsageError("kubectl", cause, "install it, or use --local")
    flags = ["--context", options.context] if options.context else []
    flags += ["--kubeconfig", str(options.kubeconfig)] if options.kubeconfig else []
    target = ["-n", installation.namespace, f"deploy/{installation.name}", "-c", "operator"]
    words = [program, "exec", *flags, *target, "--", "dora-operator", "doctor", "-o", "json"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=EXEC_SECONDS, check=False)  # noqa: S603 - kubectl
    except subprocess.TimeoutExpired:
        return (_exec_failed(f"no end after {EXEC_SECONDS:.0f} s"),)
    return checks_from(done.stdout, done.stderr)


def checks_from(printed: str, errors: str) -> tuple[Check, ...]:
    """Read what `dora-operator doctor -o json` printed."""
    try:
        document: Mapping[str, list[Mapping[str, object]]] = json.loads(printed)
        return tuple(read_check(each) for each in document["checks"])
    except (ValueError, KeyError, TypeError):
        return (_exec_failed(" ".join(errors.split()) or "it printed no JSON"),)


def _exec_failed(why: str) -> Check:
    fix = "use a login that may create pods/exec, or run it with --local and the keys in DD_API_KEY and DD_APP_KEY"
    return Check("exec", Status.FAILED, f"the checks could not be run in the operator's pod: {why}", fix)
