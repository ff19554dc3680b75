"""Parses single values: addresses, durations, money, DSCP, port ranges; each error says what was meant."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_address, ip_network

from vosctl.site.model import Address, Network, PortRange
from vosctl.site.suggest import did_you_mean
from vosctl.site.tree import Scalar

_DURATION = re.compile(r"(?P<count>[0-9]{1,9})(?P<unit>s|m|h|d)?")
_UNITS = {None: "seconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_MONEY = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,12})?")
_PORTS = re.compile(r"([0-9]{1,5})-([0-9]{1,5})")
_LAST_PORT = 65535
_WIDEST = {4: 8, 6: 16}

# RFC 2474 §4.2.2, RFC 2597, RFC 3246, RFC 5865, RFC 8622.
DSCP = {
    **{f"CS{number}": number * 8 for number in range(8)},
    **{f"AF{kind}{drop}": kind * 8 + drop * 2 for kind in range(1, 5) for drop in range(1, 4)},
    "EF": 46,
    "VA": 44,
    "LE": 1,
    "BE": 0,
    "DF": 0,
}
_DSCP_NAMES = {value: name for name, value in reversed(DSCP.items())}


class WrongValueError(Exception):
    """A value that cannot be what its place asks for: rule, message and hint of the problem to be."""

    def __init__(self, rule: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.rule = rule
        self.message = message
        self.hint = hint


def parse_network(value: Scalar) -> Network:
    """Return an address or network; a plain address becomes a /32 or /128."""
    text = value.text
    try:
        return ip_network(text)
    except ValueError as error:
        raise _not_a_network(text, error) from None


def parse_peer(value: Scalar) -> Network:
    """Return an address or network to be let in; with a large part of the internet, nothing would be kept out."""
    network = parse_network(value)
    if network.prefixlen < _WIDEST[network.version] and not network.is_private:
        message = f"{network} holds too much of the internet to be let through the firewall"
        hint = f"IPv{network.version} networks here have a prefix of /{_WIDEST[network.version]} or longer"
        raise WrongValueError("network-too-wide", message, hint)
    return network


def parse_address(value: Scalar) -> Address:
    """Return a single IP address."""
    text = value.text
    try:
        return ip_address(text)
    except ValueError:
        hint = (
            "write one address, without a prefix length" if "/" in text else "as 192.0.2.10 or 2001:db8::10"
        )
        raise WrongValueError("bad-address", f"'{text}' is not an IP address", hint) from None


def _not_a_network(text: str, error: ValueError) -> WrongValueError:
    if "host bits" in str(error):
        network, address = ip_network(text, strict=False), text.partition("/")[0]
        return WrongValueError(
            "host-bits",
            f"'{text}' is neither an address nor a network: bits behind the prefix are set",
            f"write {network} for the network, or {address} for the one address",
        )
    hint = "addresses are written as 192.0.2.10, 192.0.2.0/24, 2001:db8::10 or 2001:db8::/64"
    if re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+\.?", text) and not text[-1].isdigit():
        hint = "names are not looked up, so that a firewall never depends on DNS; write the address"
    elif text.count(":") == 1 and text.count(".") == 3:
        hint = "the port goes into `port:`, with auth: ip+port"
    return WrongValueError("bad-address", f"'{text}' is not an IP address or network", hint)


def parse_duration(value: Scalar) -> timedelta:
    """Return a length of time: ``30`` (seconds), ``30s``, ``5m``, ``1h``; more than zero."""
    match = _DURATION.fullmatch(value.text)
    if match is None:
        raise WrongValueError(
            "bad-duration", f"'{value.text}' is not a length of time", "write seconds, or 30s, 5m, 1h"
        )
    length = timedelta(**{_UNITS[match["unit"]]: int(match["count"])})
    if not length:
        raise WrongValueError("bad-duration", "must be longer than nothing", "write seconds, or 30s, 5m, 1h")
    return length


def parse_moment(value: Scalar) -> datetime:
    """Return a moment in UTC from a day or a moment of ISO 8601; without a time zone it is UTC."""
    try:
        moment = datetime.fromisoformat(value.text.replace("Z", "+00:00").replace("z", "+00:00"))
    except ValueError:
        hint = "write 2026-11-01, or 2026-11-01T14:30:00Z"
        raise WrongValueError("bad-moment", f"'{value.text}' is neither a day nor a moment", hint) from None
    return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)


def parse_money(value: Scalar) -> Decimal:
    """Return an exact amount that is not negative, from the text as written."""
    amount = parse_signed_money(value)
    if amount < 0:
        raise WrongValueError(
            "negative-money",
            f"{value.text} is negative",
            "a rate is zero or more; a discount is a lower rate",
        )
    return amount


def parse_signed_money(value: Scalar) -> Decimal:
    """Return an exact amount, from the text as written."""
    if not _MONEY.fullmatch(value.text):
        hint = "write digits with a decimal point, as 0.0125"
        if "," in value.text:
            hint = f"write a decimal point: {value.text.replace(',', '.')}"
        raise WrongValueError("bad-money", f"'{value.text}' is not an amount of money", hint)
    return Decimal(value.text)


def parse_dscp(value: Scalar) -> int:
    """Return a DSCP from 0 to 63, from its name (``EF``) or number."""
    if isinstance(value.value, str):
        if value.text.upper() in DSCP:
            return DSCP[value.text.upper()]
        message = f"'{value.text}' is no DSCP{did_you_mean(value.text, DSCP)}"
        raise WrongValueError(
            "bad-dscp", message, "names: EF, CS0 to CS7, AF11 to AF43, VA, LE, BE; or 0 to 63"
        )
    number = value.value if isinstance(value.value, int) else -1
    if 0 <= number < 64:
        return number
    if 0 <= number < 256:
        raise _tos_byte(value.text, number)
    raise WrongValueError(
        "bad-dscp", f"{value.text} is no DSCP", "a DSCP is a number from 0 to 63, or a name as EF"
    )


def _tos_byte(text: str, number: int) -> WrongValueError:
    dscp = number >> 2
    name = _DSCP_NAMES.get(dscp)
    shown = text if text == str(number) else f"{text} ({number})"
    if number & 3:
        message = f"{shown} is no DSCP; as a ToS byte it would be DSCP {dscp} with ECN bits set"
    else:
        message = f"{shown} is the ToS byte of {f'{name}, ' if name else ''}DSCP {dscp}"
    return WrongValueError(
        "dscp-tos-byte", message, f"write {name or dscp}: the DSCP is the ToS byte divided by 4"
    )


def parse_ports(value: Scalar) -> PortRange:
    """Return a range of ports, ``16384-32767``, each from 1 to 65535."""
    match = _PORTS.fullmatch(value.text)
    if match is None:
        raise WrongValueError("bad-ports", f"'{value.text}' is not a range of ports", 'write "16384-32767"')
    first, last = int(match[1]), int(match[2])
    if not 0 < first <= last <= _LAST_PORT:
        raise WrongValueError(
            "bad-ports",
            f"{value.text} is no range of ports from 1 to {_LAST_PORT}",
            "the lower port comes first",
        )
    return PortRange(first, last)


def parse_endpoint(value: Scalar) -> tuple[Address, int]:
    """Return address and port of ``127.0.0.1:2223`` or ``[::1]:2223``."""
    host, colon, port = value.text.rpartition(":")
    try:
        number = int(port) if colon and port.isascii() and port.isdigit() else 0
        if 0 < number <= _LAST_PORT:
            return ip_address(host.strip("[]")), number
    except ValueError:
        pass
    raise WrongValueError(
        "bad-endpoint",
        f"'{value.text}' is not an address and a port",
        'write "127.0.0.1:2223" or "[::1]:2223"',
    )
