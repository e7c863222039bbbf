"""The proxy that the environment names for a URL: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, as in other tools.

Read once per connection's opening, not at every request. Networks in NO_PROXY (10.0.0.0/8) count too, as they do for
Kubernetes' own clients: the API server is mostly known by an address.
"""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass


def proxy_for(url: str) -> str | None:
    """Return the proxy's URL, or None where the way is direct."""
    parts = urlsplit(url)
    proxies = getproxies()
    host = parts.hostname or ""
    if proxy_bypass(parts.netloc.rpartition("@")[2]) or _in_a_network(host, proxies.get("no", "")):
        return None
    return proxies.get(parts.scheme) or proxies.get("all")


def _in_a_network(host: str, named: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in map(_network, named.split(",")) if network is not None)


def _network(name: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(name.strip(), strict=False)
    except ValueError:
        return None
