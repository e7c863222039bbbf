"""`kubectl dora doctor`: is it set up right? The checks run where the keys are.

By default `kubectl exec` runs `kubectl-dora doctor --local` in the operator's pod: its keys, its network, its
ServiceAccount. With --local they run here, with keys from this environment.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from dora_operator.clients.kubernetes import DEPLOYMENTS
from dora_operator.domain.fields import ObjectKey
from kubectl_dora import output
from kubectl_dora.checks import Check, Status, run_checks
from kubectl_dora.cluster import Cluster, open_cluster
from kubectl_dora.doctor_facts import read_facts
from kubectl_dora.errors import ExitCode, NotFoundError, RefusedError
from kubectl_dora.installation import Installation, Installations, find_installations, own_settings, run_in_pod
from kubectl_dora.options import Options
from kubectl_dora.policy import read_policy
from kubectl_dora.version import client_version

MAX_DETAILS = 20
"""Details shown of one check."""
COMMAND = ("kubectl-dora", "doctor", "--local", "-o", "json")
"""What runs in the pod."""


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
    if options.output in output.DOCUMENTS:
        output.show_document(report, options.output)
    else:
        show(report, wide=options.output is not None)
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
            more = len(check.details) - MAX_DETAILS
            lines += [f"  - {detail}" for detail in check.details[:MAX_DETAILS]]
            lines += [f"  - and {more} more: -o json"] if more > 0 else []
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
    settings = own_settings()
    in_pod = "KUBERNETES_SERVICE_HOST" in os.environ and options.kubeconfig is None and "KUBECONFIG" not in os.environ
    async with open_cluster(options) as cluster:
        facts = await read_facts(cluster, settings, is_own_login=in_pod)
        policy = () if in_pod else await read_policy(cluster, settings)
        where = "in the operator's pod" if in_pod else f"local, context {cluster.context}"
    return Report(where, (*run_checks(facts), *policy))


async def _in_the_pod(options: Options) -> Report:
    async with open_cluster(options) as cluster:
        installations = await find_installations(cluster)
        outside = await _not_watched(cluster, installations.found)
        if installations.found:
            outside += await read_policy(cluster, installations.found[0].settings)
    checks = installation_checks(installations, client_version())
    if any(each.status is Status.FAILED for each in checks):
        return Report("the checks in the pod were not run; --local runs them here", (*checks, *outside))
    installation = installations.found[0]
    found = checks_from(*run_in_pod(options, installation, COMMAND))
    return Report(f"in a pod of Deployment {installation.title}", (*checks, *outside, *found))


def installation_checks(installations: Installations, client: str) -> tuple[Check, ...]:
    """Check the operator's Deployment."""
    name, found = "operator", []
    if not installations.found and installations.problem:
        fix = "ask for the permission to list Deployments in the operator's namespace, name it with -n, or use --local"
        return (Check(name, Status.FAILED, installations.problem, fix),)
    if not installations.found:
        evidence = "no Deployment with app.kubernetes.io/name=dora-operator was found"
        return (Check(name, Status.FAILED, evidence, "install the chart"),)
    if len(installations.found) > 1:
        names = tuple(each.title for each in installations.found)
        fix = "uninstall all but one, or let them watch different namespaces (DORA_OPERATOR_NAMESPACES)"
        found.append(Check(name, Status.WARNING, f"{len(names)} operators: {', '.join(names)}", fix, names))
    chosen = installations.found[0]
    evidence = f"Deployment {chosen.title}: {chosen.ready} of {chosen.replicas} replicas ready"
    if chosen.problem:
        fix = "correct the chart's values; the reference of the settings lists what is allowed"
        found.append(Check(name, Status.FAILED, f"{evidence}; {chosen.problem}", fix))
    elif not chosen.ready:
        fix = f"kubectl -n {chosen.namespace} describe deploy/{chosen.name}; kubectl logs deploy/{chosen.name}"
        found.append(Check(name, Status.FAILED, evidence, fix))
    else:
        found.append(Check(name, Status.OK, evidence))
    return (*found, _version_check(chosen.version, client))


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
        found = await cluster.list(DEPLOYMENTS.path(None), "DoraDeployments")
    except (NotFoundError, RefusedError):
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


def checks_from(printed: str, errors: str) -> tuple[Check, ...]:
    """Read what the command in the pod printed."""
    try:
        return TypeAdapter(Report).validate_json(printed).checks
    except ValidationError:
        return (_exec_failed(" ".join(errors.split()) or "it printed no JSON"),)


def _exec_failed(why: str) -> Check:
    fix = "use a login that may create pods/exec, or run it with --local and the keys in DD_API_KEY and DD_APP_KEY"
    return Check("exec", Status.FAILED, f"the checks could not be run in the operator's pod: {why}", fix)
