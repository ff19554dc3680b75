"""Finds out whether this machine can make hosts, by making the pieces of one and throwing them away."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from pathlib import Path

from vosctl.errors import VosctlError
from vosctl.fleet.fleet import Fleet
from vosctl.fleet.state import HostSpec

PROGRAMS = {"ip": "iproute2", "nsenter": "util-linux", "sshd": "openssh-server"}


@functools.cache
def missing() -> str:
    """Return why no fleet can be made here, as a sentence for people, or "" where one can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    search = f"{os.defpath}:/usr/local/sbin:/usr/sbin:/sbin"
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None and shutil.which(program, path=search) is None:
            return f"{program} is not installed (Debian package {package})"
    try:
        with (
            tempfile.TemporaryDirectory(prefix="vosctl-probe-") as directory,
            Fleet.up((HostSpec("probe", "10.231.0.1", sshd=False),), Path(directory)) as fleet,
        ):
            fleet.exec("probe", ("true",))
    except (OSError, VosctlError) as error:
        return f"this machine makes no namespaces: {' '.join(str(error).split())}"
    return ""
