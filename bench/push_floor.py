"""Two parts of a run, each timed within a process of its own, without start-up, validation and compilation.

``floor``: connect to every host and run ``true`` with nothing but the SSH library, 50 at once, keys and known_hosts
parsed once, the exchange that vosctl uses. ``push``: vosctl's own no-change apply, on a site compiled before.
Usage: ``python -m bench.push_floor floor|push TRANSPORT PLAYBOOK PRIVATE_KEY KNOWN_HOSTS``.
"""

from __future__ import annotations

import asyncio
import base64
import json
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncssh
import paramiko

from vosctl.compile.site import compile_site
from vosctl.push import api
from vosctl.push.options import PushOptions
from vosctl.push.result import Status
from vosctl.site.model import Site
from vosctl.site.read import SiteOptions, read_site

FORKS = 50


def main(what: str, transport: str, playbook: str, private_key: str, known_hosts: str) -> None:
    """Print what it took as JSON: wall and CPU seconds."""
    site, problems = read_site(SiteOptions(playbook=Path(playbook)))
    problems.raise_errors()
    desired = compile_site(site, release=None)
    options = PushOptions(
        private_key=Path(private_key), known_hosts=Path(known_hosts), agent=False, system_ssh=False,
        transport=transport, forks=FORKS,
    )  # fmt: skip
    addresses = [site.nodes[name].connection.host for name in site.selected]
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu, wall = usage.ru_utime + usage.ru_stime, time.perf_counter()
    if what == "push":
        _push(site, desired, options)
    elif transport == "asyncssh":
        asyncio.run(_floor_asyncssh(addresses, private_key, known_hosts))
    else:
        _floor_paramiko(addresses, private_key, known_hosts)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"wall": time.perf_counter() - wall, "cpu": usage.ru_utime + usage.ru_stime - cpu}))


def _push(site: Site, desired: Any, options: PushOptions) -> None:
    results = api.apply_site(site, desired, options=options)
    bad = [result for result in results.values() if result.status is not Status.OK]
    if bad:
        raise RuntimeError(f"{bad[0].node}: {bad[0].status.value} {bad[0].error} {bad[0].plan}")


def _floor_paramiko(addresses: list[str], private_key: str, known_hosts: str) -> None:
    key = paramiko.Ed25519Key.from_private_key_file(private_key)
    known = {
        line.split()[0].split(",")[1]: base64.b64decode(line.split()[2])
        for line in Path(known_hosts).read_text(encoding="ascii").splitlines()
    }

    def one(address: str) -> None:
        transport = paramiko.Transport((address, 22))
        try:
            security = transport.get_security_options()
            security.kex = sorted(security.kex, key=lambda name: not name.startswith("curve25519"))
            security.key_types = ("ssh-ed25519",)
            transport.start_client(timeout=30)
            if transport.get_remote_server_key().asbytes() != known[address]:
                raise RuntimeError(f"{address} shows another key")
            transport.auth_publickey("root", key)
            channel = transport.open_session()
            channel.exec_command("true")
            if channel.recv_exit_status():
                raise RuntimeError(f"{address}: true fails")
        finally:
            transport.close()

    with ThreadPoolExecutor(FORKS) as pool:
        list(pool.map(one, addresses))


async def _floor_asyncssh(addresses: list[str], private_key: str, known_hosts: str) -> None:
    key = asyncssh.read_private_key(private_key)
    known = asyncssh.read_known_hosts(known_hosts)
    turns = asyncio.Semaphore(FORKS)

    async def one(address: str) -> None:
        async with turns, asyncssh.connect(
            address, username="root", client_keys=[key], known_hosts=known, config=[], agent_path=None,
            kex_algs=["curve25519-sha256"], server_host_key_algs=["ssh-ed25519"],
        ) as connection:  # fmt: skip
            await connection.run("true", check=True)

    await asyncio.gather(*map(one, addresses))


if __name__ == "__main__":
    main(*sys.argv[1:])
