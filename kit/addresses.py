"""Addresses of whoever calls: which of the addresses that a request names may be believed.

X-Forwarded-For is written by the client as well as by proxies. Only the part that proxies of the operator's own wrote
counts: from the right, as long as each writer is one of them.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def networks(text: str) -> tuple[Network, ...]:
    """Read networks or single addresses, separated by commas. Raises ValueError that names the wrong one."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def within(address: Address | None, allowed: Sequence[Network]) -> bool:
    """Tell whether an address belongs to one of the networks."""
    return address is not None and any(address in network for network in allowed)


def lies_within(inner: Network, outer: Network) -> bool:
    """Tell whether every address of `inner` belongs to `outer`."""
    if isinstance(inner, IPv4Network):
        return isinstance(outer, IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, IPv6Network) and inner.subnet_of(outer)


def caller(peer: str | None, forwarded: Sequence[str], trusted: Sequence[Network]) -> Address | None:
    """Return who calls: `peer` is the other end of the connection, `forwarded` are the X-Forwarded-For headers.

    None when that cannot be told: no peer, or something that is no address where a trusted proxy must have written one.
    """
    at = _address(peer)
    hops = [hop.strip() for header in forwarded for hop in header.split(",")]
    while within(at, trusted) and hops:
        at = _address(hops.pop())
    return at


def _address(text: str | None) -> Address | None:
    try:
        found = ip_address(text or "")
    except ValueError:
        return None
    # A server that listens on both families sees IPv4 callers so.
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
