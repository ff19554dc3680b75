"""SSH identities of a fleet: one user key, a key for each host, and the files that ssh and vosctl read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vosctl.fleet.state import HostSpec

PRIVATE_KEY = "id_ed25519"
KNOWN_HOSTS = "known_hosts"
SSH_CONFIG = "ssh_config"


def generate(comment: str) -> tuple[str, str]:
    """Return a new Ed25519 key pair: private in OpenSSH's format, public as ``ssh-ed25519 … comment``."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), f"{public.decode()} {comment}\n"


def write_user_key(directory: Path) -> str:
    """Write the fleet's login key (mode 0600) and return its public line."""
    private, public = generate("fleet")
    path = directory / PRIVATE_KEY
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(private, encoding="ascii")
    path.with_suffix(".pub").write_text(public, encoding="ascii")
    return public


def write_client_files(directory: Path, hosts: Iterable[HostSpec], public: dict[str, str]) -> None:
    """Write known_hosts and ssh_config for every host with an sshd; ``public`` maps names to host keys."""
    known, config = [], []
    for host in hosts:
        if host.sshd:
            known.append(f"{host.name},{host.address} {public[host.name].strip()}\n")
            config.append(f"Host {host.name} {host.address}\n    HostName {host.address}\n")
    config.append(
        "Host *\n    User root\n"
        f"    IdentityFile {directory / PRIVATE_KEY}\n    IdentitiesOnly yes\n"
        f"    UserKnownHostsFile {directory / KNOWN_HOSTS}\n    GlobalKnownHostsFile /dev/null\n"
        "    StrictHostKeyChecking yes\n    BatchMode yes\n"
    )
    (directory / KNOWN_HOSTS).write_text("".join(known), encoding="ascii")
    (directory / SSH_CONFIG).write_text("".join(config), encoding="utf-8")
