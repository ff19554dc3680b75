"""Host certificates: whether an authority of known_hosts vouches for the host, and for now."""

from __future__ import annotations

import base64
from collections.abc import Container
from datetime import datetime, timezone

import paramiko
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificate,
    SSHCertificateType,
    load_ssh_public_identity,
)

from vosctl.push.ssh_config_rules import matches


def certificate(key: paramiko.PKey) -> SSHCertificate | None:
    """Return the certificate that a host key came in, None for a bare key; raise ValueError for a broken one."""
    blob = key.public_blob
    if blob is None or "-cert-" not in blob.key_type:
        return None
    line = blob.key_type.encode() + b" " + base64.b64encode(blob.key_blob)
    try:
        found = load_ssh_public_identity(line)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(str(error)) from error
    return found if isinstance(found, SSHCertificate) else None


def flaw(found: SSHCertificate, name: str, authorities: Container[bytes]) -> str:
    """Return why a certificate does not stand for the host ``name``, "" where it does.

    ``authorities`` are trusted public keys, as bytes of the SSH wire format (PROTOCOL.certkeys of OpenSSH).
    """
    line = found.signature_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    if base64.b64decode(line.split()[1]) not in authorities:
        return "it is signed by an authority that known_hosts does not name for this host"
    try:
        found.verify_cert_signature()
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return "its signature is wrong"
    return _scope(found, name) or _period(found)


def _scope(found: SSHCertificate, name: str) -> str:
    if found.type is not SSHCertificateType.HOST:
        return "it is no host certificate"
    if found.critical_options:
        return f"it has options that are not known: {_texts(found.critical_options)}"
    if not any(
        matches(name.lower(), item.decode(errors="replace").lower()) for item in found.valid_principals
    ):
        return f"it stands for {_texts(found.valid_principals) or 'no name'}, not for {name}"
    return ""


def _period(found: SSHCertificate) -> str:
    now = datetime.now(timezone.utc).timestamp()
    if now < found.valid_after:
        return f"it is not valid before {_time(found.valid_after)}"
    if now >= found.valid_before:
        return f"it was valid until {_time(found.valid_before)}"
    return ""


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def _texts(items: object) -> str:
    return (
        ", ".join(item.decode(errors="replace") for item in items) if isinstance(items, list | dict) else ""
    )
