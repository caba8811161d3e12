use std::fmt::Write;

use async_graphql::Variables;
use serde_json::json;

use super::*;

const LIMITS: QueryLimits =
    QueryLimits { max_depth: 15, max_cost: 50_000, max_aliases: 30, max_directives: 50, max_tokens: 10_000 };

fn guard() -> Guard {
    Guard::new(LIMITS, &crate::graphql::sdl())
}

fn admit(query: impl Into<String>, variables: serde_json::Value) -> Result<Admitted, String> {
    let mut request = Request::new(query).variables(Variables::from_json(variables));
    guard().admit(&mut request).map_err(|error| error.message)
}

fn cost(query: &str) -> u64 {
    admit(query, json!({})).unwrap_or_else(|error| panic!("{query}: {error}")).cost
}

#[test]
fn a_list_counts_what_is_in_it_as_often_as_it_is_asked_for() {
    for (field, most) in [
        ("post(slug: \"a\") { related(first: N) { post { title } } }", 20),
        ("post(slug: \"a\") { entities(first: N) { name } }", 50),
        ("suggest(prefix: \"a\", first: N) { text }", 20),
    ] {
        let of = |n: u64| cost(&format!("{{ {} }}", field.replace('N', &n.to_string())));
        let one = of(2) - of(1);
        assert!(one >= 1 && of(most) - of(1) == (most - 1) * one, "{field}: {one}");
    }
    let nested = format!("{}id{}", "related(first: 20) { post { ".repeat(4), " } }".repeat(4));
    let refused = admit(format!("{{ post(slug: \"a\") {{ {nested} }} }}"), json!({}));
    assert!(refused.is_err(), "160,000 posts are too many");
    let search = |more: &str| cost(&format!("{{ search(query: \"ink\"{more}) {{ totalCount }} }}"));
    assert_eq!(search(", rerank: true") - search(""), 500, "a model reads");
    assert_eq!(search(", rerank: false"), search(""));
}

#[test]
fn a_connection_counts_what_is_in_it_once_a_row() {
    let alone = cost("{ posts(first: 1) { nodes { title } } }");
    assert_eq!(
        cost("{ posts(first: 100) { nodes { title } } }") - alone,
        99 * (cost("{ posts(first: 2) { nodes { title } } }") - alone)
    );
    assert_eq!(cost("{ posts { nodes { title } } }"), cost("{ posts(last: 20) { nodes { title } } }"));
    let by_variable = admit("query($n: Int) { posts(first: $n) { nodes { title } } }", json!({ "n": 7 }));
    assert_eq!(by_variable.map(|a| a.cost), Ok(cost("{ posts(first: 7) { nodes { title } } }")));
    let by_default = admit("query($n: Int = 7) { posts(first: $n) { nodes { title } } }", json!({}));
    assert_eq!(by_default.map(|a| a.cost), Ok(cost("{ posts(first: 7) { nodes { title } } }")));
    let in_fragments =
        "{ posts(first: 7) { ...C } } fragment C on PostConnection { nodes { ...P } } fragment P on Post { title }";
    assert_eq!(cost(in_fragments), cost("{ posts(first: 7) { nodes { title } } }"));
    assert_eq!(
        cost("{ posts(first: 100) { totalCount pageInfo { hasNextPage } nodes { title } } }"),
        cost("{ posts(first: 100) { nodes { title } } }")
            + cost("{ posts { totalCount pageInfo { hasNextPage } nodes { title } } }")
            - cost("{ posts { nodes { title } } }"),
        "what stands beside the rows counts once"
    );
}

#[test]
fn page_sizes_that_no_page_has_do_not_make_it_cheap() {
    for first in ["0", "-5", "null"] {
        assert!(cost(&format!("{{ posts(first: {first}) {{ nodes {{ title }} }} }}")) > 1, "first: {first}");
    }
    let huge = format!("{{ posts(first: {}) {{ nodes {{ title }} }} }}", "9".repeat(30));
    assert_eq!(cost(&huge), cost("{ posts(first: 100) { nodes { title } } }"));
}

#[test]
fn what_is_over_a_limit_is_told_with_both_numbers() {
    let aliases: String = (0..31).map(|n| format!("a{n}: __typename ")).collect();
    let deep = format!("{{ comments {{ nodes {{ {} id {} }} }} }}", "parent { ".repeat(13), "}".repeat(13));
    let logins: String = (0..11).map(|n| format!("a{n}: signOut {{ userErrors {{ code }} }} ")).collect();
    let refused = [
        (format!("{{ {aliases} }}"), "31", "30"),
        (format!("{{ ...F }} fragment F on Query {{ {aliases} }}"), "31", "30"),
        (deep, "16", "15"),
        ("{ posts(first: 100) { nodes { comments(first: 100) { nodes { replies(first: 100) { nodes { id } } } } } } }".into(), "1111111", "50000"),
        (format!("query {{ site {{ title {} }} }}", "@skip(if: false) ".repeat(51)), "51", "50"),
        (format!("mutation {{ {logins} }}"), "11", "10"),
        ("subscription { a: postPublished { cursor } b: postPublished { cursor } }".into(), "2", "1"),
        ("subscription { ...A ...B } fragment A on Subscription { postPublished { cursor } } fragment B on Subscription { b: postPublished { cursor } }".into(), "2", "1"),
        ("{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }".into(), "4", "3"),
    ];
    for (query, found, limit) in refused {
        let error = admit(query.as_str(), json!({})).expect_err("it is over a limit");
        assert!(error.contains(found) && error.contains(&format!("at most {limit} ")), "{query}: {error}");
    }
    let long = format!("{{ {} }}", "a ".repeat(10_000));
    assert!(admit(long, json!({})).expect_err("too long").contains("tokens, 10000 are allowed"));
}

