"""HTTP and WebSocket byte by byte, as no well-behaved client library would send them."""

import base64
import collections
import contextlib
import json
import os
import re
import socket
import struct
import time

from binary import resident_mb

ATTACKER = "127.0.0.1"
GOES_ON = {100}
# The names of the codes that an answer may be refused with; with the rate limits on, this one always may.
LIMITED = "RATE_LIMITED"

Answer = collections.namedtuple("Answer", "status headers body")


def link(path):
    try:
        return os.readlink(path)
    except FileNotFoundError:
        # Closed meanwhile.
        return ""


class Target:
    """A running server: where it is, its process, and whether its rate limits are on."""

    def __init__(self, port, pid, limited):
        self.port, self.pid, self.limited = port, pid, limited

    def connect(self, source=ATTACKER, timeout_s=20.0):
        return socket.create_connection(("127.0.0.1", self.port), timeout_s, (source, 0))

    def descriptors(self):
        """Files and sockets that it holds, without those of the tables that its database has looked into."""
        folder = f"/proc/{self.pid}/fd"
        return sum("/pgdata/" not in link(f"{folder}/{name}") for name in os.listdir(folder))

    def resident_mb(self):
        return resident_mb(self.pid)

    def talk(self, sent, timeout_s=20.0, until=1):
        """Sends bytes, in parts if it is a list; the answers, and whether the server closed after them.

        Waits for the end of the connection when `until` is None, else for so many answers."""
        received, closed = b"", False
        with self.connect(timeout_s=timeout_s) as connection:
            with contextlib.suppress(ConnectionError, TimeoutError):
                for part in [sent] if isinstance(sent, bytes) else sent:
                    connection.sendall(part)
            try:
                while until is None or len(answers(received)) < until:
                    part = connection.recv(1 << 16)
                    if not part:
                        closed = True
                        break
                    received += part
            except ConnectionError:
                closed = True
            except TimeoutError:
                pass
        return answers(received), closed

    def ask(self, method, path, body=None, headers=(), timeout_s=20.0):
        """One request; its answer."""
        found, _ = self.talk(request(method, path, body, headers), timeout_s)
        if not found:
            raise AssertionError(f"{method} {path[:60]}: no answer within {timeout_s} s")
        return found[0]

    def post(self, body, headers=()):
        body = body if isinstance(body, bytes) else body.encode()
        return self.ask("POST", "/graphql", body, [("Content-Type", "application/json"), *headers])

    def graphql(self, document, variables=None, headers=()):
        return self.post(json.dumps({"query": document, "variables": variables}), headers)


def request(method, path, body=None, headers=()):
    lines = [f"{method} {path} HTTP/1.1", "Host: inkstone.example", *(f"{name}: {value}" for name, value in headers)]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


def chunked(body):
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def answers(received):
    """All complete answers in what was received."""
    found = []
    while b"\r\n\r\n" in received:
        head, rest = received.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        status = re.fullmatch(r"HTTP/1\.[01] (\d{3}) .*", first)
        if not status:
            raise AssertionError(f"no head of an answer: {first[:200]!r}")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines if ": " in line)}
        body = body_of(headers, int(status[1]), rest)
        if body is None:
            break
        body, received = body
        if int(status[1]) not in GOES_ON:
            found.append(Answer(int(status[1]), headers, body))
    return found


def body_of(headers, status, rest):
    """The body and what follows it; None while it is not complete."""
    if status in GOES_ON:
        return b"", rest
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while b"\r\n" in rest:
            size, rest = rest.split(b"\r\n", 1)
            size = int(size, 16)
            if len(rest) < size + 2:
                return None
            body, rest = body + rest[:size], rest[size + 2:]
            if size == 0:
                return body, rest
        return None
    size = int(headers.get("content-length", 0))
    return (rest[:size], rest[size:]) if len(rest) >= size else None


