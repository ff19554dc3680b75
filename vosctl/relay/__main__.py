"""The command ``vosctl-relay``: supervise, control, media, status, keys, stop, folders."""

from __future__ import annotations

import argparse
import ctypes
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Callable, Dict, Optional, Sequence

from vosctl.errors import RelayError, VosctlError
from vosctl.relay import admin, folders, handover, kernel_path, keys, logs, privileges, supervise
from vosctl.relay.paths import CONFIG, KEYS, RUN, RelayPaths
from vosctl.relay.priority import give_way

LOG = logging.getLogger("vosctl.relay")

NOT_RUNNING = 3  # what an init script's `status` answers (LSB 5.0)
_PR_SET_PDEATHSIG = 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vosctl-relay", description="The vosctl RTP relay on this node.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    helps: Dict[str, str] = {
        "supervise": "start the relay and keep it running",
        "control": "run the control process (the supervisor does)",
        "media": "run the media process (the supervisor does)",
        "status": "print what the running relay says of itself",
        "keys": "show the keys of the trunks, or change them under running calls",
        "stop": "end the relay and wait until it is gone",
        "folders": "give the relay's user the folders that it writes to (root, before a start)",
    }
    for name, text in helps.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--root", type=Path, metavar="DIR", help="prefix of all paths: DIR is the node")
        command.add_argument("--config", type=Path, default=CONFIG, metavar="FILE")
        command.add_argument("--keys", type=Path, default=KEYS, metavar="FILE")
        command.add_argument("--run", type=Path, default=RUN, metavar="DIR")
        command.add_argument("--log", type=Path, metavar="FILE", help="default: standard error")
        if name == "keys":
            keys.add_arguments(command)
        if name == "supervise":
            command.add_argument("--foreground", action="store_true", help="stay, as systemd wants it")
            command.add_argument("--resume", metavar="STATE", help=argparse.SUPPRESS)
        if name in {"supervise", "folders"}:
            command.add_argument("--user", metavar="NAME", help="who the relay runs as; not below --root")
        if name in {"control", "media"}:
            command.add_argument("--supervised", type=int, metavar="PID", help=argparse.SUPPRESS)
    return parser


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command and return its exit code: 0, 1 after an error, 3 from ``status`` of a stopped relay."""
    options = _parser().parse_args(argv)
    paths = RelayPaths(options.config, options.keys, options.run).below(options.root)
    try:
        return _COMMANDS[options.command](options, paths)
    except VosctlError as error:
        sys.stderr.write(f"vosctl-relay: {error}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"vosctl-relay: {error}\n")
        return 1


def _supervise(options: argparse.Namespace, paths: RelayPaths) -> int:
    resumed = handover.parse(options.resume)
    _drop(options, paths, resumed=resumed is not None)
    return supervise.supervise(paths, foreground=options.foreground, resumed=resumed)


def _stop(_options: argparse.Namespace, paths: RelayPaths) -> int:
    sys.stdout.write("stopped\n" if supervise.stop(paths) else "not running\n")
    return 0


def _folders(options: argparse.Namespace, paths: RelayPaths) -> int:
    if options.user and options.root is None:
        folders.prepare(paths, privileges.account(options.user))
    return 0


def _keys(options: argparse.Namespace, paths: RelayPaths) -> int:
    return keys.run(paths, options)


def _drop(options: argparse.Namespace, paths: RelayPaths, *, resumed: bool) -> None:
    """Give up what is not needed. Raises ``RelayError``, but not where media would end with this process."""
    if options.root is not None:
        # Below a root, the folders on the way there may be another user's.
        return
    # Media gives them up when it has loaded its program, control at once; media that starts anew needs them again.
    keep = kernel_path.CAPABILITIES if kernel_path.addresses(paths.config) else ()
    try:
        user = privileges.account(options.user) if options.user else None
        if user is not None and not resumed and os.geteuid() == 0:
            folders.prepare(paths, user)
        privileges.drop(user, keep=keep)
    except RelayError as error:
        if not resumed:
            raise
        LOG.warning("goes on as user %d until its next start: %s", os.geteuid(), error)
        privileges.drop(keep=keep)


def _status(_options: argparse.Namespace, paths: RelayPaths) -> int:
    pid = supervise.running(paths)
    if pid is None:
        sys.stdout.write('{"ok": false, "running": false}\n')
        return NOT_RUNNING
    status = admin.ask(paths.control_socket, "status")
    sys.stdout.write(
        json.dumps({**status, "running": True, "supervisor": pid}, indent=1, sort_keys=True) + "\n"
    )
    return 0


def _process(options: argparse.Namespace, paths: RelayPaths) -> int:
    if options.supervised and not _tied_to(options.supervised):
        return 0
    if options.command == "control":
        give_way()
    logs.configure(options.command, options.log)
    paths.run.mkdir(mode=0o755, parents=True, exist_ok=True)
    paths = paths.entered()
    try:
        if options.command == "media":
            # Each of the two processes loads only its own half.
            from vosctl.relay.media import host  # noqa: PLC0415

            wanted = kernel_path.addresses(paths.config)
            return host.main(["--run", str(paths.run), "--kernel-path", *wanted])
        privileges.give_up(kernel_path.CAPABILITIES)
        from vosctl.relay.control import daemon  # noqa: PLC0415

        return daemon.main(paths)
    except RelayError as error:
        LOG.error("%s", error)  # noqa: TRY400 - a message for people, not a bug
        return error.exit_code


def _tied_to(parent: int) -> bool:
    """Have this process end with its parent; return whether ``parent`` still is that."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    return os.getppid() == parent


_COMMANDS: Dict[str, Callable[[argparse.Namespace, RelayPaths], int]] = {
    "supervise": _supervise,
    "control": _process,
    "media": _process,
    "status": _status,
    "keys": _keys,
    "stop": _stop,
    "folders": _folders,
}


if __name__ == "__main__":
    raise SystemExit(main())
