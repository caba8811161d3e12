"""WebSockets and server-sent events that do not keep to their protocols."""

import json
import selectors
import time

from .documents import BAD
from .wire import WebSocket, expect, frame

# The constants of src/http/websocket.rs, with room for a busy machine.
INIT_WITHIN_S = 10.0
CLOSE_LIMIT_S = INIT_WITHIN_S + 15.0
# Who reads nothing is let go after SEND_WITHIN_S, as soon as what the system holds for it is full.
SEND_WITHIN_S = 10.0
UNREAD_LIMIT_S = SEND_WITHIN_S + 10.0
UNREAD = 5
# What both systems hold for a connection, and more.
UNREAD_MB = 64
PING_EVERY_S = 20.0
# Pings that may stay unanswered: at the time of the next one it is over.
UNANSWERED = 3
UNANSWERED_LIMIT_S = (UNANSWERED + 1) * PING_EVERY_S + 15.0
SILENT = 500
SUBSCRIBES = 1000
PER_SOCKET = 50
INIT = frame('{"type":"connection_init"}')
# Of the protocol, and of WebSockets themselves, which the library answers.
LARGE_PING = frame('{"type":"ping","payload":"' + "x" * 500_000 + '"}')
MANY_PINGS = frame(b"x" * 125, kind=9) * 4000
PONG = frame('{"type":"pong"}')


def subscribe(name, query="subscription {postPublished {cursor}}"):
    return frame(json.dumps({"type": "subscribe", "id": name, "payload": {"query": query}}))


# Frames, the codes that the socket may be closed with, what the reason says. 0: cut without a word.
GARBAGE = {
    "binary": ([frame(b"x", kind=2)], (4400,)),
    "frames without a mask": ([frame('{"type":"connection_init"}', masked=False)], (1002, 1009)),
    "reserved bits": ([frame("x", reserved=4)], (1002, 1009)),
    "an unknown kind of frame": ([frame("x", kind=11)], (1002, 1009)),
    "text that is no UTF-8": ([frame(b"\xff\xfe")], (1007, 1009)),
    "broken JSON": ([frame("{")], (4400,)),
    "an unknown type": ([frame('{"type":"nothing"}')], (4400,)),
    "no type": ([frame("[]")], (4400,)),
    "a type of the older protocol": ([frame('{"type":"start","id":"1","payload":{}}')], (4400,)),
    "JSON 100,000 deep": ([frame('{"type":"ping","payload":' + "[" * 100_000 + "]" * 100_000 + "}")], (4400,)),
    "10 MB": ([frame("x" * (10 << 20))], (0, 1009)),
    "a length of 2^63": ([b"\x81\xff\x7f" + b"\xff" * 7 + bytes(4)], (1002, 1009)),
    "fragments without an end": ([INIT, frame("x" * 1000, last=False), *[frame("x" * 1000, kind=0, last=False)] * 3000],
                                 (0, 1009)),
    "what goes on without a beginning": ([frame("x", kind=0)], (1002, 1009)),
    "a ping of 126 bytes": ([frame("x" * 126, kind=9)], (1002, 1009)),
    "a ping in fragments": ([frame("x", kind=9, last=False)], (1002, 1009)),
    "a close of one byte": ([frame(b"\0", kind=8)], (1002, 1009)),
    "a close with a code that is none": ([frame(b"\0\4", kind=8)], (1002,)),
    "subscribe before connection_init": ([subscribe("1")], (4401,)),
    "connection_init twice": ([INIT, INIT], (4429,)),
    "the same id twice": ([INIT, subscribe("1"), subscribe("1")], (4409,)),
    "a token that is none": ([frame('{"type":"connection_init","payload":{"authorization":"Bearer x"}}')], (4403,)),
}


def garbage(target):
    for name, (frames, codes) in GARBAGE.items():
        socket = WebSocket(target)
        socket.send(*frames)
        _, code, reason = socket.messages_until_close()
        socket.close()
        if code not in codes:
            raise AssertionError(f"WebSocket, {name}: closed with {code} {reason!r}, expected one of {codes}")
    for protocol in ("graphql-ws", "nothing", None):
        socket = WebSocket(target, protocol)
        _, code, reason = socket.messages_until_close()
        socket.close()
        if code != 4406 or "graphql-transport-ws" not in reason:
            raise AssertionError(f"the subprotocol {protocol}: closed with {code} {reason!r}, expected 4406")


def silent(target):
    """Many that never send connection_init are let go."""
    sockets = [WebSocket(target, timeout_s=CLOSE_LIMIT_S) for _ in range(SILENT)]
    for socket in sockets:
        _, code, reason = socket.messages_until_close(CLOSE_LIMIT_S)
        socket.close()
        if code != 4408:
            raise AssertionError(f"a WebSocket without connection_init: closed with {code} {reason!r}, expected 4408")


def many_subscribes(target):
    """Those beyond the limit of one socket are refused, each with the limit; the others run."""
    socket = WebSocket(target)
    socket.send(INIT, *(subscribe(str(number)) for number in range(SUBSCRIBES)))
    refused = 0
    while refused < SUBSCRIBES - PER_SOCKET:
        kind, payload = socket.next()
        message = json.loads(payload) if kind == 1 else {}
        if message.get("type") != "error":
            continue
        error = message["payload"][0]
        if error["extensions"]["code"] != "RATE_LIMITED" or f"at most {PER_SOCKET} operations" not in error["message"]:
            if not (target.limited and "points a minute" in error["message"]):
                raise AssertionError(f"the subscribe {message['id']}: {error}")
        refused += 1
    socket.close()


