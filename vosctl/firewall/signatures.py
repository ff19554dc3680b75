"""Scanner signatures as data: what each one is, where it was seen, and the words that must never be one."""

from __future__ import annotations

from collections.abc import Iterable

from vosctl.site.model import Signature

_GUIDE = "block rules of VOS3000 operators' firewall guides"
_LISTS = "SIP block lists deployed in the field"
_METHODS = ("ACK", "BYE", "CANCEL", "INFO", "INVITE", "MESSAGE", "NOTIFY", "OPTIONS", "PRACK", "PUBLISH", "REFER",
            "REGISTER", "SUBSCRIBE", "UPDATE")  # fmt: skip

SHIPPED: tuple[Signature, ...] = (
    Signature("OPTIONS sip:", _GUIDE),
    Signature("OPTIONS sips:", "the same probe with the other scheme of RFC 3261 section 19.1"),
    Signature("OPTIONS tel:", "the same probe with the scheme of RFC 3966"),
    Signature("friendly-scanner", f"{_GUIDE}; what sipvicious calls itself by default"),
    Signature("friendly-request", _LISTS),
    Signature("sipvicious", _GUIDE),
    Signature("sip-scan", _LISTS),
    Signature("SIPScan", _GUIDE),
    Signature("sipcli", _GUIDE),
    Signature("VaxSIPUserAgent", _GUIDE),
    Signature("VaxIPUserAgent", _LISTS),
    Signature("sundayddr", _LISTS),
    Signature("iWar", f"{_LISTS}; a war dialler"),
    Signature(
        "sipsak",
        f"{_LISTS}; a test tool that scanners borrow: let your own monitoring in by firewall.trusted",
    ),
    Signature("SIVuS", f"{_LISTS}; a vulnerability scanner"),
    Signature("Gulp", _LISTS),
    Signature("smap", f"{_LISTS}; a SIP fingerprinting tool"),
    Signature("siparmyknife", f"{_LISTS}; a fuzzer"),
    Signature("pplsip", _LISTS),
    Signature("voiphopper", f"{_LISTS}; a VLAN hopping tool"),
)

GENUINE: dict[str, str] = {
    "cisco": "Cisco's phones and gateways say so",
    "asterisk pbx": "Asterisk's own default",
    "test agent": "the name that interconnection tests use",
    "csipsimple": "a telephone application for Android",
    "portsip voip sdk": "in many softphones",
    "eyebeam": "a softphone",
    "sipv": "the beginning of many products' names; sipvicious is listed in full",
}
"""Words of deployed block lists, in lower case, that genuine devices send, and whose they are."""


def resolve(added: Iterable[Signature] = (), removed: Iterable[str] = ()) -> tuple[Signature, ...]:
    """Return the shipped signatures without ``removed`` (any letter case), then ``added``, each text once."""
    unwanted = {text.casefold() for text in removed}
    kept = [signature for signature in SHIPPED if signature.text.casefold() not in unwanted]
    return tuple({signature.text.casefold(): signature for signature in (*kept, *added)}.values())


def is_request_line(signature: Signature) -> bool:
    """Return whether the text is the beginning of a request (``OPTIONS sip:``), not a User-Agent's."""
    method, space, _ = signature.text.partition(" ")
    return bool(space) and method in _METHODS
