"""Keys of trunks changed by the operator on the node: ``vosctl-relay keys``, over the admin socket."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from typing import Any, Dict

from vosctl.errors import RelayError
from vosctl.relay import admin
from vosctl.relay.paths import RelayPaths

CHANGES = ("stage", "activate", "retire")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Show the keys of the trunks, or change them: stage at both ends, activate at both ends, wait until no call"
        " holds the old key, retire it at both ends. Let the site say the same afterwards."
    )
    parser.add_argument("change", nargs="?", choices=CHANGES, help="what to do; nothing: show the keys")
    parser.add_argument("trunk", nargs="?", help="the trunk's name")
    parser.add_argument("kid", nargs="?", help="the key's id; stage reads the key itself from standard input")


def run(paths: RelayPaths, options: argparse.Namespace) -> int:
    """Carry out the command and print what came of it; return its exit code. Raises ``RelayError``."""
    if options.change is None:
        trunks = _told(admin.ask(paths.control_socket, "keys"))["trunks"]
        sys.stdout.write(json.dumps(trunks, indent=1, sort_keys=True) + "\n")
        return 0
    if options.kid is None:
        raise RelayError(f"keys {options.change}: name a trunk and a key id")
    fields = {"trunk": options.trunk, "kid": options.kid}
    if options.change == "stage":
        fields["value"] = _secret(options.kid)
    _told(admin.ask(paths.control_socket, options.change, **fields))
    done = {"stage": "staged", "activate": "activated", "retire": "retired"}[options.change]
    sys.stdout.write(f"key {options.kid} {done} on trunk {options.trunk}\n")
    return 0


def _told(reply: Dict[str, Any]) -> Dict[str, Any]:
    if not reply.get("ok"):
        raise RelayError(str(reply.get("error", "the relay gives no reason")))
    return reply


def _secret(kid: str) -> str:
    """Return the key: never an argument, which other users of the node could read."""
    if sys.stdin.isatty():
        return getpass.getpass(f"key {kid}: ").strip()
    return sys.stdin.readline().strip()
