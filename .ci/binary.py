"""What the scripts that start the built binary share."""

import os
import socket


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment():
    """Nothing that would point the server at another database."""
    return {k: v for k, v in os.environ.items()
            if not k.startswith("INKSTONE_") and k not in ("DATABASE_URL", "REDIS_URL")}
