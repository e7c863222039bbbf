"""The files of a cluster: keys, tokens, audit policy, kubeconfig. Made at run time, in the cluster's own folder."""

import json
import secrets
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

ADMIN = "sandbox-admin"


def write_service_account_key(folder: Path) -> Path:
    """Write the key that signs service account tokens."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path = folder / "service-account.key"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    return path


def write_tokens(folder: Path) -> tuple[Path, str]:
    """Write the token file and return the administrator's token."""
    token = secrets.token_urlsafe(24)
    path = folder / "tokens.csv"
    path.write_text(f'{token},{ADMIN},{ADMIN},"system:masters"\n')
    return path, token


def write_audit_policy(folder: Path) -> Path:
    """Write a policy that records who asked for what, without bodies, and leaves out the server's own requests."""
    policy = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "None", "users": ["system:apiserver"]}, {"level": "Metadata"}],
    }
    path = folder / "audit-policy.json"
    path.write_text(json.dumps(policy))
    return path


def write_kubeconfig(folder: Path, url: str, authority: Path, token: str) -> Path:
    """Write the administrator's kubeconfig."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sandbox", "cluster": {"server": url, "certificate-authority": str(authority)}}],
        "users": [{"name": ADMIN, "user": {"token": token}}],
        "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": ADMIN, "namespace": "default"}}],
        "current-context": "sandbox",
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config, indent=1))
    return path
