"""A small daemon for the service tests, as text: it is put on nodes as a program."""

# argv: supervise [--root DIR]. Reads <root>/etc/voice/daemon.json ({"die": seconds?, "refuse": bool}), writes a
# pidfile and a log line for each start, reload and stop.
DAEMON = b"""#!/usr/bin/python3 -IS
import json, os, signal, sys, time
root = sys.argv[sys.argv.index("--root") + 1] if "--root" in sys.argv else ""
def config():
    with open(root + "/etc/voice/daemon.json") as stream:
        return json.load(stream)
def log(word):
    with open(root + "/run/daemon.log", "a") as stream:
        stream.write(word + " " + json.dumps(config()) + chr(10))
if config().get("refuse"):
    sys.exit("daemon: this configuration is refused")
if os.fork():
    time.sleep(0.05)
    sys.exit(0)
os.setsid()
null = os.open("/dev/null", os.O_RDWR)
for descriptor in (0, 1, 2):
    os.dup2(null, descriptor)
def stop(*_):
    log("stop")
    os.unlink(root + "/run/daemon.pid")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGHUP, lambda *_: log("reload"))
log("start")
with open(root + "/run/daemon.pid.new", "w") as stream:
    stream.write(str(os.getpid()))
os.rename(root + "/run/daemon.pid.new", root + "/run/daemon.pid")
until = time.monotonic() + config().get("die", 1e9)
while time.monotonic() < until:
    time.sleep(min(0.05, 1))
os.unlink(root + "/run/daemon.pid")
"""
