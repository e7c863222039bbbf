"""The commands of `kubectl dora`: flags, help and examples. The module of a command is imported when it runs."""

import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

import click
from click.shell_completion import get_completion_class

from kubectl_dora import complete, options
from kubectl_dora.errors import CommandError, ExitCode
from kubectl_dora.options import Duration, Name, Options, output_flag

PROGRAM = "kubectl dora"
ISSUES = "https://github.com/dora-operator/dora-operator/issues"


class Command(click.Command):
    """A command with the shared flags in a section of their own."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections of flags."""
        flags = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        for title, is_shared in (("Options", False), ("Global options", True)):
            records = [each.get_help_record(ctx) for each in flags if (each in options.GLOBAL) is is_shared]
            with formatter.section(title):
                formatter.write_dl([record for record in records if record is not None])


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    invoke_without_command=True,
    params=list(options.GLOBAL),
    epilog="Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 cluster, 5 timeout.",
)
@click.version_option(package_name="dora-operator", message="kubectl-dora %(version)s")
@click.pass_context
def app(context: click.Context) -> None:
    """Find out whether the DORA operator is set up right, what happened, why, and what was missed."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def command(
    name: str, runs: str, text: str, examples: Iterable[str], *flags: click.Parameter, hidden: bool = False
) -> None:
    """Add a command: `runs` names a module and its function, which takes Options and the values of the flags."""

    def run(**values: Any) -> int | None:  # noqa: ANN401 - what the flags say
        module, _, function = runs.partition(":")
        chosen = Options.of(click.get_current_context())
        code: int | None = getattr(import_module(f"kubectl_dora.{module}"), function)(chosen, **values)
        return code

    epilog = "\b\nExamples:\n" + "\n".join(f"  {PROGRAM} {example}" for example in examples)
    params = [*flags, *options.GLOBAL]
    app.add_command(Command(name, params=params, callback=run, help=text, epilog=epilog, hidden=hidden))


def _words(completion: complete.Candidates, metavar: str) -> click.Argument:
    return click.Argument(["words"], nargs=-1, metavar=metavar, shell_complete=completion)


def _flag(*names: str, **settings: Any) -> click.Option:  # noqa: ANN401 - handed through
    return click.Option(names, **settings)


# fmt: off
REVISION = _flag("--revision", type=click.IntRange(min=1), metavar="NUMBER", shell_complete=complete.revisions,
                 help="Revision of the Rollout.")
SINCE = _flag("--since", type=Duration(), default="30d", help="How far back: 90m, 12h, 30d.")
LOCAL = _flag("--local", is_flag=True, help="Ask Datadog from here, with DD_API_KEY and DD_APP_KEY, not in the pod.")
DEPLOYMENT = (
    _words(complete.rollouts, "[rollout NAME]"), REVISION,
    _flag("--id", "deployment_id", metavar="ID", help="Id of the deployment in Datadog."),
    _flag("--service", metavar="NAME", help="Datadog service."),
    _flag("--env", metavar="NAME", help="Datadog environment."),
    _flag("--version", metavar="VERSION", help="Version."),
)
WRITING = (
    _flag("--name", type=Name(), help="Name of a new DoraDeployment. Default: made from the deployment."),
    _flag("--dry-run", type=click.Choice(["none", "client", "server"]), default="none",
          help="As kubectl's; client asks no cluster, unless a Rollout is named."),
    _flag("--wait", is_flag=True, help="Follow the resource until Datadog has answered."),
    _flag("--timeout", type=Duration(seconds=True), default="60s", help="For --wait."),
    output_flag("json", "yaml"),
)

command(
    "explain", "explain_view:run", "Explain what the operator decided about a Rollout or a DoraDeployment, and why.",
    ("explain rollout/checkout -n shop", "explain rollout checkout --revision 2", "explain checkout-649c8f8f56"),
    _words(complete.objects, "TYPE NAME"), REVISION, output_flag("json", "yaml"),
)
command(
    "doctor", "doctor:run", "Check whether the operator is set up right; the checks run in its pod, by kubectl exec.",
    ("doctor", "doctor --local -o wide"),
    LOCAL, output_flag("wide", "json", "yaml"),
)
command(
    "mark", "mark:run",
    "Mark a deployment as a change failure, by a DoraDeployment; -o yaml prints it for Git and writes nothing.",
    ("mark rollout/checkout --revision 2 --wait",
     "mark --service checkout --env prod --version 1.5.0 --rolled-back-to 1.4.0",
     "mark --id 4242fcdd31586083 -o yaml --dry-run=client > mark.yaml"),
    *DEPLOYMENT,
    _flag("--failure/--no-failure", default=True, help="Whether it is a change failure."),
    _flag("--rolled-back-to", metavar="LINK", help="VERSION or id:ID that ended the failure."),
    _flag("--rolled-forward-to", metavar="LINK", help="VERSION or id:ID that ended the failure."),
    *WRITING,
)
command(
    "clear", "mark:run_clear", "State that a deployment is no change failure: the same as `mark --no-failure`.",
    ("clear rollout/checkout --revision 2 --wait", "clear --service checkout --env prod --version 1.5.0"),
    *DEPLOYMENT, *WRITING,
)
command(
    "backfill", "backfill_view:run",
    "Find failures that the operator does not report, and the deployment in Datadog that each of them is.",
    ("backfill -n shop", "backfill -A --since 7d --apply"),
    _words(complete.rollouts, "[rollout NAME]"), SINCE,
    _flag("--apply", is_flag=True, help="Create the DoraDeployments that are new."), LOCAL,
    options.ALL_NAMESPACES, output_flag("wide", "json", "yaml"),
)
command(
    "report", "report:run",
    "Compare the histories of the cluster with Datadog, deployment by deployment.",
    ("report -n shop --since 7d", "report -A -o csv"),
    SINCE, LOCAL, options.ALL_NAMESPACES, output_flag("wide", "json", "yaml", "csv"),
)
command(
    "rows", "rows:run", "List deployments of Datadog: what backfill and report run in the pod.", (), hidden=True,
)
command(
    "probe", "probe.run:run",
    "Print what the operator assumes about Datadog, and the requests that would confirm it; --run sends them.",
    ("probe", "probe --run --service checkout --env prod"),
    _flag("--service", default="", help="Service that is asked about, and marked with --write."),
    _flag("--env", default="", help="Environment of that service."),
    _flag("--run", "send", is_flag=True, help="Send the reading probes, with DD_API_KEY and DD_APP_KEY."),
    _flag("--write", is_flag=True, help="With --run: send the writing ones, too."),
    _flag("--wait", type=Duration(seconds=True), default="15m", help="How long Datadog may take to show a change."),
)
command(
    "version", "version:run", "Print the versions of this tool, of the operator and of its CRD.",
    ("version", "version --client"),
    _flag("--client", is_flag=True, help="Do not ask the cluster."), output_flag("json", "yaml"),
)
# fmt: on


@app.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes the program kubectl-dora; kubectl calls kubectl_complete-dora by itself."""
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(app, {}, "kubectl-dora", "_KUBECTL_DORA_COMPLETE").source())


