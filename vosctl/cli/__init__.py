"""The command line: parses into options, calls, reports."""

import gc
import sys

# What a site is read into lives until the end of the run: looking for garbage in it all the time finds none and
# takes an eighth of the time that a command needs to start.
gc.set_threshold(100_000, 20, 20)

if "invoke" not in sys.modules:
    # paramiko imports it for a feature of its own ssh_config parser, which nothing here uses: 40 ms of each start.
    sys.modules["invoke"] = None  # type: ignore[assignment]
    import paramiko  # noqa: F401

    del sys.modules["invoke"]
