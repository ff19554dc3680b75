"""systemd itself reads the units that nodes get and has nothing to say about them."""

from __future__ import annotations

import subprocess

import pytest
from site_samples import two_edges

from vosctl.compile.site import compile_site


@pytest.mark.requires("systemd-analyze", "unshare")
@pytest.mark.root
@pytest.mark.parametrize("unit", ["vosctl-relay.service", "vosctl-firewall.service"])
def test_systemd_accepts_the_unit(tmp_path, unit):
    for file in compile_site(two_edges(), release=None)["edge-a"].files:
        if file.path.startswith("/etc/systemd/system/"):
            path = tmp_path / file.path.removeprefix("/etc/systemd/system/")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(file.content)
    assert (tmp_path / unit).exists()
    # /opt of its own, so that the relay's program exists where the unit says.
    script = """
        mount -t tmpfs none /opt
        mkdir -p /opt/vosctl/current/bin
        printf '#!/bin/sh\\n' > /opt/vosctl/current/bin/vosctl-relay
        chmod 755 /opt/vosctl/current/bin/vosctl-relay
        exec systemd-analyze verify --man=no --recursive-errors=one "$1"
    """
    done = subprocess.run(
        ("unshare", "-m", "sh", "-ec", script, "sh", str(tmp_path / unit)),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if "vosctl" in line]
    assert (done.returncode, said) == (0, []), done.stderr


@pytest.mark.requires("systemd-analyze")
def test_systemd_refuses_a_broken_unit(tmp_path):
    unit = tmp_path / "vosctl-broken.service"
    unit.write_text("[Service]\nExecStart=relative/path\nNoSuchSetting=1\n")
    done = subprocess.run(
        ("systemd-analyze", "verify", "--man=no", str(unit)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
