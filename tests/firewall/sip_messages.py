"""SIP messages as scanners and as genuine devices send them."""

from __future__ import annotations


def request(method="REGISTER", target="sip:node.example", agent=None, subject=None, tail=b""):
    lines = [f"{method} {target} SIP/2.0", "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1"]
    if subject:
        lines.append(f"Subject: {subject}")
    lines += ["From: <sip:a@example.org>;tag=1", f"To: <{target}>", "Call-ID: 1", f"CSeq: 1 {method}"]
    if agent:
        lines.append(agent)
    return "\r\n".join((*lines, "Content-Length: 0", "", "")).encode() + tail


SCANS = {
    "options": request("OPTIONS", "sip:100@10.231.0.2"),
    "options without agent, sips": request("OPTIONS", "sips:100@10.231.0.2"),
    "scheme in capitals": request("OPTIONS", "SIP:100@10.231.0.2"),
    "scheme in mixed case": request("OPTIONS", "sIpS:100@10.231.0.2"),
    "tel": request("OPTIONS", "tel:+442071838750"),
    "TEL": request("OPTIONS", "Tel:+442071838750"),
    "method in small letters": request("options", "sip:100@10.231.0.2"),
    "blank lines first": b"\r\n\r\n" + request("OPTIONS", "sip:100@10.231.0.2"),
    "one line feed first": b"\n" + request("REGISTER"),
    "space first": b" " + request("INVITE"),
    "friendly-scanner": request(agent="User-Agent: friendly-scanner"),
    "capitals": request(agent="USER-AGENT: FRIENDLY-SCANNER"),
    "mixed case": request("INVITE", agent="user-agent: FriendLy-ScanNer 1.0"),
    "no space after the colon": request("INVITE", agent="User-Agent:sipcli/v1.8"),
    "vax": request(agent="User-Agent: VaxSIPUserAgent/3.1"),
    "sipsak": request("INVITE", agent="User-Agent: sipsak 0.9.7"),
    "late in the first kilobyte": request(subject="x" * 700, agent="User-Agent: sundayddr"),
}

GENUINE = {
    "register": request(agent="User-Agent: Yealink SIP-T46S 66.86.0.15"),
    "quotes a probe": request("INVITE", subject="OPTIONS sip: is what scanners send"),
    "quotes a header": request("INVITE", subject="User-Agent: friendly-scanner is what scanners say"),
    "quotes a scanner": request("INVITE", subject="block friendly-scanner and sipvicious"),
    "cisco": request(agent="User-Agent: Cisco-CP7841-3PCC/11.0"),
    "asterisk": request("INVITE", agent="User-Agent: Asterisk PBX 18.9"),
    "mobile": request(agent="User-Agent: CSipSimple_klte-24/r2457"),
    "softphone": request("INVITE", agent="User-Agent: eyeBeam release 1105a"),
    "keepalive": b"\r\n\r\n",
    "pong": b"\r\n",
    "empty": b"",
    "reply": b"SIP/2.0 200 OK\r\nCSeq: 1 OPTIONS\r\n\r\n",
}
