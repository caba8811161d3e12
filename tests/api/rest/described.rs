//! The OpenAPI description is true: what is answered is what it says.

use serde_json::{Value, json};

use super::{TestApp, json_of, slugs};

/// What in a value is not as a schema says; empty if all of it is. It knows the words that the
/// description uses, and no others.
fn faults(description: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.strip_prefix('#').expect("a place in the same document");
        let found = description.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"));
        return faults(description, found, value, at);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let each: Vec<_> = any.iter().map(|schema| faults(description, schema, value, at)).collect();
        return if each.iter().any(Vec::is_empty) { Vec::new() } else { each.concat() };
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let types = match &schema["type"] {
        Value::Null => return Vec::new(),
        Value::Array(types) => types.clone(),
        one => vec![one.clone()],
    };
    let mut found = Vec::new();
    let fits = types.contains(&json!(kind)) || (kind == "integer" && types.contains(&json!("number")));
    if !fits {
        found.push(format!("{at} is a {kind}, not {types:?}"));
    }
    if schema["enum"].as_array().is_some_and(|values| !values.contains(value)) {
        found.push(format!("{at} is {value}, not of {}", schema["enum"]));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        found.extend(faults(description, &schema["items"], item, &format!("{at}/{index}")));
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        match schema["properties"].get(name) {
            Some(schema) => found.extend(faults(description, schema, inner, &format!("{at}/{name}"))),
            None => found.push(format!("{at}/{name} is not described")),
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.is_object() && value.get(name).is_none() {
            found.push(format!("{at}/{name} is missing"));
        }
    }
    found
}

/// Panics at a reference that leads nowhere.
fn follow(description: &Value, value: &Value) {
    if let Some(reference) = value["$ref"].as_str() {
        let pointer = reference.strip_prefix('#').expect("a place in the same document");
        assert!(description.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    for inner in value.as_object().into_iter().flat_map(|fields| fields.values()) {
        follow(description, inner);
    }
    for inner in value.as_array().into_iter().flatten() {
        follow(description, inner);
    }
}

#[tokio::test]
async fn each_address_answers_as_it_is_described() {
    let app = TestApp::start().await;
    let description = json_of(&app, "/api/v1/openapi.json", None).await;
    assert_eq!(description["openapi"], "3.1.1");
    follow(&description, &description);
    let first = async |query: &str| slugs(&app, query).await.remove(0);
    let post = first("{ posts(first: 1, filter: { status: [PUBLISHED], kind: [ARTICLE] }) { nodes { slug } } }").await;
    let tag = first("{ tags(first: 1) { nodes { slug } } }").await;
    let series = first("{ allSeries(first: 1) { nodes { slug } } }").await;
    let author = json_of(&app, &format!("/api/v1/posts/{post}"), None).await["author"]["handle"].take();
    let commented = json_of(&app, "/api/v1/posts?first=100", None).await;
    let mut comment = Value::Null;
    for post in commented["items"].as_array().expect("items") {
        let path = format!("/api/v1/posts/{}/comments", post["slug"].as_str().expect("a slug"));
        let threads = json_of(&app, &path, None).await;
        let items = threads["items"].as_array().expect("items").clone();
        if let Some(found) = items.into_iter().find(|item| item["replies"]["items"] != json!([])) {
            comment = found["id"].clone();
            break;
        }
    }
    let comment = comment.as_str().expect("a comment of the demo site has answers");
    for (path, operation) in description["paths"].as_object().expect("paths") {
        if operation.get("get").is_none() {
            assert_eq!(path, "/api/v1/chat", "all else is for reading");
            continue;
        }
        let (of_posts, of_series) = (path.starts_with("/api/v1/posts"), path.starts_with("/api/v1/series"));
        let slug = if of_posts {
            &post
        } else if of_series {
            &series
        } else {
            &tag
        };
        let filled = path
            .replace("{slug}", slug)
            .replace("{handle}", author.as_str().expect("a handle"))
            .replace("{id}", comment);
        let filled = match path.as_str() {
            "/api/v1/posts" => format!("{filled}?html=true&kind=ARTICLE&first=50"),
            "/api/v1/search" => format!("{filled}?q=ink&first=3"),
            "/api/v1/suggest" => format!("{filled}?q=i"),
            _ => filled,
        };
        let answer = json_of(&app, &filled, None).await;
        let schema = &operation["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{path} has a schema");
        assert_eq!(faults(&description, schema, &answer, ""), Vec::<String>::new(), "{filled}");
        if let Some(items) = answer["items"].as_array() {
            assert!(!items.is_empty(), "{filled} should show something, or nothing is compared");
        }
        for parameter in operation["get"]["parameters"].as_array().expect("parameters") {
            assert!(parameter["description"].as_str().is_some_and(|text| !text.is_empty()), "{path}: {parameter}");
        }
    }
}
