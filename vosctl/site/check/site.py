"""All cross checks: what only shows when the parts of a site are held against each other."""

from __future__ import annotations

from vosctl.site.check.findings import Check, Findings
from vosctl.site.check.interfaces import check_interfaces
from vosctl.site.check.names import check_rate_groups, check_shared_names, check_trunk_ends
from vosctl.site.check.peers import check_admin_peers, check_codecs, check_shared_addresses, check_trust
from vosctl.site.check.ports import (
    check_admin,
    check_media_ports,
    check_relay_addresses,
    check_trunk_families,
)
from vosctl.site.check.routing import check_routing
from vosctl.site.check.secrets import check_plain_secrets, check_shown_secrets
from vosctl.site.check.trunks import check_ages, check_ciphers, check_keys, check_media_path
from vosctl.site.objects.site import Built
from vosctl.site.problems import Problems

CHECKS: tuple[Check, ...] = (
    check_trunk_ends,
    check_shared_names,
    check_rate_groups,
    check_routing,
    check_keys,
    check_ages,
    check_ciphers,
    check_media_path,
    check_media_ports,
    check_relay_addresses,
    check_interfaces,
    check_trunk_families,
    check_admin,
    check_trust,
    check_admin_peers,
    check_shared_addresses,
    check_codecs,
    check_plain_secrets,
    check_shown_secrets,
)


def check_site(built: Built, problems: Problems) -> None:
    """Add what every cross check finds to ``problems``."""
    findings = Findings(built, problems)
    for check in CHECKS:
        check(findings)
    findings.finish()
