"""What watches the packet filter: thresholds from YAML, a secret webhook, units that systemd takes."""

from __future__ import annotations

import json
import subprocess

import pytest

from vosctl.compile.site import compile_site
from vosctl.site.read import SiteOptions, read_site

BASE = "demo: true\nfirewall:\n  admin: [198.51.100.5]\n  management: {ssh: [22]}\n"
UNITS = ("vosctl-firewall-watch.service", "vosctl-firewall-watch.timer")


def compiled(folder, more):
    (folder / "group_vars").mkdir()
    (folder / "hosts.yml").write_text("all:\n  hosts:\n    edge: {host: 192.0.2.1}\n")
    (folder / "group_vars/all.yml").write_text(BASE + more)
    site, problems = read_site(SiteOptions(inventory=(folder / "hosts.yml",)))
    problems.raise_errors()
    files = compile_site(site, release=None)["edge"].files
    return {file.path: file for file in files if "firewall-watch" in file.path or "watch.json" in file.path}


def test_nothing_is_installed_where_nobody_watches(tmp_path):
    assert compiled(tmp_path, "") == {}


def test_metrics_alone_raise_no_alert(tmp_path):
    files = compiled(tmp_path, "  metrics: {textfile: /var/lib/m/f.prom}\n")
    config = json.loads(files["/etc/vosctl/firewall/watch.json"].content)
    assert config == {
        "node": "edge", "textfile": "/var/lib/m/f.prom", "conntrack": 0.0, "drops": 0.0, "bans": 0.0, "webhook": "",
    }  # fmt: skip
    assert not files["/etc/vosctl/firewall/watch.json"].secret


def test_alerts_have_thresholds_and_a_secret_webhook(tmp_path):
    files = compiled(
        tmp_path, "  alerts: {drops: 50, interval: 2m, webhook: 'https://chat.example/hook/T0ken'}\n"
    )
    config = files["/etc/vosctl/firewall/watch.json"]
    told = json.loads(config.content)
    assert (told["conntrack"], told["drops"], told["bans"]) == (80.0, 50.0, 90.0)
    assert told["webhook"] == "https://chat.example/hook/T0ken"
    assert (config.secret, config.mode) == (True, 0o600)
    assert not any(b"T0ken" in file.content for path, file in files.items() if not path.endswith(".json"))
    assert b"OnUnitActiveSec=120\n" in files["/etc/systemd/system/vosctl-firewall-watch.timer"].content


@pytest.mark.requires("systemd-analyze")
def test_systemd_accepts_the_units(tmp_path):
    files = compiled(tmp_path, "  alerts: {}\n")
    units = []
    for name in UNITS:
        units.append(tmp_path / name)
        units[-1].write_bytes(files[f"/etc/systemd/system/{name}"].content)
    done = subprocess.run(
        ("systemd-analyze", "verify", "--man=no", "--recursive-errors=one", *map(str, units)),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if "vosctl" in line]
    assert (done.returncode, said) == (0, []), done.stderr
    assert b"Wants=vosctl-firewall-watch.timer\n" in files["/etc/systemd/system/timers.target.d/50-vosctl-firewall-watch.conf"].content  # fmt: skip
