"""GraphQL documents that ask for too much, or for nothing that there is."""

from .wire import expect

BAD = "BAD_USER_INPUT"
NESTING = r"brackets \d+ deep, 200 are allowed"
TOKENS = r"\d+ tokens, 10000 are allowed"


def doubling(times):
    """A fragment that comes to two to the power of `times` fields."""
    parts = [f"fragment F{i} on Query {{ ...F{i + 1} ...F{i + 1} }}" for i in range(times)]
    return "{ ...F0 } " + " ".join(parts) + f" fragment F{times} on Query {{ __typename }}"


def aliases(number):
    return "{" + " ".join(f"a{i}: __typename" for i in range(number)) + "}"


# Document and what the error has to say.
REFUSED = {
    "10,000 deep": ("{" + "a{" * 10_000 + "b" + "}" * 10_000 + "}", NESTING),
    "10,000 deep, never closed": ("{" + "a{" * 10_000, NESTING),
    "lists 10,000 deep": ("{a(b:" + "[" * 10_000 + "]" * 10_000 + ")}", NESTING),
    "objects 10,000 deep": ("{a(b:" + "{c:" * 10_000 + "1" + "}" * 10_000 + ")}", NESTING),
    "30 deep": ("{site{" + "owner{site{" * 14 + "title" + "}}" * 14 + "}}", r"depth of \d+, and at most 15"),
    "100,000 fields": ("{" + " __typename" * 100_000 + "}", TOKENS),
    "10,000 aliases": (aliases(10_000), TOKENS),
    "1,000 aliases": (aliases(1000), r"aliases of 1000, and at most 30"),
    "a fragment of itself": ("{...A} fragment A on Query {__typename ...A}", r"spread themselves"),
    "circular fragments": ("{...A} fragment A on Query {...B} fragment B on Query {...A}", r"spread themselves"),
    "fragments that double 30 times": (doubling(30), r"fields of 1073741824, and at most 20000"),
    "10,000 directives": ("{__typename" + " @include(if: true)" * 10_000 + "}", TOKENS),
    "1,000 directives": ("{__typename" + " @include(if: true)" * 1000 + "}", r"directives of 1000, and at most 50"),
    "3,000 variables": ("query(" + " ".join(f"$v{i}: Int" for i in range(3000)) + "){__typename}", TOKENS),
    "100 mutations": ("mutation{" + "signOut{userErrors{code}}" * 100 + "}", r"at most 10|never|cost|[Uu]nknown"),
    "100 rows of 100 rows": ("{posts(first:100){nodes{author{posts(first:100){nodes{html}}}}}}",
                             r"cost of \d+, and at most 50000"),
    "10 looks at the schema": ("{" + "__schema{types{fields{type{fields{name}}}}}" * 11 + "}", r"at most"),
    "a NUL in the text": ('{post(slug: "a\\u0000b") {id}}', r"NUL"),
    "first of 24 digits": ("{posts(first: 999999999999999999999999) {nodes {id}}}", r"first"),
    "first of 2^31": ("{posts(first: 2147483648) {nodes {id}}}", r"2147483647"),
    "first below none": ("{posts(first: -1) {nodes {id}}}", r"1 to 100"),
    "first of 1e400": ("{posts(first: 1e400) {nodes {id}}}", r"number"),
    "a string without an end": ('{post(slug: "' + "x" * 100_000 + "){id}}", r"."),
    "1,000 unused fragments": ("{__typename}" + "".join(f" fragment F{i} on Query{{__typename}}" for i in range(1000)),
                               r"never used"),
    "a field of 100 KB": ("{" + "x" * 100_000 + "}", r"."),
}


def documents(target):
    for modern in (False, True):
        # The newer media type has status codes that mean something.
        headers = [("Accept", "application/graphql-response+json")] if modern else []
        for name, (document, says) in REFUSED.items():
            answer = target.graphql(document, headers=headers)
            expect(target, answer, name, (200, 400) if modern else 200, BAD, says)


def variables(target):
    query = "query($first: Int, $slug: String!) {posts(first: $first) {nodes {id}} post(slug: $slug) {id}}"
    for name, given in {
        "first of 30 digits": {"first": 10**30, "slug": "a"},
        "first of 1e308": {"first": 1e308, "slug": "a"},
        "first as a text": {"first": "1", "slug": "a"},
        "first as a list": {"first": [[1]], "slug": "a"},
        "a NUL": {"slug": "a\0b"},
        "nothing": {},
        "null": {"slug": None},
    }.items():
        expect(target, target.graphql(query, given), f"variables: {name}", (200, 400), BAD)


def dearest(target):
    """Valid, and as dear as one operation may be, again and again; with limits, until they are reached.
    Each another, because the same is answered out of what is kept."""
    document = "{posts(first:100){nodes{html comments(first:20){nodes{html replies(first:5){nodes{html}}}}}}}"
    refusals = 0
    for number in range(60):
        answer = target.graphql(f"{document} # {number}")
        expect(target, answer, "the dearest query", 200)
        if answer.status == 429:
            refusals += 1
            if not answer.headers.get("retry-after", "").isdigit():
                raise AssertionError(f"a refusal by the rate limit should tell Retry-After: {answer.headers}")
    if target.limited and not refusals:
        raise AssertionError(f"{number + 1} of the dearest queries should be more than the rate limit allows")


ATTACKS = [documents, variables, dearest]
