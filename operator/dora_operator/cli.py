"""The command line of the image: `dora-operator run`, `dora-operator probe`, and the commands of `kubectl dora`."""

import asyncio
import logging
import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from dora_operator.kubectl.main import add_commands

if TYPE_CHECKING:
    from dora_operator.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """Report failed and rolled back deployments to Datadog DORA Metrics."""


@app.command()
def run() -> None:
    """Run the operator until SIGTERM. Settings come from the environment; see the reference."""
    signal.signal(signal.SIGTERM, _exit_at_once)  # process 1 of a container gets no signal that it does not handle

    from dora_operator import app as operator  # noqa: PLC0415 - `--help` need not import kopf
    from dora_operator import logs  # noqa: PLC0415
    from dora_operator.clients.datadog import ProxyUnusableError  # noqa: PLC0415
    from dora_operator.clients.leader import LeaseLostError  # noqa: PLC0415
    from dora_operator.clients.login import LoginError  # noqa: PLC0415
    from dora_operator.probes import CannotListenError  # noqa: PLC0415

    settings = _settings()
    logs.configure(settings.log_level, settings.log_format)
    runner, code = asyncio.Runner(), 0
    try:
        runner.run(operator.run(settings))
    except (CannotListenError, LeaseLostError, LoginError, ProxyUnusableError) as error:
        sys.stderr.write(f"dora-operator: {error}\n")
        code = 1
    # Everything has ended in order. Python would wait for threads now, and one in a name lookup cannot be stopped.
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)


@app.command()
def probe(
    service: Annotated[str, typer.Option(help="Service that probes may ask about, and mark with --write.")] = "",
    env: Annotated[str, typer.Option(help="Environment of that service.")] = "",
    send: Annotated[bool, typer.Option("--run", help="Send the reading probes.")] = False,  # noqa: FBT002
    write: Annotated[bool, typer.Option("--write", help="With --run: send the writing ones, too.")] = False,  # noqa: FBT002
    wait_seconds: Annotated[
        float, typer.Option(min=0, help="How long a change may take until Datadog shows it.")
    ] = 900,
) -> None:
    """Print what the operator assumes about Datadog, and the requests that would confirm it; --run sends them."""
    from dora_operator import tenant  # noqa: PLC0415
    from dora_operator.app import utc_now  # noqa: PLC0415
    from dora_operator.domain.assumptions.probe import Scope  # noqa: PLC0415
    from dora_operator.reconcile.credentials import NoKeys, own_keys_of  # noqa: PLC0415

    if write and not send:
        _refuse("--write needs --run: without it nothing is sent")
    if send and not (service and env):
        _refuse("--run needs --service and --env: the probes are about this service and environment alone")
    settings = _settings()
    scope = Scope(service or "SERVICE", env or "ENV", utc_now())
    if not send:
        typer.echo("\n".join(tenant.describe(settings, scope)))
        typer.echo("Nothing was sent. --run --service NAME --env NAME sends the reads, with --write all of them.")
        return
    keys = own_keys_of(settings)()
    if isinstance(keys, NoKeys):
        _refuse(keys.message)
    is_contradicted = asyncio.run(tenant.run(settings, keys, scope, write=write, wait_seconds=wait_seconds))
    raise typer.Exit(1 if is_contradicted else 0)


def _refuse(problem: str) -> NoReturn:
    sys.stderr.write(f"dora-operator: {problem}\n")
    raise typer.Exit(2)


def _settings() -> "Settings":
    from pydantic import ValidationError  # noqa: PLC0415

    from dora_operator.settings import Settings  # noqa: PLC0415

    try:
        return Settings()
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):  # an input may be a key
            name = str(next(iter(problem["loc"]), ""))
            variable = name if name.isupper() else f"DORA_OPERATOR_{name.upper()}"  # an alias is a variable already
            words = str(problem["ctx"]["error"]) if problem["type"] == "value_error" else problem["msg"]
            sys.stderr.write(f"dora-operator: {f'{variable}: ' if name else ''}{words}\n")
        raise typer.Exit(2) from None


def _exit_at_once(_signal: int, _frame: FrameType | None) -> None:
    os._exit(0)  # until the operator handles the signal itself, there is nothing to end in order


add_commands(app, in_image=True)


if __name__ == "__main__":
    app()