def expect(target, answer, what, status, code=None, says=""):
    """The answer has one of these statuses, its JSON this code and a message that says this.

    A refusal by the rate limit is right as well where limits are on."""
    statuses = status if isinstance(status, tuple) else (status,)
    told = f"{what}: status {answer.status}, {answer.body[:300]!r}"
    if answer.status >= 500 and answer.status not in statuses:
        raise AssertionError(f"{told}: the server is at fault")
    if target.limited and answer.status == 429:
        statuses, code, says = (429,), LIMITED, r"points a minute are allowed"
    if answer.status not in statuses:
        raise AssertionError(f"{told}: expected status {status}")
    if code is None and not says:
        return
    try:
        errors = json.loads(answer.body)["errors"]
        found = [(error["extensions"]["code"], error["message"]) for error in errors]
    except (ValueError, KeyError, TypeError):
        raise AssertionError(f"{told}: expected JSON with errors that have a code") from None
    if code not in [found_code for found_code, _ in found]:
        raise AssertionError(f"{told}: expected the code {code}")
    if not any(re.search(says, message) for _, message in found):
        raise AssertionError(f"{told}: expected a message like {says!r}")


def frame(payload, kind=1, last=True, masked=True, reserved=0):
    """A WebSocket frame; 1 is text, 2 binary, 0 goes on, 8 close, 9 ping."""
    payload = payload.encode() if isinstance(payload, str) else payload
    mask, size = 0x80 if masked else 0, len(payload)
    head = bytes([last << 7 | reserved << 4 | kind])
    if size < 126:
        head += bytes([mask | size])
    elif size < 1 << 16:
        head += bytes([mask | 126]) + struct.pack(">H", size)
    else:
        head += bytes([mask | 127]) + struct.pack(">Q", size)
    # A mask of zeros changes nothing.
    return head + (bytes(4) if masked else b"") + payload


class WebSocket:
    """A connection that was upgraded."""

    def __init__(self, target, protocol="graphql-transport-ws", timeout_s=20.0):
        self.connection = target.connect(timeout_s=timeout_s)
        key = base64.b64encode(os.urandom(16)).decode()
        headers = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Key", key),
                   ("Sec-WebSocket-Version", "13")]
        if protocol:
            headers.append(("Sec-WebSocket-Protocol", protocol))
        self.connection.sendall(request("GET", "/graphql", headers=headers))
        self.received = b""
        while b"\r\n\r\n" not in self.received:
            self.read()
        head, self.received = self.received.split(b"\r\n\r\n", 1)
        self.status = int(head.split(b" ")[1])

    def read(self):
        part = self.connection.recv(1 << 16)
        if not part:
            raise ConnectionError("the server closed")
        self.received += part

    def send(self, *frames):
        with contextlib.suppress(ConnectionError, TimeoutError):
            for sent in frames:
                self.connection.sendall(sent)

    def next(self):
        """The kind and the payload of the next frame."""
        while True:
            found = self.take()
            if found:
                return found
            self.read()

    def take(self):
        if len(self.received) < 2:
            return None
        size, begin = self.received[1] & 0x7F, 2
        if size > 125:
            width = 2 if size == 126 else 8
            begin += width
            if len(self.received) < begin:
                return None
            size = int.from_bytes(self.received[2:begin], "big")
        if len(self.received) < begin + size:
            return None
        found = self.received[0] & 0x0F, self.received[begin:begin + size]
        self.received = self.received[begin + size:]
        return found

    def messages_until_close(self, within_s=20.0):
        """All texts, and the code and the reason of the close frame; code 0 where it just closed."""
        texts, ends = [], time.monotonic() + within_s
        try:
            while time.monotonic() < ends:
                kind, payload = self.next()
                if kind == 8:
                    return texts, int.from_bytes(payload[:2], "big"), payload[2:].decode()
                if kind == 1:
                    texts.append(payload.decode())
        except ConnectionError:
            return texts, 0, ""
        except TimeoutError:
            pass
        raise AssertionError(f"the server did not close the WebSocket within {within_s} s")

    def close(self):
        self.connection.close()
