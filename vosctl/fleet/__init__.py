"""Throw-away hosts on one Linux machine: network namespaces with their own files, processes and sshd."""

from vosctl.fleet.fleet import Fleet
from vosctl.fleet.probe import missing
from vosctl.fleet.state import HostSpec

__all__ = ["Fleet", "HostSpec", "missing"]
