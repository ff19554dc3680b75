"""Which column of a CDR file is which of a call, and how its times, durations and amounts are written."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml
from msgspec import Struct, field

from vosctl.errors import UsageError
from vosctl.rates.engine.rated import CALLS
from vosctl.site.suggest import did_you_mean

# Headings that switches and billing systems write, without case, blanks and signs; our own names are known as well.
_HEADINGS: Mapping[str, tuple[str, ...]] = {
    "call_id": ("callid", "id", "uniqueid", "sessionid", "uuid"),
    "started": (
        "start",
        "starttime",
        "begin",
        "begintime",
        "answertime",
        "connecttime",
        "calldate",
        "date",
        "time",
    ),
    "duration_ms": ("durationms", "billms", "billmsec"),
    "duration": ("duration", "billsec", "seconds", "holdtime", "durationseconds", "talktime"),
    "caller": ("calling", "from", "ani", "src", "source", "callere164", "callingnumber", "cli"),
    "callee": ("called", "to", "dst", "dnis", "destinationnumber", "calleee164", "callednumber", "number"),
    "customer": ("account", "customeraccount", "customername"),
    "customer_gateway": ("mappinggateway", "callergateway", "ingress", "origgateway", "srcgateway"),
    "customer_deck": ("rategroup", "customerrategroup"),
    "vendor": ("supplier", "carrier", "vendorname"),
    "vendor_gateway": ("routinggateway", "calleegateway", "egress", "termgateway", "dstgateway"),
    "vendor_deck": ("clearingdeck", "vendorrategroup"),
    "agent": ("agentname", "reseller"),
    "pdd_ms": (),
    "pdd": ("postdialdelay", "pddseconds"),
    "cause": ("sipcode", "status", "code", "endreason", "responsecode"),
    "billed": ("fee", "charge", "revenue", "price", "amount"),
    "cost": ("vendorfee", "vendorcost", "clearingfee"),
}
FIELDS = (*CALLS, "duration", "pdd")
_NEEDED = ("started", "callee")


class CdrFormat(Struct, frozen=True):
    """How a file is written: ``columns`` names its column for a field of a call.

    ``duration`` is in seconds or h:mm:ss, ``pdd`` in seconds, ``duration_ms`` and ``pdd_ms`` in milliseconds.
    ``time_format`` is strptime's, "" for ISO 8601, ``epoch`` or ``epoch_ms``; times without a zone are of
    ``zone``. ``strip`` is taken off the front of called numbers, each at most once, the first that fits.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    zone: str = "UTC"
    time_format: str = ""
    separator: str = ""
    decimal: str = "."
    strip: tuple[str, ...] = ()


def read_mapping(path: Path) -> CdrFormat:
    """Return the mapping that a YAML file holds; UsageError for what no mapping has."""
    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    told = {} if told is None else told
    known = {"columns", "time_format", "zone", "separator", "decimal", "strip"}
    if not isinstance(told, dict) or not isinstance(told.get("columns", {}), dict):
        raise UsageError(f"{path}: a mapping of CDRs has {', '.join(sorted(known))}")
    _refuse(path, told, known)
    _refuse(path, told.get("columns", {}), FIELDS)
    strip = told.get("strip") or ()
    made = CdrFormat(
        {name: str(column) for name, column in told.get("columns", {}).items()},
        **{name: str(told[name]) for name in ("time_format", "zone", "separator", "decimal") if name in told},
        strip=tuple(map(str, [strip] if isinstance(strip, str | int) else strip)),
    )
    _check(path, made)
    return made


def _refuse(path: Path, told: Mapping[Any, Any], known: Collection[str]) -> None:
    for name in told:
        if name not in known:
            raise UsageError(f"{path}: '{name}' is unknown{did_you_mean(str(name), known)}")


def _check(path: Path, mapping: CdrFormat) -> None:
    try:
        ZoneInfo(mapping.zone)
    except (KeyError, ValueError, OSError) as error:
        raise UsageError(f"{path}: '{mapping.zone}' is no time zone", hint="as Europe/London") from error
    if mapping.decimal not in {".", ","}:
        raise UsageError(f"{path}: decimal is '.' or ',', not '{mapping.decimal}'")
    if not all(re.fullmatch(r"[0-9#*+]+", each) for each in mapping.strip):
        raise UsageError(f"{path}: strip holds digits, #, * and +", hint="strip: ['00', '9999#']")


def columns_of(where: str, headings: Collection[str], mapping: CdrFormat) -> dict[str, str]:
    """Return the file's column of each field that it has; UsageError where one that is named or needed is missing."""
    plain = {re.sub(r"[^a-z0-9]", "", heading.lower()): heading for heading in headings}
    found: dict[str, str] = {}
    for name in FIELDS:
        if name in mapping.columns:
            heading = mapping.columns[name]
            if heading not in headings:
                raise UsageError(f"{where}: there is no column '{heading}'{did_you_mean(heading, headings)}")
            found[name] = heading
        else:
            known = (name.replace("_", ""), *_HEADINGS.get(name, ()))
            heading = next((plain[each] for each in known if each in plain), "")
            if heading and heading not in mapping.columns.values():
                found[name] = heading
    missing = [name for name in _NEEDED if name not in found]
    if not {"duration", "duration_ms"} & found.keys():
        missing.append("duration")
    if missing:
        raise UsageError(
            f"{where}: no column is {' or '.join(missing)} of the call; it has {', '.join(headings)}",
            hint="name them in a mapping: columns: {callee: …, started: …, duration: …}",
        )
    return found


def is_own(types: Mapping[str, str]) -> bool:
    """Return whether a file's columns are those of calls as we write them, of the same types: nothing is to be read."""
    return all(types.get(name) == kind for name, kind in CALLS.items())
