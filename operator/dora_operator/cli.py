"""The command line of the operator: `dora-operator run`. The users' tool is `kubectl dora`, a package of its own."""

import asyncio
import logging
import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from dora_operator.settings import Settings


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dora-operator", message="%(prog)s %(version)s")
def app() -> None:
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
    from dora_operator.health import CannotListenError  # noqa: PLC0415

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


def _settings() -> "Settings":
    from pydantic import ValidationError  # noqa: PLC0415

    from dora_operator.settings import Settings, unknown_variables  # noqa: PLC0415

    problems = unknown_variables(os.environ)
    try:
        settings = Settings()
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):  # an input may be a key
            name = str(next(iter(problem["loc"]), ""))
            variable = name if name.isupper() else f"DORA_OPERATOR_{name.upper()}"  # an alias is a variable already
            words = str(problem["ctx"]["error"]) if problem["type"] == "value_error" else problem["msg"]
            problems.append(f"{variable}: {words}" if name else words)
    else:
        if not problems:
            return settings
    sys.stderr.writelines(f"dora-operator: {problem}\n" for problem in problems)
    sys.exit(2)


def _exit_at_once(_signal: int, _frame: FrameType | None) -> None:
    os._exit(0)  # until the operator handles the signal itself, there is nothing to end in order


if __name__ == "__main__":
    app()
