//! Values as JSON text.
//!
//! An object that `super::fields` resolves is text already: it is written once, where it is
//! resolved, and copied from there on. It travels as [`Value::Binary`], which nothing else in this
//! schema makes.

use async_graphql::{Name, Value};

/// Writes a value; what is written already is copied.
pub fn write(value: &Value, json: &mut Vec<u8>) {
    match value {
        Value::Null => json.extend_from_slice(b"null"),
        Value::Boolean(true) => json.extend_from_slice(b"true"),
        Value::Boolean(false) => json.extend_from_slice(b"false"),
        Value::Number(number) => json.extend_from_slice(number.to_string().as_bytes()),
        Value::String(text) => write_text(text, json),
        Value::Enum(name) => write_text(name, json),
        Value::Binary(written) => json.extend_from_slice(written),
        Value::List(values) => {
            json.push(b'[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    json.push(b',');
                }
                write(value, json);
            }
            json.push(b']');
        }
        Value::Object(fields) => write_object(fields.iter(), json),
    }
}

/// About how long a value is as text.
pub fn length(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 8,
        Value::Binary(written) => written.len() + 4,
        Value::List(values) => values.iter().map(length).sum::<usize>() + 8,
        Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + length(value)).sum::<usize>() + 8,
        _ => 16,
    }
}

/// Writes an object; the names are GraphQL's or out of JSON.
pub fn write_object<'a>(fields: impl Iterator<Item = (&'a Name, &'a Value)>, json: &mut Vec<u8>) {
    json.push(b'{');
    for (index, (name, value)) in fields.enumerate() {
        if index > 0 {
            json.push(b',');
        }
        write_text(name, json);
        json.push(b':');
        write(value, json);
    }
    json.push(b'}');
}

fn write_text(text: &str, json: &mut Vec<u8>) {
    serde_json::to_writer(json, text).expect("a text can be written into memory");
}

#[cfg(test)]
mod tests {
    use async_graphql::value;

    use super::*;

    #[test]
    fn a_value_is_written_as_serde_writes_it() {
        let value = value!({
            "text": "\u{0}\u{1f}\"\\/\n七\u{2028}💥",
            "numbers": [0, -1, 1.5, 9_007_199_254_740_993_i64],
            "nothing": null,
            "both": [true, false],
            "none": [[], {}],
            "a \"name\"": "out of JSON",
        });
        let mut json = Vec::new();
        write(&value, &mut json);
        assert_eq!(String::from_utf8(json).expect("text"), serde_json::to_string(&value).expect("JSON"));
    }

    #[test]
    fn what_is_written_is_copied() {
        let written = Value::Binary((&b"{\"a\":1}"[..]).into());
        let mut json = Vec::new();
        write(&Value::List(vec![written.clone(), Value::Null, written]), &mut json);
        assert_eq!(json, br#"[{"a":1},null,{"a":1}]"#);
    }
}
