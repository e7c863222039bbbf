"""Reads the login to the cluster of this process, with the loaders of the package kubernetes."""

import asyncio
import os
from pathlib import Path

from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration

from dora_operator.clients.proxies import proxy_for

LOGIN_SECONDS = 30.0
"""Longest time for reading the login; an exec plugin may ask a server."""
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class LoginError(Exception):
    """There is no usable login to a cluster; the message names the fix."""


async def log_in() -> Configuration:
    """Read the login: the service account inside a cluster, else the kubeconfigs.

    Raises:
        LoginError: there is none, or it cannot be used.
    """
    configuration = Configuration()
    in_cluster = "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ
    await (_from_service_account(configuration) if in_cluster else _from_kubeconfigs(configuration))
    # The package would leave this to aiohttp, which reads the environment and netrc at every request, and takes no
    # networks in NO_PROXY.
    configuration.proxy = configuration.proxy or proxy_for(configuration.host)
    return configuration


async def _from_service_account(configuration: Configuration) -> None:
    try:
        config.load_incluster_config(configuration)
    except (config.ConfigException, OSError) as error:
        message = f"there is no usable service account token: mount one, or set KUBECONFIG ({error})"
        raise LoginError(message) from error


async def _from_kubeconfigs(configuration: Configuration) -> None:
    paths = kubeconfigs()
    names = ", ".join(map(str, paths))
    if not any(path.is_file() for path in paths):
        raise LoginError(f"there is neither a service account nor the kubeconfig {names}: set KUBECONFIG")
    try:
        async with asyncio.timeout(LOGIN_SECONDS):
            await config.load_kube_config(
                os.pathsep.join(map(str, paths)), client_configuration=configuration, persist_config=False
            )
    except Exception as error:  # files written by hand: the package raises whatever their content leads to
        raise LoginError(f"the kubeconfig {names} cannot be used: {type(error).__name__}: {error}") from error
    if configuration.host.startswith("https:") and not (configuration.api_key or configuration.cert_file):
        raise LoginError(f"the kubeconfig {names} gives no credentials: the log says why, if it names an exec plugin")


def kubeconfigs() -> list[Path]:
    """Return the files that KUBECONFIG names; the package would read the variable when it is imported, not now."""
    named = os.environ.get("KUBECONFIG") or "~/.kube/config"
    return [Path(name).expanduser() for name in named.split(os.pathsep) if name.strip()]


def own_namespace() -> str:
    """Return the namespace that this process runs in; outside a cluster, `default`."""
    try:
        return NAMESPACE_FILE.read_text().strip() or "default"
    except OSError:
        return "default"