def events(target):
    accept = [("Accept", "text/event-stream")]
    for path, method, status, code in [
        ("/graphql/stream", "GET", 400, BAD), ("/graphql/stream?query=", "GET", 400, BAD),
        ("/graphql/stream?token=%00", "GET", 404, "NOT_FOUND"), ("/graphql/stream?token=x", "GET", 404, "NOT_FOUND"),
        ("/graphql/stream?query=%ff&variables=%ff", "GET", 400, BAD), ("/graphql/stream", "DELETE", 400, BAD),
        ("/graphql/stream?token=x", "DELETE", 400, BAD), ("/graphql/stream?token=x&operationId=%00", "DELETE", 404, "NOT_FOUND"),
        ("/graphql/stream?query=mutation{signOut{userErrors{code}}}", "GET", 405, BAD),
    ]:
        expect(target, target.ask(method, path, headers=accept), f"{method} {path}", status, code)
    typed = [*accept, ("Content-Type", "application/json")]
    for name, body in {"broken JSON": b"{", "a list": b'[{"query":"{__typename}"}]', "bytes": b"\xff\0"}.items():
        answer = target.ask("POST", "/graphql/stream", body, typed)
        expect(target, answer, f"SSE with {name}", 400, BAD)
    for cursor in ("x", "%00", "9" * 5000, "AAAAAAAAAxkAAAAAAAAAzx"):
        body = b'{"query":"subscription {postPublished {cursor}}"}'
        answer = target.ask("POST", "/graphql/stream", body, [*typed, ("Last-Event-ID", cursor)])
        expect(target, answer, f"SSE with the Last-Event-ID {cursor[:20]}", 400, BAD)
    answer = target.ask("POST", "/graphql/stream?token=x", b'{"query":"{__typename}"}', typed)
    expect(target, answer, "an operation for a stream without operationId", 400, BAD)
    answer = target.ask("POST", "/graphql/stream", b'{"query":"subscription {nothing}"}', typed)
    expect(target, answer, "SSE with a subscription that there is not", (200, 400))


def acknowledged(target, timeout_s=20.0):
    """A WebSocket that may begin operations."""
    socket = WebSocket(target, timeout_s=timeout_s)
    socket.send(INIT)
    _, payload = socket.next()
    if payload != b'{"type":"connection_ack"}':
        raise AssertionError(f"connection_init: answered with {payload[:200]!r}, expected connection_ack")
    return socket


def unread_pongs(target):
    """Who asks for many or large answers and reads none is cut off when the server has waited long enough."""
    sockets = [acknowledged(target) for _ in range(2 * UNREAD)]
    begun = time.monotonic()
    with selectors.DefaultSelector() as watched:
        for index, socket in enumerate(sockets):
            socket.connection.setblocking(False)
            watched.register(socket.connection, selectors.EVENT_WRITE, (LARGE_PING if index % 2 else MANY_PINGS, 0))
        while watched.get_map() and time.monotonic() - begun < UNREAD_LIMIT_S:
            # A connection that is full wakes nobody until it is cut.
            for key, _ in watched.select(0.2):
                try:
                    pings, sent = key.data
                    sent += key.fileobj.send(pings[sent % len(pings):])
                    watched.modify(key.fileobj, selectors.EVENT_WRITE, (pings, sent))
                    if sent > UNREAD_MB << 20:
                        raise AssertionError(f"the server took more than {UNREAD_MB} MB of one that reads nothing")
                except ConnectionError:
                    watched.unregister(key.fileobj)
                    took_s = time.monotonic() - begun
                    if took_s < SEND_WITHIN_S:
                        raise AssertionError(f"who reads nothing was cut off after {took_s:.1f} s, which is not for "
                                             f"being slow: expected at least {SEND_WITHIN_S} s") from None
        left = len(watched.get_map())
    for socket in sockets:
        socket.close()
    if left:
        raise AssertionError(f"{left} of {len(sockets)} WebSockets that read nothing were still open after {UNREAD_LIMIT_S} s")


def unanswered_pings(target):
    """Who reads the server's pings and answers none is let go."""
    socket = acknowledged(target, UNANSWERED_LIMIT_S)
    texts, code, reason = socket.messages_until_close(UNANSWERED_LIMIT_S)
    socket.close()
    if (code, reason) != (4408, "no answer to pings") or texts != ['{"type":"ping"}'] * UNANSWERED:
        raise AssertionError(f"a WebSocket that answers no ping: closed with {code} {reason!r} after {texts}, "
                             f"expected 4408 after {UNANSWERED} pings")


def answered_pings(target):
    """Who answers them stays."""
    socket = acknowledged(target, PING_EVERY_S + 15.0)
    for number in range(UNANSWERED + 1):
        try:
            _, payload = socket.next()
        except (ConnectionError, TimeoutError) as error:
            payload = str(error)
        if payload != b'{"type":"ping"}':
            raise AssertionError(f"a WebSocket that answers pings: got {payload[:200]!r}, expected ping {number + 1}")
        socket.send(PONG)
    socket.close()


ATTACKS = [garbage, silent, many_subscribes, events]
# Those that mostly wait, beside all others.
BESIDE = [unread_pongs, unanswered_pings, answered_pings]
