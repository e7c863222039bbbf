"""The command line of the image: `dora-operator run`, and the commands of `kubectl dora`."""

import asyncio
import logging
import os
import signal
import sys
from types import FrameType

import typer

from dora_operator.kubectl.main import add_commands

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """Report failed and rolled back deployments to Datadog DORA Metrics."""


@app.command()
def run() -> None:
    """Run the operator until SIGTERM. Settings come from the environment; see the reference."""
    signal.signal(signal.SIGTERM, _exit_at_once)  # process 1 of a container gets no signal that it does not handle
    from pydantic import ValidationError  # noqa: PLC0415

    from dora_operator import app as operator  # noqa: PLC0415 - `--help` need not import kopf
    from dora_operator import logs  # noqa: PLC0415
    from dora_operator.clients.leader import LeaseLostError  # noqa: PLC0415
    from dora_operator.clients.login import LoginError  # noqa: PLC0415
    from dora_operator.probes import CannotListenError  # noqa: PLC0415
    from dora_operator.settings import Settings  # noqa: PLC0415
    from dora_operator.tracing import CannotTraceError  # noqa: PLC0415

    try:
        settings = Settings()
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):  # an input may be a key
            name = ".".join(str(part) for part in problem["loc"])
            which = f"the setting {name} is invalid" if name else "the settings contradict each other"
            sys.stderr.write(f"dora-operator: {which}: {problem['msg']}\n")
        raise typer.Exit(2) from None
    logs.configure(settings.log_level, settings.log_format)
    runner, code = asyncio.Runner(), 0
    try:
        runner.run(operator.run(settings))
    except (CannotListenError, CannotTraceError, LeaseLostError, LoginError) as error:
        sys.stderr.write(f"dora-operator: {error}\n")
        code = 1
    # Everything has ended in order. Python would wait for threads now, and one that looks up a name cannot be stopped.
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)


def _exit_at_once(_signal: int, _frame: FrameType | None) -> None:
    os._exit(0)  # until the operator handles the signal itself, there is nothing to end in order


add_commands(app, in_image=True)


if __name__ == "__main__":
    app()
