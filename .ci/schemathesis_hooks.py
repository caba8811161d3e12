"""What .ci/schemathesis adds to schemathesis: the check it asks for, and values that lead somewhere."""

import os

import schemathesis
from hypothesis import strategies as st
from schemathesis.graphql import nodes

# With status 200, too: the older media type of GraphQL knows no other.
FAULTS = ("INTERNAL_SERVER_ERROR", "REQUEST_TIMEOUT", "OVERLOADED")
# Of things that there are; made-up ones are found nowhere.
IDS = os.environ["INKSTONE_IDS"].split()
INSTANTS = ["2026-01-01T00:00:00Z", "2999-12-31T23:59:60+14:00", "0000-01-01T00:00:00Z", "-262143-01-01T00:00:00Z",
            "+262142-12-31T23:59:59Z", "9999-12-31T23:59:59.999999999Z", "294277-01-01T00:00:00Z", "now", ""]

schemathesis.graphql.scalar("ID", (st.sampled_from(IDS) | st.text(max_size=80)).map(nodes.String))
schemathesis.graphql.scalar("DateTime", (st.sampled_from(INSTANTS) | st.datetimes().map(str)).map(nodes.String))


def codes(answer):
    """The codes of the errors in an answer of either API."""
    if not isinstance(answer, dict):
        return []
    errors = answer.get("errors")
    errors = errors if isinstance(errors, list) else [answer.get("error"), answer]
    return [(error.get("extensions") or error).get("code") for error in errors if isinstance(error, dict)]


@schemathesis.check
def no_fault_of_the_server(ctx, response, case):
    try:
        answer = response.json()
    except ValueError:
        answer = None
    told = [code for code in codes(answer) if code in FAULTS]
    if response.status_code >= 500 or told:
        raise AssertionError(f"status {response.status_code} {' '.join(told)}: the server is at fault")
