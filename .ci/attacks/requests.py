"""Requests that are too large, broken, ambiguous, or of things that are not there."""

import gzip
import json
import os

from .documents import BAD
from .wire import chunked, expect, request

JSON = ("Content-Type", "application/json")
HEAD = b"POST /graphql HTTP/1.1\r\nHost: inkstone.example\r\nContent-Type: application/json\r\n"
ASKED = b'{"query":"{__typename}"}'
TEN_MB = b'{"query":"' + b"x" * (10 << 20) + b'"}'
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: inkstone.example\r\n\r\n"
NOT_A_REQUEST = r"no GraphQL request"


def bodies(target):
    query = b'{"query":"{__typename}","variables":{"a":%s}}'
    for name, body in {
        "JSON that breaks off": b'{"query":',
        "JSON 100,000 deep": query % (b"[" * 100_000 + b"]" * 100_000),
        "JSON 100,000 deep, never closed": b"[" * 100_000,
        "UTF-8 that is none": b'{"query":"{__typename \xff\xfe}"}',
        "half a surrogate": b'{"query":"\\ud800"}',
        "a number of 400 digits": query % (b"9" * 400),
        "nothing": b"", "null": b"null", "a number": b"1", "a text": b'"a"', "an empty list": b"[]",
        "no JSON": os.urandom(10_000).replace(b"[", b"(").strip() or b"x",
    }.items():
        expect(target, target.post(body), f"a body of {name}", 400, BAD, NOT_A_REQUEST)
    batch = json.dumps([{"query": "{__typename}"}] * 10_000)
    expect(target, target.post(batch), "a batch of 10,000", 400, BAD, r"holds 10000 operations, and at most 10")
    # What nobody asks for is read past, however deep.
    deep = b'{"query":"{__typename}","other":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}"
    expect(target, target.post(deep), "an unknown key 100,000 deep", (200, 400))


def large_bodies(target):
    expect(target, target.post(TEN_MB), "10 MB", 413, BAD, r"larger than 2097152 bytes")
    parts = [TEN_MB[at:at + 65_536] for at in range(0, len(TEN_MB), 65_536)]
    sent = [HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)]
    found, closed = target.talk([*sent, b"0\r\n\r\n"], until=None)
    expect(target, found[0], "10 MB in chunks", 413, BAD, r"larger than 2097152 bytes")
    if not closed:
        raise AssertionError("10 MB in chunks: the connection should be closed")
    bomb = gzip.compress(b" " * (100 << 20))
    for encoding in ("gzip", "br", "zstd", "deflate", "gzip, gzip"):
        # Compressed bodies are not taken: it is read as what it is, which is no JSON.
        answer = target.post(bomb, [("Content-Encoding", encoding)])
        expect(target, answer, f"a bomb in {encoding}", (400, 415), BAD)


