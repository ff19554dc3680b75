"""The firewall that operators' guides hand out for comparison: the order, limits and words of their complete script.

Established flows first, then trusted addresses, six words anywhere in the packet, ten flows and twenty packets
a minute for each source (``connlimit``, ``recent``), media ports, and nothing else. IPv4 only, as there.
"""

from __future__ import annotations

WORDS = ("OPTIONS sip:", "friendly-scanner", "VaxSIPUserAgent", "sipvicious", "SIPScan", "sipcli")


def restore_input(trusted, *, admin="198.51.100.5", rtp=(10000, 20000)):
    """Return iptables-restore input that flushes the filter table and loads the script's rules."""
    sip = "-p udp -m udp --dport 5060"
    rules = [
        "INPUT -i lo -j ACCEPT",
        "INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT",
        *(f"INPUT -s {admin} -p tcp -m tcp --dport {port} -j ACCEPT" for port in (22, 80, 8080)),
        *(f"SIP_TRUSTED -s {address} -j ACCEPT" for address in trusted),
        f"INPUT {sip} -j SIP_TRUSTED",
        *(f'SIP_SCANNER_BLOCK -m string --string "{word}" --algo bm -j DROP' for word in WORDS),
        f"INPUT {sip} -j SIP_SCANNER_BLOCK",
        f"SIP_RATE_LIMIT {sip} -m connlimit --connlimit-above 10 --connlimit-mask 32 -j DROP",
        "SIP_RATE_LIMIT -m recent --set --name sip_rate",
        "SIP_RATE_LIMIT -m recent --update --seconds 60 --hitcount 20 --name sip_rate -j DROP",
        "SIP_RATE_LIMIT -j ACCEPT",
        f"INPUT {sip} -j SIP_RATE_LIMIT",
        f"INPUT -p udp -m udp --dport {rtp[0]}:{rtp[1]} -j ACCEPT",
        "INPUT -j DROP",
    ]
    chains = ("SIP_TRUSTED", "SIP_SCANNER_BLOCK", "SIP_RATE_LIMIT")
    lines = ["*filter", ":INPUT ACCEPT [0:0]", *(f":{chain} - [0:0]" for chain in chains)]
    return "\n".join((*lines, *(f"-A {rule}" for rule in rules), "COMMIT", ""))
