"""Many connections that say little."""

import selectors
import socket
import time

from .wire import answers, expect, request

# What .ci/hostile sets, so that it does not take minutes to see them kept.
HEAD_LIMIT_S = 8.0
BODY_LIMIT_S = 6.0
# Beyond these limits, on a busy machine.
ROOM_S = 15.0
SLOW = 200
HALF = 350
# The room for 128 bodies of 2 MB (src/http/body.rs), of which each may have twice the memory that it uses.
BODIES_MB = 512
# How long the server waits for who takes nothing (src/http/server.rs).
WRITE_PATIENCE_S = 30.0
UNREAD = 40
LARGE = b'{"query": "{ posts(first: 100) { nodes { html markdown } } }"}'
IDLE = 10_000
# Each address has about 28,000 ports.
PER_ADDRESS = 5000
HEAD = b"POST /graphql HTTP/1.1\r\nHost: inkstone.example\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n"


def opened(target, number):
    """So many connections, from as many local addresses as their ports need."""
    return [target.connect(source=f"127.0.1.{1 + index // PER_ADDRESS}") for index in range(number)]


def drip(connections, sent, limit_s):
    """Sends a byte a second on each until all are closed; what each received."""
    begun, at = time.monotonic(), 0
    received = {connection: b"" for connection in connections}
    with selectors.DefaultSelector() as watched:
        for connection in connections:
            connection.setblocking(False)
            watched.register(connection, selectors.EVENT_READ)
        while watched.get_map() and time.monotonic() - begun < limit_s:
            if time.monotonic() - begun >= at:
                for key in list(watched.get_map().values()):
                    try:
                        key.fileobj.send(sent[at % len(sent):][:1])
                    except OSError:
                        watched.unregister(key.fileobj)
                at += 1
            for key, _ in watched.select(0.05):
                try:
                    part = key.fileobj.recv(65_536)
                except OSError:
                    part = b""
                received[key.fileobj] += part
                if not part:
                    watched.unregister(key.fileobj)
        left = len(watched.get_map())
    for connection in connections:
        connection.close()
    if left:
        raise AssertionError(f"{left} of {len(connections)} connections were still open after {limit_s} s")
    return received.values()


def slow_heads(target):
    connections = opened(target, SLOW)
    for connection in connections:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: inkstone.example\r\nX-Slow: ")
    for received in drip(connections, b"y", HEAD_LIMIT_S + ROOM_S):
        for answer in answers(received):
            expect(target, answer, "a head of a byte a second", 408)


def slow_bodies(target):
    connections = opened(target, SLOW)
    for connection in connections:
        connection.sendall(HEAD + b"\r\n{")
    told = 0
    for received in drip(connections, b" ", BODY_LIMIT_S + ROOM_S):
        for answer in answers(received):
            expect(target, answer, "a body of a byte a second", 408, "BAD_USER_INPUT", r"within \d+ ms")
            told += 1
    if told < SLOW // 2:
        raise AssertionError(f"{told} of {SLOW} slow bodies were told why they are refused")


def idle(target):
    """Ten thousand, or as many as the system allows, that say nothing are held, and then let go."""
    before = target.descriptors()
    connections = opened(target, IDLE)
    most, begun = 0, time.monotonic()
    while time.monotonic() - begun < HEAD_LIMIT_S + ROOM_S:
        now = target.descriptors() - before
        most = max(most, now)
        if most >= IDLE / 2 and now < IDLE / 100:
            break
        time.sleep(0.1)
    for connection in connections:
        connection.close()
    print(f"hostile:   {most} idle connections at once", flush=True)
    # The first may be let go of while the last are opened.
    if most < IDLE / 2 or now >= IDLE / 100:
        raise AssertionError(f"of {IDLE} idle connections {most} were held, and {now} are left: expected most, and none")


def half_bodies(target):
    """Large bodies that never end take no more memory than there is."""
    body = HEAD.replace(b"9999", b"2000000") + b"\r\n" + b" " * 1_500_000
    before_mb, connections = target.resident_mb(), opened(target, HALF)
    for connection in connections:
        connection.settimeout(2.0)
        try:
            connection.sendall(body)
        except OSError:
            # Not taken: also an answer.
            pass
    more_mb = target.resident_mb() - before_mb
    print(f"hostile:   {more_mb:.0f} MB more resident with {HALF} bodies of 1.5 MB begun", flush=True)
    if more_mb > BODIES_MB:
        raise AssertionError(f"{HALF} bodies that never end take {more_mb:.0f} MB, expected at most {BODIES_MB}")
    told = set()
    for received in drip(connections, b" ", BODY_LIMIT_S + ROOM_S):
        for answer in answers(received):
            expect(target, answer, "half a body", (408, 503))
            told.add(answer.status)
    if 503 not in told:
        raise AssertionError(f"some of {HALF} large bodies should have been told OVERLOADED, got {told}")


def burst(target):
    """Connections that come all at once do not make others wait for a second."""
    waiting = []
    for index in range(2000):
        connection = socket.socket()
        connection.setblocking(False)
        connection.bind((f"127.0.1.{1 + index // PER_ADDRESS}", 0))
        connection.connect_ex(("127.0.0.1", target.port))
        waiting.append(connection)
    begun = time.monotonic()
    with target.connect():
        took_s = time.monotonic() - begun
    for connection in waiting:
        connection.close()
    if took_s > 0.9:
        raise AssertionError(f"a connection among 2,000 others took {took_s:.1f} s: the listener's backlog is too short")


def unread_answers(target):
    """Who takes nothing of large answers, whole or as a stream, is let go: what was not sent by then never comes."""
    json = ("Content-Type", "application/json")
    asked = [request("POST", "/graphql", LARGE, [json]),
             request("POST", "/graphql/stream", LARGE, [json, ("Accept", "text/event-stream")])]
    connections = [target.connect(source="127.0.2.1") for _ in asked]
    for connection, each in zip(connections, asked):
        connection.sendall(each * UNREAD)
    time.sleep(WRITE_PATIENCE_S + ROOM_S)
    for connection, each in zip(connections, asked):
        received, is_open = b"", True
        connection.settimeout(ROOM_S)
        while is_open:
            try:
                part = connection.recv(1 << 20)
            except TimeoutError:
                break
            except ConnectionError:
                part = b""
            received, is_open = received + part, bool(part)
        connection.close()
        complete = len(answers(received))
        if not 0 < complete < UNREAD:
            raise AssertionError(f"who took nothing for {WRITE_PATIENCE_S + ROOM_S} s got {complete} of {UNREAD} answers "
                                 f"to {each[:60]!r}: expected some, and the end")


ATTACKS = [slow_heads, slow_bodies, half_bodies, burst, idle]
BESIDE = [unread_answers]