def media_types(target):
    for sent in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", ";", "*/*",
                 "application/json-patch+json", "application/graphql", "a" * 5000, "application/json\xff"):
        answer = target.ask("POST", "/graphql", ASKED, [("Content-Type", sent)])
        expect(target, answer, f"Content-Type: {sent[:60]}", 415, BAD, r"send JSON")
    for accept in ("", "*", "text/html;q=9", "a" * 5000, "," * 5000, "application/graphql-response+json\xff"):
        expect(target, target.post(ASKED, [("Accept", accept)]), f"Accept: {accept[:60]}", (200, 406))


def smuggling(target):
    """Whatever is read of it, the request that hides behind it is not answered."""
    body = chunked(ASKED)
    for name, headers, body, statuses in [
        # RFC 9112, 6.3: Transfer-Encoding overrides, and the connection is closed.
        ("both, length first", b"Content-Length: 4\r\nTransfer-Encoding: chunked", body, (200, 400)),
        ("both, length last", b"Transfer-Encoding: chunked\r\nContent-Length: %d" % (len(body) + len(SMUGGLED)), body,
         (200, 400)),
        ("two lengths", b"Content-Length: 24\r\nContent-Length: 5", ASKED, (400,)),
        ("two lengths in one", b"Content-Length: 24, 5", ASKED, (400,)),
        *((f"length {length}", b"Content-Length: " + length, ASKED, (400, 431)) for length in (
            b"+24", b"-1", b"0x18", b"2 4", b"", b"99999999999999999999999", b"18446744073709551615")),
        *((f"{coding}", coding, body, (400,)) for coding in (
            b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding : chunked",
            b"Transfer-Encoding: identity", b"Transfer-Encoding:\x0bchunked", b" Transfer-Encoding: chunked",
            b"Transfer-Encoding\n: chunked", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity")),
        ("a chunk of no size", b"Transfer-Encoding: chunked", b"ZZ\r\n", (400,)),
        ("a chunk of too many digits", b"Transfer-Encoding: chunked", b"F" * 17 + b"\r\n", (400,)),
        ("a chunk extension of 100 KB", b"Transfer-Encoding: chunked", b"1;" + b"a" * 100_000 + b"\r\n", (400,)),
        ("100,000 trailers", b"Transfer-Encoding: chunked", b"0\r\n" + b"a: b\r\n" * 100_000 + b"\r\n", (400,)),
    ]:
        found, closed = target.talk(HEAD + headers + b"\r\n\r\n" + body + SMUGGLED, until=None)
        if len(found) != 1 or not closed:
            told = [answer.status for answer in found]
            raise AssertionError(f"smuggling, {name}: expected one answer and the end, got {told}, closed: {closed}")
        expect(target, found[0], f"smuggling, {name}", statuses)


def heads(target):
    start = b"GET /readyz HTTP/1.1\r\nHost: inkstone.example\r\n"
    for name, head, statuses in [
        ("a header of 100 KB", start + b"X: " + b"y" * 100_000 + b"\r\n\r\n", (431,)),
        ("1,000 headers", start + b"".join(b"X-%d: y\r\n" % i for i in range(1000)) + b"\r\n", (431,)),
        ("an address of 100 KB", b"GET /" + b"y" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", (414, 431)),
        ("bytes in the address", b"GET /graphql?query=\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", (400,)),
        ("a NUL in the address", b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", (400,)),
        ("a NUL in a header", start + b"X: \0\r\n\r\n", (400,)),
        ("no HTTP", os.urandom(64) + b"\r\n\r\n", (400,)),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), (400,)),
    ]:
        found, closed = target.talk(head, until=None)
        # One that is still being sent may be cut before its answer is read.
        if not closed or len(found) > 1:
            raise AssertionError(f"{name}: expected a refusal and the end of the connection, got {found}")
        for answer in found:
            expect(target, answer, name, statuses)
    frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(5000)
    with target.connect() as connection:
        connection.sendall(frames)
        try:
            while connection.recv(65_536):
                pass
        except ConnectionError:
            pass


def methods(target):
    for method in ("TRACE", "DELETE", "PUT", "PATCH", "PROPFIND", "FOO", "G" * 1000):
        for path in ("/graphql", "/feed.xml", "/schema.graphql", "/readyz"):
            answer = target.ask(method, path, headers=[("X-Secret", "echo")])
            expect(target, answer, f"{method[:20]} {path}", 405)
            if b"echo" in answer.body:
                raise AssertionError(f"{method} {path} sends back what it was sent")
    expect(target, target.ask("CONNECT", "elsewhere.example:443"), "CONNECT", (400, 404, 405))
    expect(target, target.ask("GET", "/graphql?query=mutation{signOut{userErrors{code}}}"), "a mutation over GET", 405, BAD)


def addresses(target):
    for path, statuses, code in [
        ("/graphql", 400, BAD), ("/graphql?query=", 400, BAD), ("/graphql?query={a}&query={b}", 400, BAD),
        ("/graphql?query={__typename}&variables=[[[", 400, BAD), ("/graphql?query={__typename}&variables=1", 400, BAD),
        ("/graphql?query={__typename}&extensions=%00", 400, BAD), ("/graphql?query=%ff%fe", (200, 400), BAD),
        ("/graphql?query=%00", (200, 400), BAD), ("/graphql?query={a}&extensions={%22persistedQuery%22:1}", (200, 400), BAD),
        ("/%00", 404, None), ("/../../../../etc/passwd", 404, None), ("/..%2f..%2fetc/passwd", 404, None),
        ("/graphql/../healthz", 404, None), ("//", 404, None), ("/%", 404, None), ("/" + "a/" * 5000, 404, None),
        ("/assets/../../etc/passwd", 404, None), ("/assets/%2e%2e/%2e%2e/etc/passwd", 404, None),
        ("/feed.xml?%00=%ff&page=-1", 200, None), ("/sitemap.xml?page=99999999999999999999", 200, None),
        ("/robots.txt?%", 200, None), ("/schema.graphql?x=%ff%00&&&==", 200, None),
        ("/%00/feed.xml", 404, "NOT_FOUND"), ("/tags/%00/feed.xml", 404, "NOT_FOUND"),
        ("/tags/../feed.xml", 404, "NOT_FOUND"), ("/tags/..%2f/feed.xml", 404, "NOT_FOUND"),
        ("/tags/'%20OR%201=1--/feed.json", 404, "NOT_FOUND"), ("/tags/" + "a" * 5000 + "/atom.xml", 404, "NOT_FOUND"),
        ("/%ff/feed.xml", 400, BAD), ("/tags/%ff/atom.xml", 400, BAD),
    ]:
        expect(target, target.ask("GET", path), f"GET {path[:60]}", statuses, code)
    for name, sent in {"If-None-Match": "\"" * 5000, "If-Modified-Since": "a" * 5000, "Range": "bytes=0-0," * 500,
                       "Accept-Encoding": "gzip;q=nan," * 500, "Cookie": "=;" * 2000, "Traceparent": "00-" * 500,
                       "X-Forwarded-For": "::," * 2000, "Authorization": "Bearer", "Last-Event-ID": "x" * 5000,
                       "X-Request-Id": "\xff" * 100, "Origin": "null", "Expect": "200-maybe"}.items():
        for path in ("/feed.xml", "/graphql?query={__typename}", "/schema.graphql"):
            answer = target.ask("GET", path, headers=[(name, sent)])
            expect(target, answer, f"{name}: {sent[:20]} for {path}", (200, 400, 401, 417))


def pipeline(target):
    """1,000 requests at once on one connection are answered in their order."""
    sent = request("POST", "/graphql", ASKED, [JSON])
    found, _ = target.talk(sent * 1000, until=1000)
    if len(found) != 1000:
        raise AssertionError(f"1,000 requests at once: {len(found)} answers")
    for answer in found:
        expect(target, answer, "1,000 requests at once", 200)


ATTACKS = [bodies, large_bodies, media_types, smuggling, heads, methods, addresses, pipeline]
