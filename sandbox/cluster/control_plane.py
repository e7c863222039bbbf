"""How etcd and kube-apiserver are called, and asked whether they are there. Starts nothing."""

import ssl
import urllib.request
from pathlib import Path

from sandbox import loopback
from sandbox.cluster import files


def etcd_command(program: Path, folder: Path, endpoint: str, peer_port: int) -> tuple[str, ...]:
    """Return the command of an etcd with its data in the folder."""
    return (
        str(program),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={endpoint}",
        f"--advertise-client-urls={endpoint}",
        f"--listen-peer-urls=http://127.0.0.1:{peer_port}",
        "--unsafe-no-fsync",  # nothing here has to outlive a power cut
        "--log-level=warn",
    )


def api_server_command(program: Path, folder: Path, etcd: str, port: int, tokens: Path) -> tuple[str, ...]:
    """Return the command of an API server, after writing the files that it reads into the folder."""
    key = files.write_service_account_key(folder)
    return (
        str(program),
        f"--etcd-servers={etcd}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={folder / 'certificates'}",
        "--authorization-mode=RBAC",
        f"--token-auth-file={tokens}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--disable-admission-plugins=ServiceAccount",  # no token controller runs here
        f"--audit-policy-file={files.write_audit_policy(folder)}",
        f"--audit-log-path={folder / 'audit.log'}",
    )


def answers(url: str, certificate: Path, token: str) -> bool:
    """Return whether an API server says that it is ready."""
    if not certificate.exists():
        return False
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        context = ssl.create_default_context(cafile=str(certificate))
    except (OSError, ValueError):
        return False
    return loopback.is_well(request, tls=context)
