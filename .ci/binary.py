"""What the scripts that start the built binary share."""

import os
import re
import socket
import time

READY_LIMIT_S = 60.0
PASSWORD = re.compile(r'with the handle "([^"]+)" and the password (\S+)')


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment():
    """Nothing that would point the server at another database."""
    return {k: v for k, v in os.environ.items()
            if not k.startswith("INKSTONE_") and k not in ("DATABASE_URL", "REDIS_URL")}


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
