"""`python -m sandbox.datadog --port N`: the stand-in as a process, until it is interrupted or told to stop.

Prints one line with its URL once it listens. Translates options to settings and does nothing else.
"""

import argparse
import asyncio
import signal
import time
from collections.abc import Sequence

from sandbox.datadog.server import Server
from sandbox.datadog.settings import RateLimit, Settings, UnknownDeployment

_DEFAULT = Settings()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox.datadog", description="Stand-in for Datadog's DORA API")
    add = parser.add_argument
    add("--host", default=_DEFAULT.host)
    add("--port", type=int, default=0, help="0 (default) takes a free one and prints it")
    add("--api-key", action="append", default=[], help="accept only these (repeatable); default: any that is not empty")
    add("--app-key", action="append", default=[], help="accept only these (repeatable); default: any that is not empty")
    add("--rate-limit", type=int, default=_DEFAULT.rate_limit.limit, metavar="N", help="requests per period and key")
    add("--rate-period", type=int, default=_DEFAULT.rate_limit.period, metavar="SECONDS")
    add("--latency", type=float, default=0, metavar="MS", help="milliseconds before every answer")
    add("--ingest-delay", type=float, default=0, metavar="SECONDS", help="until a posted deployment can be seen")
    add("--patch-delay", type=float, default=0, metavar="SECONDS", help="until an accepted mark is applied")
    add("--evaluation-delay", type=float, metavar="SECONDS", help="until change_failure turns from null to false")
    add("--unknown-deployment", choices=[choice.value for choice in UnknownDeployment], default="accept")
    add(
        "--body-by-version",
        action="store_true",
        help='answer the PATCH by version with {"data":null}, not an empty body',
    )
    return parser


def settings_from(arguments: Sequence[str] | None = None) -> Settings:
    """Return the settings that a command line asks for."""
    given = _parser().parse_args(arguments)
    return Settings(
        host=given.host,
        port=given.port,
        api_keys=frozenset(given.api_key),
        application_keys=frozenset(given.app_key),
        rate_limit=RateLimit(limit=given.rate_limit, period=given.rate_period),
        latency=given.latency / 1000,
        ingest_delay=given.ingest_delay,
        patch_delay=given.patch_delay,
        evaluation_delay=given.evaluation_delay,
        empty_body_by_version=not given.body_by_version,
        unknown_deployment=UnknownDeployment(given.unknown_deployment),
    )


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = Server(settings, time.time)
    url = await server.start()
    print(f"Datadog stand-in listening on {url}", flush=True)
    await stop.wait()
    await server.stop()


if __name__ == "__main__":
    asyncio.run(_serve(settings_from()))