@app.command("help")
@click.argument("name", required=False)
@click.pass_context
def show_help(context: click.Context, name: str | None) -> None:
    """Print the help of the program or of a command."""
    root = context.find_root()
    found = app.resolve_command(root, [name])[1] if name is not None else None
    click.echo(found.get_help(click.Context(found, root, name)) if found is not None else root.get_help())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code. Whatever happens, an error is one line and a fix."""
    try:
        code = app.main(arguments, PROGRAM, "_KUBECTL_DORA_COMPLETE", standalone_mode=False)
        return int(code or ExitCode.OK)
    except CommandError as error:
        return _failed(error.subject, error.cause, error.fix, error.code)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else PROGRAM
        return _failed("usage", error.format_message(), f"see `{where} -h`", ExitCode.USAGE)
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except (KeyboardInterrupt, click.Abort):
        return 130
    except Exception as error:  # noqa: BLE001 - users get no traceback
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}" if trace is not None else "?"
        cause = f"a defect of this program ({type(error).__name__} in {place}: {error})"
        return _failed(PROGRAM, cause, f"report this line: {ISSUES}", ExitCode.FAILED)


def _failed(subject: str, cause: str, fix: str, code: ExitCode) -> int:
    from kubectl_dora import output  # noqa: PLC0415 - Rich is imported only to print

    output.show_error(subject, cause, fix)
    return code


def main() -> None:
    """Run `kubectl dora`."""
    sys.exit(run())
