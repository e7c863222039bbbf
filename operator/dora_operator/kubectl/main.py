"""The Typer app of `kubectl dora`. Commands import their modules when they run, so that each starts quickly."""

from typing import Annotated

import typer

from dora_operator.kubectl.options import Format, Options, command

app = typer.Typer(
    name="kubectl dora",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Find out whether the DORA operator is set up right, what happened, why, and what was missed.",
    epilog="Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 cluster, 5 timeout.",
)


def add_commands(target: typer.Typer) -> None:
    """Add every command of `kubectl dora` to an app."""

    @command(target, "version", Format.JSON, Format.YAML, without=("namespace", "all_namespaces"))
    def version(
        options: Options,
        *,
        client: Annotated[bool, typer.Option("--client", help="Do not ask the cluster.")] = False,
    ) -> int:
        """Print the versions of this tool, of the operator and of its CRD."""
        from dora_operator.kubectl import version as implementation  # noqa: PLC0415 - starts quickly

        return implementation.run(options, client=client)

    @command(target, "explain", Format.JSON, Format.YAML, without=("all_namespaces",))
    def explain(
        options: Options,
        name: Annotated[str, typer.Argument(help="rollout/NAME, or the name of a DoraDeployment.")],
        revision: Annotated[int | None, typer.Option(help="Only this revision of the Rollout.")] = None,
    ) -> int:
        """Explain what the operator decided about a Rollout or a DoraDeployment, and why."""
        from dora_operator.kubectl import explain_view as implementation  # noqa: PLC0415 - starts quickly

        return implementation.run(options, name, revision)


@app.callback()
def _root() -> None:
    """Make `version` a command even while it is the only one."""


add_commands(app)


def main() -> None:
    """Run `kubectl dora`."""
    app(prog_name="kubectl dora")
