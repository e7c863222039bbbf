"""`python -m sandbox.demo`, better known as `make demo`."""

import signal
import sys
import time
from pathlib import Path

from rich.console import Console

from sandbox.cluster import LocalCluster
from sandbox.datadog import Settings, StandIn
from sandbox.demo.rollouts import metrics_service
from sandbox.demo.stage import Stage
from sandbox.demo.story import play, prepare
from sandbox.programs.cache import SandboxError
from sandbox.running import running_operator

CRDS = Path(__file__).parents[2] / "crds"
WIDTH = 130
READS = {
    "DORA_OPERATOR_READ_BACK": "true",
    "DORA_OPERATOR_READ_BACK_SCHEDULE": "2,15,30,50,3600,86400",
    "DORA_OPERATOR_CREATE_AFTER_SECONDS": "60",
}
"""Reads sooner than usual after a 202, and soon after a missing deployment was created."""


def main() -> int:
    """Play the demo; 1 where something went otherwise than expected."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets background jobs ignore it
    begun = time.monotonic()
    try:
        console.print("Starting a cluster with Argo Rollouts, a stand-in for Datadog and the operator ...")
        with (
            LocalCluster.start(with_rollouts=True) as cluster,
            StandIn(Settings(detection=False)) as datadog,  # what is marked was marked by the operator
            metrics_service(success_rate=0.71) as metrics_url,
        ):
            stage = Stage(console, cluster, datadog)
            cluster.kubectl("apply", "-f", str(CRDS))
            prepare(stage, metrics_url)
            with running_operator(cluster, datadog.url, **READS):
                console.print(f"All of them run after {time.monotonic() - begun:.1f} s.")
                play(stage)
    except SandboxError as error:
        console.print(f"[red]error:[/red] {error}", markup=True)
        return 1
    except KeyboardInterrupt:
        return 130
    console.print(f"\nThe demo took {time.monotonic() - begun:.0f} s; everything that it started is gone.")
    console.print("To try it by hand: [bold]make cluster[/bold]")
    return 0


if __name__ == "__main__":
    sys.exit(main())
