"""Packages by dnf: the real dnf and rpm, on a host without apt and dpkg, from a repository of packages made for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from agent_client import Machine, Wanted

pytestmark = [pytest.mark.netns, pytest.mark.requires("dnf", "rpm", "rpmbuild", "createrepo_c")]

# What Debian's name stands for has another name here, and says so, as Fedora's conntrack-tools does.
SPECS = {
    "vosctl-probe": "Requires: vosctl-probe-libs",
    "vosctl-probe-libs": "",
    "vosctl-tools": "Provides: vosctl-old-name = 1.0-1",
}
SPEC = """Name: {name}
Version: 1.0
Release: 1
Summary: A package for a test
License: MIT
BuildArch: noarch
{more}
%description
A package for a test.
%files
/opt/{name}
%install
mkdir -p %{{buildroot}}/opt
echo {name} >%{{buildroot}}/opt/{name}
"""
HIDE = """
mv /usr/bin/apt-get /usr/bin/apt-get.away
mv /var/lib/dpkg/status /var/lib/dpkg/status.away
mkdir -p /etc/yum.repos.d /var/rpms
printf '[vosctl]\\nname=vosctl\\nbaseurl=file:///var/rpms\\ngpgcheck=0\\n' >/etc/yum.repos.d/vosctl.repo
"""
SHOW = """
rpm -qa 'vosctl-*' | xargs -r rpm -e
mv /usr/bin/apt-get.away /usr/bin/apt-get
mv /var/lib/dpkg/status.away /var/lib/dpkg/status
rm -rf /etc/yum.repos.d/vosctl.repo /var/rpms
"""


@pytest.fixture
def node(nft: Machine) -> Iterator[Machine]:
    """A host that has dnf and neither apt-get nor dpkg's list."""
    nft.run(HIDE)
    try:
        for name, more in SPECS.items():
            nft.path(f"/var/rpms/{name}.spec").write_text(SPEC.format(name=name, more=more))
        nft.run(
            "cd /var/rpms; for each in *.spec; do rpmbuild --quiet --define '_rpmdir /var/rpms' "
            "--define '_topdir /var/rpms/top' -bb $each; done; createrepo_c -q ."
        )
        yield nft
    finally:
        nft.run(SHOW, check=False)


def wish(*names: str) -> Wanted:
    found = Wanted().file("/etc/voice/a", b"1")
    found.packages.extend(names)
    return found


def test_packages_come_by_dnf_with_what_they_need(node: Machine) -> None:
    facts = node.ask("facts")["facts"]
    assert facts["can"]["packages"] == [True, ""]
    wanted = wish("vosctl-probe", "vosctl-old-name")
    assert node.inspect(wanted)["packages"] == {"vosctl-probe": False, "vosctl-old-name": False}
    node.settle(wanted)
    assert node.inspect(wanted)["packages"] == {"vosctl-probe": True, "vosctl-old-name": True}
    assert node.run("cat /opt/vosctl-probe /opt/vosctl-probe-libs /opt/vosctl-tools").split() == [
        "vosctl-probe", "vosctl-probe-libs", "vosctl-tools",
    ]  # fmt: skip
    # They stay when the apply goes back, and are not installed again.
    assert node.ask("rollback")["op"] == "rolled-back"
    assert not node.path("/etc/voice/a").exists()
    assert node.inspect(wanted)["packages"] == {"vosctl-probe": True, "vosctl-old-name": True}
    assert node.settle(wanted)["changed"] == ["file /etc/voice/a"]


def test_one_that_no_repository_has_changes_nothing(node: Machine) -> None:
    answer = node.apply(wish("vosctl-probe", "vosctl-no-such-thing"))
    assert (answer["op"], answer["step"]) == ("error", "packages")
    assert "vosctl-no-such-thing" in answer["error"]
    assert "try on the node: dnf install" in answer["hint"]
    assert not node.path("/etc/voice/a").exists()
