"""A real Kubernetes API server with its etcd, for the demo, tests and benchmarks. No container engine, no root.

with LocalCluster.start() as cluster:
    cluster.kubectl("apply", "-f", "crds/")
"""

from sandbox.cluster.local import LocalCluster

__all__ = ["LocalCluster"]
