"""The command line: parses into options, calls, reports."""

import gc

# What a site is read into lives until the end of the run: looking for garbage in it all the time finds none and
# takes an eighth of the time that a command needs to start.
gc.set_threshold(100_000, 20, 20)
