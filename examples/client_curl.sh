#!/usr/bin/env bash
# Inkstone with nothing but curl: a query, signing in and a mutation, a subscription, and a query by
# its hash that caches may keep.
#
#   INKSTONE_LOGIN=mo INKSTONE_PASSWORD=… examples/client_curl.sh [ADDRESS]
#
# The first start of `inkstone` prints both. Writes one comment on the newest post, and ends by itself.
set -euo pipefail

address=${1:-${INKSTONE_URL:-http://127.0.0.1:4000}}
address=${address%/}
: "${INKSTONE_LOGIN:?the handle that the first start printed}"
: "${INKSTONE_PASSWORD:?the password that the first start printed}"

work=$(mktemp -d)
listener=
clean_up() {
    if [ -n "$listener" ]; then kill "$listener" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap clean_up EXIT

# POSTs an operation: the body in JSON, and further options of curl. Fails when there are errors.
graphql() {
    local body=$1 answer
    shift
    answer=$(curl -sS --max-time 20 "$address/graphql" -H 'content-type: application/json' --data "$body" "$@")
    if [[ $answer == *'"errors"'* ]]; then
        printf 'refused: %s\n' "$answer" >&2
        return 1
    fi
    printf '%s\n' "$answer"
}

# The first value of a key in an answer. A real program reads JSON; `jq` does it on the command line.
value_of() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

echo '# A query: the newest post'
newest=$(graphql '{"query": "{ posts(first: 1) { nodes { id slug title } } }"}')
echo "$newest"
post_id=$(value_of id <<<"$newest")

echo '# Signing in gives a token'
session=$(graphql '{"query": "mutation ($input: SignInInput!) { signIn(input: $input) { token userErrors { message } } }",
    "variables": {"input": {"login": "'"$INKSTONE_LOGIN"'", "password": "'"$INKSTONE_PASSWORD"'"}}}')
token=$(value_of token <<<"$session")
if [ -z "$token" ]; then echo "no token: $session" >&2; exit 1; fi

# -N prints events as they come. The event's id, sent as `Last-Event-ID` the next time, makes the
# server go on where this stream ended.
echo '# A subscription, as server-sent events'
curl -sSN --max-time 60 "$address/graphql/stream" -H 'content-type: application/json' \
    --data '{"query": "subscription ($postId: ID!) { commentAdded(postId: $postId) { cursor comment { markdown author { name } } } }",
        "variables": {"postId": "'"$post_id"'"}}' >"$work/events" &
listener=$!

echo '# A mutation, with the token'
for ((try = 0; try < 20; try++)); do
    graphql '{"query": "mutation ($input: AddCommentInput!) { addComment(input: $input) { comment { id status } userErrors { field message } } }",
        "variables": {"input": {"postId": "'"$post_id"'", "markdown": "Written with *curl*."}}}' \
        -H "authorization: Bearer $token"
    # The server does not tell when it begins to listen: another comment, if this one came too early.
    for ((wait = 0; wait < 10; wait++)); do
        if grep -q '^data:.*commentAdded' "$work/events"; then break 2; fi
        sleep 0.1
    done
done
grep -m 1 -A 2 '^event: next' "$work/events" || { echo 'the comment was not told' >&2; exit 1; }

echo '# A query by its hash: told once, then asked for by GET'
query='{ site { title tagline } }'
hash=$(printf %s "$query" | { sha256sum 2>/dev/null || shasum -a 256; } | cut -d ' ' -f 1)
persisted='{"persistedQuery":{"version":1,"sha256Hash":"'"$hash"'"}}'
graphql '{"query": "'"$query"'", "extensions": '"$persisted"'}'
ask_by_hash() {
    curl -sS --max-time 20 -G "$address/graphql" --data-urlencode "extensions=$persisted" -o "$work/body" -D "$work/head" "$@"
}
ask_by_hash
tag=$(tr -d '\r' <"$work/head" | sed -n 's/^[Ee][Tt][Aa][Gg]: //p')
# Who has the answer already is told so, without a body.
status=$(ask_by_hash -H "if-none-match: $tag" -w '%{http_code}')
echo "ETag $tag, and then status $status"
[ "$status" = 304 ]
