"""How many connections a node tracks, and how many packets of strangers fit beside those of its peers."""

from __future__ import annotations

from vosctl.site.model import Node

CONNECTIONS_KEY = "net.netfilter.nf_conntrack_max"
UDP_TIMEOUT = 30  # seconds that a flow without an answer is remembered
FLOWS_PER_CALL = 8
FEWEST_CONNECTIONS = 1 << 20

_SHARE = 2  # strangers get half of the table


def tracked_connections(node: Node) -> int:
    """Return how many connections the node's kernel may track: the site's own number, or one sized by its calls."""
    own = node.sysctl.get(CONNECTIONS_KEY, "")
    if own.isdecimal():
        return int(own)
    return max(FEWEST_CONNECTIONS, 1 << max(node.media.calls * FLOWS_PER_CALL - 1, 0).bit_length())


def strangers_a_second(connections: int) -> int:
    """Return how many packets a second of strangers fill no more than half of so many tracked connections."""
    return max(1, connections // _SHARE // UDP_TIMEOUT)
