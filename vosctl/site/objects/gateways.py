"""Builds gateways: who they are, what they may send, how their media is handled."""

from __future__ import annotations

from msgspec.structs import replace

from vosctl.secret import Secret
from vosctl.site.model import (
    Auth,
    Gateway,
    GatewayType,
    Learn,
    Limits,
    Media,
    Network,
)
from vosctl.site.objects.codecs import CODECS, compressed, fits
from vosctl.site.objects.fields import Fields
from vosctl.site.objects.media import Buffers, build_proxy, choose_buffer
from vosctl.site.objects.routing import build_gateway_routing, build_guard
from vosctl.site.objects.scalars import parse_duration, parse_peer
from vosctl.site.objects.tiers import TIERS
from vosctl.site.routing import DEFAULT_GATEWAY_ROUTING, GatewayRouting, ProfitGuard
from vosctl.site.suggest import listed
from vosctl.site.tree import Mark

DEFAULT_CODECS = ("PCMA", "PCMU")


def build_gateway(name: str, fields: Fields, mark: Mark, *, media: Media, buffers: Buffers) -> Gateway | None:
    """Return the gateway; None (and a problem) where nothing can be made of it."""
    kind = next((kind for kind in GatewayType if kind.value == fields.text("type")), None)
    limits = _limits(fields, mark)
    if kind is None:
        if "type" not in fields:
            hint = "type: mapping for a customer, type: routing for a vendor"
            fields.problems.error(
                "missing-key", f"gateway '{name}' lacks type", mark, path=fields.path, hint=hint
            )
        return None
    auth = _auth(fields)
    networks = fields.all_parsed("addresses", parse_peer)
    _check_auth(name, fields, auth, networks, mark)
    own = fields.below("media")
    password = fields.text("password")
    gateway = Gateway(
        name=name,
        type=kind,
        networks=networks,
        auth=auth,
        port=fields.integer("port"),
        username=fields.text("username"),
        password=None if password is None else Secret(password),
        tier=fields.text("tier"),
        limits=limits or TIERS["small"],
        codecs=fields.texts("codecs") or DEFAULT_CODECS,
        ptime=fields.integer("ptime") or media.ptime,
        dtmf=fields.text("dtmf") or "rfc2833",
        proxy=build_proxy(own) or media.proxy,
        jitter=choose_buffer(own, buffers) or media.jitter,
        learn=Learn.ANY if own.text("learn") == "any" else Learn.SDP,
        rate_group=fields.text("rate_group"),
        guard=_guard(fields, kind),
        mark=mark,
        interface=own.text("interface"),
        routing=_routing(fields, kind),
    )
    _check_codecs(fields, gateway)
    return gateway


def _auth(fields: Fields) -> Auth:
    text = fields.text("auth")
    return next((auth for auth in Auth if auth.value == text), Auth.IP)


def _limits(fields: Fields, mark: Mark) -> Limits | None:
    """Return the tier's limits with single ones replaced; None where some are missing."""
    own = fields.below("limits")
    cps, concurrent = own.integer("cps"), own.integer("concurrent")
    duration = own.parsed("duration", parse_duration)
    base = TIERS.get(fields.text("tier") or "")
    if base is not None:
        return replace(
            base,
            cps=cps or base.cps,
            concurrent=concurrent or base.concurrent,
            duration=duration or base.duration,
        )
    if cps and concurrent and duration:
        return Limits(cps, concurrent, duration)
    missing = [key for key in ("cps", "concurrent", "duration") if key not in own]
    if missing and "tier" not in fields:
        message = f"neither a tier nor limits.{listed(missing)} is given: calls would be unlimited"
        hint = f"tier: {', '.join(TIERS)}; or limits: {{cps: 10, concurrent: 50, duration: 30m}}"
        fields.problems.error("gateway-limits", message, mark, path=fields.path, hint=hint)
    return None


def _check_auth(name: str, fields: Fields, auth: Auth, networks: tuple[Network, ...], mark: Mark) -> None:
    problems, path = fields.problems, fields.path
    if auth is Auth.PASSWORD:
        missing = [key for key in ("username", "password") if key not in fields]
        if missing:
            message = f"auth: password needs username and password; '{name}' lacks {listed(missing)}"
            problems.error(
                "gateway-login", message, mark, path=path, hint="or recognise it by address: auth: ip"
            )
        return
    if not networks and not list(fields.scalars("addresses")):
        message = f"auth: {auth.value} recognises a gateway by its address; '{name}' has none"
        problems.error("gateway-addresses", message, mark, path=path, hint="add addresses: [192.0.2.10]")
    if auth is Auth.IP_PORT and "port" not in fields:
        message = f"auth: ip+port needs the source port; '{name}' has none"
        problems.error("gateway-port", message, mark, path=path, hint="add port: 5060")
    for key in ("username", "password"):
        if key in fields:
            message = f"{key} does nothing with auth: {auth.value}"
            fields.warn("gateway-login-unused", message, key=key, hint="auth: password makes use of it")


def _guard(fields: Fields, kind: GatewayType) -> ProfitGuard | None:
    if "profit" not in fields:
        return None
    if kind is GatewayType.MAPPING:
        fields.warn(
            "profit-unused",
            "the profit guard is for vendors (type: routing)",
            key="profit",
            hint="for customers: routing.profit.groups, by their rate group",
        )
    return build_guard(fields.below("profit"))


def _routing(fields: Fields, kind: GatewayType) -> GatewayRouting:
    if "routing" not in fields:
        return DEFAULT_GATEWAY_ROUTING
    if kind is GatewayType.MAPPING:
        fields.warn("routing-unused", "routing is for vendors (type: routing)", key="routing")
    return build_gateway_routing(fields.below("routing"))


def _check_codecs(fields: Fields, gateway: Gateway) -> None:
    known = [codec for codec in gateway.codecs if codec in CODECS]
    unfit = [codec for codec in known if not fits(codec, gateway.ptime)]
    where = "ptime" if "ptime" in fields else "codecs"
    hint = "packets hold whole frames: G729 10 ms, GSM and AMR 20 ms, G723 30 ms, iLBC 20 or 30 ms"
    if unfit and len(unfit) == len(known):
        message = f"none of its codecs can be sent in packets of {gateway.ptime} ms"
        fields.error("codec-ptime", message, key=where, hint=hint)
    elif unfit:
        message = f"{listed(unfit)} cannot be sent in packets of {gateway.ptime} ms"
        fields.warn("codec-ptime", message, key=where, hint=hint)
    distorted = [codec for codec in gateway.codecs if compressed(codec)]
    if gateway.dtmf == "inband" and distorted:
        message = f"in-band digits do not survive {listed(distorted)}"
        fields.warn("dtmf-inband", message, key="dtmf", hint="use rfc2833, or G.711 alone")
