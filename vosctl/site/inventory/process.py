"""Runs a program with an end: bounded in time and output, and gone afterwards with all it started."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress

_CHUNK = 1 << 16
_MAX_COMPLAINT = 1 << 16


def run_bounded(command: Sequence[str], *, seconds: float, most: int) -> tuple[int, bytes, bytes]:
    """Return exit code, standard output and standard error of ``command``.

    Output longer than ``most`` bytes comes as ``most + 1``; of standard error only the end is kept.
    Raises TimeoutError after ``seconds``, OSError where the program cannot be started.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            output, complaint = _read(process, time.monotonic() + seconds, most)
            code = 0 if len(output) > most else process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError from None
        finally:
            if process.returncode is None:  # not reaped, so the group's number is still its own
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    return code, output, complaint


def _read(process: subprocess.Popen[bytes], end: float, most: int) -> tuple[bytes, bytes]:
    assert process.stdout is not None
    assert process.stderr is not None
    output, complaint = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, output)
        selector.register(process.stderr, selectors.EVENT_READ, complaint)
        while selector.get_map() and len(output) <= most:
            ready = selector.select(max(end - time.monotonic(), 0))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                data = os.read(key.fd, _CHUNK)
                key.data.extend(data)
                if not data:
                    selector.unregister(key.fileobj)
            del complaint[:-_MAX_COMPLAINT]
    return bytes(output[: most + 1]), bytes(complaint)