#[test]
fn fragments_that_double_are_refused_without_being_spread() {
    let mut query = String::from("{ posts { nodes { ...F60 } } } fragment F0 on Post { id }");
    for n in 1..=60 {
        write!(query, " fragment F{n} on Post {{ ...F{0} ...F{0} }}", n - 1).expect("a string takes it");
    }
    assert!(admit(query, json!({})).expect_err("it doubles").contains("fields of"));
}

#[test]
fn fragments_that_spread_themselves_are_refused() {
    let ring = "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }";
    assert!(admit(ring, json!({})).expect_err("a ring").contains("spread themselves"));
    let mut chain = String::from("{ ...F0 } fragment F200 on Query { __typename }");
    for n in 0..200 {
        write!(chain, " fragment F{n} on Query {{ ...F{} }}", n + 1).expect("a string takes it");
    }
    assert!(admit(chain, json!({})).is_err(), "a chain deeper than the walk goes");
}

#[test]
fn the_operation_that_is_named_is_the_one_that_counts() {
    let both = "query Small { __typename } query Large { posts(first: 100) { nodes { html } } } mutation M { signOut { userErrors { code } } }";
    let named = |name: &str| {
        let mut request = Request::new(both).operation_name(name);
        guard().admit(&mut request)
    };
    assert_eq!(
        named("Small").map(|a| (a.kind, a.name, a.cost)).expect("admitted"),
        (OperationType::Query, Some("Small".into()), 1)
    );
    assert!(named("Large").expect("admitted").cost > 5000);
    assert_eq!(named("M").expect("admitted").kind, OperationType::Mutation);
    assert!(named("Nothing").expect_err("no such operation").message.contains("Nothing"));
    assert!(admit(both, json!({})).expect_err("which?").contains("operationName"));
    assert!(admit("fragment F on Query { __typename }", json!({})).is_err(), "no operation at all");
}

#[test]
fn a_tools_look_at_the_whole_schema_is_let_in() {
    let query = "query IntrospectionQuery { __schema { queryType { name } types { ...FullType } directives { name args { ...InputValue } } } }
        fragment FullType on __Type { kind name fields(includeDeprecated: true) { name args { ...InputValue } type { ...TypeRef } }
          inputFields { ...InputValue } interfaces { ...TypeRef } enumValues(includeDeprecated: true) { name } possibleTypes { ...TypeRef } }
        fragment InputValue on __InputValue { name type { ...TypeRef } defaultValue }
        fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name
          ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } } }";
    assert_eq!(cost(query), 500);
}

#[test]
fn a_document_is_parsed_once() {
    let guard = guard();
    let ask = || guard.admit(&mut Request::new("{ site { title } }"));
    assert_eq!(ask().expect("admitted").cost, ask().expect("admitted again").cost);
    guard.documents.run_pending_tasks();
    assert_eq!(guard.documents.entry_count(), 1);
    let error = guard.admit(&mut Request::new(format!("{{ {} }} }}", "a ".repeat(3000)))).expect_err("no document");
    assert!(error.message.len() <= MAX_MESSAGE_BYTES, "a parser's message is cut: {}", error.message.len());
}

#[test]
fn an_operation_that_was_found_valid_is_not_validated_again_unless_its_variables_are_wrong() {
    let guard = guard();
    let text = "query A($n: Int!) { posts(first: $n) { nodes { id } } } query B { site { title } }";
    let ask = |name: &str, variables: serde_json::Value| {
        let request = Request::new(text).operation_name(name).variables(Variables::from_json(variables));
        guard.admit(&mut { request }).expect("admitted")
    };
    let first = ask("A", json!({ "n": 3 }));
    assert!(!first.valid, "nobody has validated it yet");
    first.found_valid();
    assert!(ask("A", json!({ "n": 4 })).valid, "the document is known");
    assert!(!ask("A", json!({ "n": "four" })).valid, "full validation says what is wrong with a variable");
    let missing = guard.admit(&mut Request::new(text).operation_name("A")).expect_err("a variable is missing");
    assert!(missing.message.contains("$n of type Int!"), "{}", missing.message);
    assert!(!ask("B", json!({})).valid, "the library does not look at all of an operation that is not run");
}
