"""Paths of the Kubernetes API, as far as metrics and traces name them."""


def resource_of(path: str) -> str:
    """Return the resource that a path of the API is about, without any name: `secrets`, `doradeployments/status`."""
    parts = path.split("/")
    parts = parts[3:] if parts[1] == "api" else parts[4:]
    namespaced = parts[0] == "namespaces" and len(parts) > 2  # noqa: PLR2004 - namespaces, the namespace, the resource
    resource, *rest = parts[2:] if namespaced else parts
    return f"{resource}/{rest[1]}" if len(rest) > 1 else resource
