"""The requests of the media socket, each a function from a JSON object to a JSON object."""

from __future__ import annotations

import ipaddress
import logging
import os
import time
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Tuple

from vosctl import __version__
from vosctl.relay.media.calls import Calls, Json
from vosctl.relay.media.errors import RequestError
from vosctl.relay.media.insertion import Insertions
from vosctl.relay.media.kernel import KernelPath
from vosctl.relay.media.keys import Keys
from vosctl.relay.media.plane import Plane
from vosctl.relay.media.ports import Ports

_LOG = logging.getLogger(__name__)


class Commands:
    """Carries out requests. ``run`` never raises for what a client sent."""

    def __init__(self, plane: Plane, *, workers: int, file_limit: int, kernel: KernelPath) -> None:
        self._plane = plane
        self._kernel = kernel
        self._workers = workers
        self._low_latency = self._low_latency_asked = False
        self._file_limit = file_limit
        self._keys = Keys()
        self._ports = Ports()
        self._started = time.monotonic()
        self.calls = Calls(plane, self._keys, self._ports, file_limit=file_limit)
        self.insertions = Insertions(plane, self.calls)
        self._commands: Dict[str, Callable[[Mapping[str, Any]], Json]] = {
            "keys": self._set_keys,
            "configure": self._configure,
            "add": self._add,
            "change": self._change,
            "keep": self._keep,
            "remove": self._remove,
            "dump": self._dump,
            "stats": self._stats,
            "drain": self._drain,
            "status": self._status,
            "play": self.insertions.play,
            "dial": self.insertions.dial,
            "record": self.insertions.record,
        }

    def run(self, request: Any) -> Json:
        """Return the reply to one request, with its id."""
        if not isinstance(request, dict):
            return {"id": None, "ok": False, "error": "a request is a JSON object"}
        answer: Json = {"id": request.get("id")}
        command = self._commands.get(str(request.get("cmd")))
        if command is None:
            return {**answer, "ok": False, "error": f"no command {request.get('cmd')!r}"}
        try:
            return {**answer, "ok": True, **command(request)}
        except RequestError as error:
            return {**answer, "ok": False, "error": str(error)}

    def _set_keys(self, request: Mapping[str, Any]) -> Json:
        self._keys.replace(request.get("keys"))
        return {}

    def _configure(self, request: Mapping[str, Any]) -> Json:
        low, high = _ports(request.get("ports", [16384, 32767]))
        dscp, timeout = request.get("dscp", 46), request.get("timeout", 30)
        addresses = request.get("addresses", [])
        for address in addresses:
            _address(address)
        if not isinstance(dscp, int) or not 0 <= dscp <= 63:
            raise RequestError("configure.dscp: must be 0 to 63")
        if not isinstance(timeout, (int, float)) or isinstance(timeout, bool) or not 0 <= timeout <= 86400:
            raise RequestError("configure.timeout: must be seconds, 0 (never) to 86400")
        low_latency, kernel_path = (_switch(request, name) for name in ("low_latency", "kernel_path"))
        self._ports.configure(low, high, addresses)
        self._keep_awake(on=low_latency)
        self._kernel.use(on=kernel_path)
        self.calls.dscp = dscp
        self.calls.set_timeout(round(timeout * 1000))
        return {"low_latency": self._low_latency, "kernel_path": self._kernel.used}

    def _keep_awake(self, *, on: bool) -> None:
        if on == self._low_latency_asked:
            return
        self._low_latency_asked = on
        try:
            self._plane.low_latency(on=on)
        except OSError as error:
            _LOG.warning("low_latency: media goes on without: %s", error)
        else:
            _LOG.info("low_latency: %s", "on" if on else "off")
            self._low_latency = on

    def _add(self, request: Mapping[str, Any]) -> Json:
        name, number = _names(request)
        ports = self.calls.add(name, number, (request.get("a"), request.get("b")), request.get("blob"))
        self.insertions.follow(name)
        return ports

    def _change(self, request: Mapping[str, Any]) -> Json:
        name, number = _names(request)
        self.calls.change(name, number, (request.get("a"), request.get("b")), request.get("blob"))
        return {}

    def _keep(self, request: Mapping[str, Any]) -> Json:
        name, _ = _names(request)
        if request.get("blob") is None:
            raise RequestError("keep.blob: missing")
        self.calls.keep(name, request["blob"])
        return {}

    def _remove(self, request: Mapping[str, Any]) -> Json:
        name, number = _names(request)
        if "stream" in request:
            return {"counters": self.calls.remove(name, number, request.get("blob"))}
        counters = self.calls.remove(name)
        self.insertions.forget(name)
        return {"counters": counters}

    def _dump(self, _request: Mapping[str, Any]) -> Json:
        return {"calls": self.calls.dump()}

    def _stats(self, request: Mapping[str, Any]) -> Json:
        name = request.get("call")
        if name is not None:
            name, _ = _names(request)
        return {"calls": self.calls.stats(name)}

    def _drain(self, request: Mapping[str, Any]) -> Json:
        if not isinstance(request.get("on"), bool):
            raise RequestError("drain.on: must be true or false")
        self.calls.draining = request["on"]
        return {"calls_left": len(self.calls)}

    def _status(self, _request: Mapping[str, Any]) -> Json:
        return {
            "version": __version__,
            "pid": os.getpid(),
            "uptime": round(time.monotonic() - self._started, 3),
            "calls": len(self.calls),
            "streams": self.calls.streams,
            "draining": self.calls.draining,
            "workers": self._workers,
            "low_latency": self._low_latency,
            "kernel_path": self._kernel.used,
            "in_kernel": self._kernel.inside,
            "ports": self._ports.figures(),
            "keys": self._keys.names(),
            "files": {"limit": self._file_limit, "open": sum(1 for _ in Path("/proc/self/fd").iterdir())},
            "libcrypto": self._plane.crypto,
            "modes": list(self._plane.modes),
            "events_lost": self._plane.events_lost,
        }


def _names(request: Mapping[str, Any]) -> Tuple[str, int]:
    name, number = request.get("call"), request.get("stream", 0)
    if not isinstance(name, str) or not 1 <= len(name) <= 1024:
        raise RequestError("call: must be a text of 1 to 1024 characters")
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= 255:
        raise RequestError("stream: must be 0 to 255")
    return name, number


def _switch(request: Mapping[str, Any], name: str) -> bool:
    value = request.get(name, False)
    if not isinstance(value, bool):
        raise RequestError(f"configure.{name}: must be true or false")
    return value


def _ports(value: Any) -> Tuple[int, int]:
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not all(isinstance(port, int) and 1024 <= port <= 65535 for port in value)
        or value[0] >= value[1]
    ):
        raise RequestError("configure.ports: must be [low, high] within 1024 to 65535")
    return value[0], value[1]


def _address(value: Any) -> None:
    try:
        ipaddress.ip_address(str(value).partition("%")[0])
    except ValueError:
        raise RequestError(f"configure.addresses: {value!r} is no IP address") from None
