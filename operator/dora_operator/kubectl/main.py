"""The Typer app of `kubectl dora`. Commands import their modules when they run, so that each starts quickly."""

from collections.abc import Callable
from typing import Annotated

import typer

from dora_operator.kubectl.options import COMMANDS, DryRun, Format, Options, command, parse_duration

HELP = "Find out whether the DORA operator is set up right, what happened, why, and what was missed."
EPILOG = "Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 cluster, 5 timeout."


@command("version", Format.JSON, Format.YAML, without=("namespace", "all_namespaces"))
def version(
    options: Options,
    *,
    client: Annotated[bool, typer.Option("--client", help="Do not ask the cluster.")] = False,
) -> int:
    """Print the versions of this tool, of the operator and of its CRD."""
    from dora_operator.kubectl import version as implementation  # noqa: PLC0415 - starts quickly

    return implementation.run(options, client=client)


@command("explain", Format.JSON, Format.YAML, without=("all_namespaces",))
def explain(
    options: Options,
    name: Annotated[str, typer.Argument(help="rollout/NAME, or the name of a DoraDeployment.")],
    revision: Annotated[int | None, typer.Option(help="Only this revision of the Rollout.")] = None,
) -> int:
    """Explain what the operator decided about a Rollout or a DoraDeployment, and why."""
    from dora_operator.kubectl import explain_view as implementation  # noqa: PLC0415 - starts quickly

    return implementation.run(options, name, revision)


@command("doctor", Format.WIDE, Format.JSON, Format.YAML, without=("all_namespaces",))
def doctor(
    options: Options,
    *,
    local: Annotated[bool, typer.Option("--local", help="Run here, with DD_API_KEY and DD_APP_KEY.")] = False,
) -> int:
    """Check whether the operator is set up right; the checks run in its pod, by kubectl exec."""
    from dora_operator.kubectl import doctor as implementation  # noqa: PLC0415 - starts quickly

    return implementation.run(options, local=local)


IN_IMAGE: list[tuple[str, Callable[..., None]]] = []
"""Commands that `dora-operator` has instead of those of the same name."""


@command("doctor", Format.WIDE, Format.JSON, Format.YAML, without=("all_namespaces",), among=IN_IMAGE)
def doctor_here(options: Options) -> int:
    """Check whether the operator is set up right, with the keys and the ServiceAccount of this process."""
    from dora_operator.kubectl import doctor as implementation  # noqa: PLC0415 - starts quickly

    return implementation.run(options, local=True)


_Rollout = Annotated[str | None, typer.Argument(metavar="[rollout/NAME]", help="A Rollout: its newest revision.")]
_Revision = Annotated[int | None, typer.Option(help="Another revision of the Rollout.")]
_Id = Annotated[str | None, typer.Option("--id", help="Id of the deployment in Datadog.")]
_Service = Annotated[str | None, typer.Option(help="Datadog service.")]
_Env = Annotated[str | None, typer.Option(help="Datadog environment.")]
_Version = Annotated[str | None, typer.Option(help="Version.")]
_Link = Annotated[str | None, typer.Option(help="VERSION or id:ID that ended the failure.")]
_Name = Annotated[str | None, typer.Option(help="Name of a new DoraDeployment. Default: made from the deployment.")]
_DryRun = Annotated[DryRun, typer.Option(help="As kubectl's.")]
_Wait = Annotated[bool, typer.Option("--wait", help="Follow the resource until Datadog has answered.")]
_Timeout = Annotated[int, typer.Option(min=1, max=86_400, help="Seconds for --wait.")]


@command("mark", Format.JSON, Format.YAML, without=("all_namespaces",))
def mark(  # noqa: PLR0913 - flags
    options: Options,
    *,
    rollout: _Rollout = None,
    revision: _Revision = None,
    deployment_id: _Id = None,
    service: _Service = None,
    env: _Env = None,
    version: _Version = None,
    failure: Annotated[bool, typer.Option("--failure/--no-failure", help="Whether it is a change failure.")] = True,
    rolled_back_to: _Link = None,
    rolled_forward_to: _Link = None,
    name: _Name = None,
    dry_run: _DryRun = DryRun.NONE,
    wait: _Wait = False,
    timeout: _Timeout = 60,
) -> int:
    """Mark a deployment as a change failure, by a DoraDeployment; -o yaml prints it for Git and writes nothing."""
    from dora_operator.kubectl import mark as implementation  # noqa: PLC0415 - starts quickly

    deployment = implementation.DeploymentFlags(rollout, revision, deployment_id, service, env, version)
    mark = implementation.MarkFlags(failure, rolled_back_to, rolled_forward_to)
    writing = implementation.WriteFlags(name, dry_run, timeout if wait else None)
    return implementation.run(options, deployment, mark, writing)


@command("clear", Format.JSON, Format.YAML, without=("all_namespaces",))
def clear(  # noqa: PLR0913 - flags
    options: Options,
    *,
    rollout: _Rollout = None,
    revision: _Revision = None,
    deployment_id: _Id = None,
    service: _Service = None,
    env: _Env = None,
    version: _Version = None,
    name: _Name = None,
    dry_run: _DryRun = DryRun.NONE,
    wait: _Wait = False,
    timeout: _Timeout = 60,
) -> int:
    """Say that a deployment is no change failure: the same as `mark --no-failure`."""
    from dora_operator.kubectl import mark as implementation  # noqa: PLC0415 - starts quickly

    deployment = implementation.DeploymentFlags(rollout, revision, deployment_id, service, env, version)
    writing = implementation.WriteFlags(name, dry_run, timeout if wait else None)
    return implementation.run(options, deployment, implementation.MarkFlags(failure=False), writing)


_Since = Annotated[str, typer.Option(help="How far back: 90m, 12h, 30d.")]


@command("backfill", Format.WIDE, Format.JSON, Format.YAML)
def backfill(
    options: Options,
    rollout: Annotated[str | None, typer.Argument(metavar="[rollout/NAME]", help="Only this Rollout.")] = None,
    *,
    since: _Since = "30d",
    apply: Annotated[bool, typer.Option("--apply", help="Create the DoraDeployments that are new.")] = False,
) -> int:
    """Find what failed before the operator was installed, as far as the cluster still shows it."""
    from dora_operator.kubectl import backfill_view as implementation  # noqa: PLC0415 - starts quickly

    return implementation.run(options, rollout, parse_duration("--since", since), apply=apply)


@command("report", Format.WIDE, Format.JSON, Format.YAML, Format.CSV)
def report(options: Options, *, since: _Since = "30d") -> int:
    """Count deployments, failures and recoveries by service and env, from what is in the cluster."""
    from dora_operator.kubectl import report_view as implementation  # noqa: PLC0415 - starts quickly

    return implementation.run(options, parse_duration("--since", since))


def add_commands(app: typer.Typer, *, in_image: bool = False) -> None:
    """Add the commands to an app: to that of kubectl's plugin, or to that of the operator's image."""
    for name, run in (dict(COMMANDS) | (dict(IN_IMAGE) if in_image else {})).items():
        app.command(name)(run)


app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=HELP, epilog=EPILOG)
add_commands(app)


def main() -> None:
    """Run `kubectl dora`."""
    app(prog_name="kubectl dora")
