"""`python -m sandbox.cluster`: the local cluster alone, for trying things by hand."""

import argparse
import signal
import sys
from pathlib import Path

from sandbox.cluster.local import LocalCluster
from sandbox.programs.build import ensure, ensure_manifests
from sandbox.programs.cache import Cache, SandboxError
from sandbox.programs.catalogue import ARGO_CD, CHART_LINTERS, CORE, GITOPS, HELM, MONITORING, ROLLOUTS

CRDS = Path(__file__).parents[2] / "crds"


def main(arguments: list[str]) -> int:
    """Start a cluster and keep it until Ctrl-C or SIGTERM; or only build, or remove what was built."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.cluster", description=__doc__)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--build-only", action="store_true", help="build the programs and start nothing")
    choice.add_argument("--remove-cache", action="store_true", help="remove all programs that were built")
    parser.add_argument("--rollouts", action="store_true", help="with Argo Rollouts, and pods that kwok plays")
    parser.add_argument("--helm", action="store_true", help="with --build-only: Helm and the linters of the chart too")
    parser.add_argument(
        "--gitops", action="store_true", help="with --build-only: the CRDs of Argo CD and Flux, for tests"
    )
    parser.add_argument("--argo-cd", action="store_true", help="with --build-only: Argo CD too, for `make gitops-test`")
    chosen = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # SystemExit runs the clean-up, as Ctrl-C does
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets background jobs ignore it
    try:
        if chosen.remove_cache:
            cache = Cache.default()
            print(f"removed {cache.folder}: {cache.remove() / 2**20:.0f} MiB are free again")
        elif chosen.build_only and chosen.argo_cd:
            ensure([ARGO_CD])
        elif chosen.build_only:
            build(with_rollouts=chosen.rollouts, with_helm=chosen.helm, with_gitops=chosen.gitops)
        else:
            serve(with_rollouts=chosen.rollouts)
    except SandboxError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def build(*, with_rollouts: bool, with_helm: bool, with_gitops: bool) -> None:
    """Build everything that a cluster will need, so that starting one takes seconds."""
    ensure((*CORE, *(ROLLOUTS if with_rollouts else ()), *((HELM, *CHART_LINTERS) if with_helm else ())))
    if with_helm:
        ensure_manifests(MONITORING)
    if with_rollouts:
        ensure_manifests()
    if with_gitops:
        ensure_manifests(GITOPS)


def serve(*, with_rollouts: bool) -> None:
    """Start a cluster, say how to reach it, and wait to be stopped."""
    with LocalCluster.start(with_rollouts=with_rollouts) as cluster:
        cluster.kubectl("apply", "-f", str(CRDS))
        print(
            f"The cluster is ready, with the CRD of DoraDeployment. In another terminal:\n\n"
            f"  export KUBECONFIG={cluster.kubeconfig}\n\n"
            "and then, for example, `kubectl explain dora.spec`. Ctrl-C here ends it and removes everything.",
            flush=True,
        )
        signal.pause()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
