"""How this process reaches its cluster: the service account inside one, else a kubeconfig.

kopf reads both; a kubeconfig that needs more than it can read goes to the official client.
"""

import os
from dataclasses import replace
from pathlib import Path

import kopf
import yaml

from dora_operator.adapters.kubernetes_api import CannotLogInError, Login

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
RENEW_SECONDS = 60.0
"""How often the service account's token is read again: the kubelet replaces it before it expires."""
BEYOND_KOPF = frozenset({"exec", "auth-provider", "tls-server-name"})
"""What kopf's reader of kubeconfigs passes over in silence."""

FILES = frozenset({"certificate-authority", "client-certificate", "client-key"})


async def log_in() -> Login:
    """Read the login anew.

    Raises:
        CannotLogInError: there is none, or it cannot be used.
    """
    if "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ:
        return _service_account()
    kubeconfigs = _kubeconfigs()
    if not _plain(kubeconfigs):
        from dora_operator.adapters.kubernetes_login import log_in_by_client  # noqa: PLC0415 - slow to import

        return await log_in_by_client(kubeconfigs)
    try:
        found = kopf.login_with_kubeconfig(settings=kopf.OperatorSettings())
        if found is None:
            raise CannotLogInError("there is neither a service account nor a kubeconfig: set KUBECONFIG")
        return _login(found)
    except (KeyError, ValueError, OSError, kopf.LoginError) as error:
        names = ", ".join(map(str, kubeconfigs))
        raise CannotLogInError(f"the kubeconfig {names} cannot be used: {type(error).__name__}: {error}") from error


def _service_account() -> Login:
    found = kopf.login_with_service_account(settings=kopf.OperatorSettings())
    if found is None:
        raise CannotLogInError("there is no service account token: mount one, or set KUBECONFIG")
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"  # works without DNS, as client-go
    return replace(_login(replace(found, server=server)), renew_seconds=RENEW_SECONDS)


def _login(found: kopf.ConnectionInfo) -> Login:
    return Login(found.server, found.as_http_headers(), found.as_ssl_context(), proxy=found.proxy_url)


def _kubeconfigs() -> list[Path]:
    named = os.environ.get("KUBECONFIG") or "~/.kube/config"
    return [Path(name).expanduser() for name in named.split(os.pathsep) if name.strip()]


def _plain(kubeconfigs: list[Path]) -> bool:
    try:
        return _is_plain(kubeconfigs)
    except (yaml.YAMLError, AttributeError, OSError) as error:
        names = ", ".join(map(str, kubeconfigs))
        raise CannotLogInError(f"the kubeconfig {names} cannot be read: {error}") from error


def _is_plain(kubeconfigs: list[Path]) -> bool:
    """Tell whether kopf understands all of it: no plugins, and no files named relative to the kubeconfig."""
    for path in kubeconfigs:
        config = yaml.safe_load(path.read_text()) if path.is_file() else None
        for kind in ("clusters", "users"):
            for item in (config or {}).get(kind) or ():
                parts = item.get(kind.removesuffix("s")) or {}
                relative = any(name in parts and not str(parts[name]).startswith("/") for name in FILES)
                if relative or not BEYOND_KOPF.isdisjoint(parts):
                    return False
    return True


def own_namespace() -> str:
    """Return the namespace that this process runs in; outside a cluster, `default`."""
    try:
        return NAMESPACE_FILE.read_text().strip() or "default"
    except OSError:
        return "default"
