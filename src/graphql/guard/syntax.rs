//! The text of a document, before it is parsed: how many tokens, how deep its brackets.
//!
//! The parser recurses with the brackets and allocates with the tokens, so both are bounded first.
//! Source: the lexical grammar of the GraphQL specification, October 2021, section 2.1.

/// Brackets within brackets: selections, lists, input objects.
const MAX_NESTING: usize = 200;

/// Errors: more than `max_tokens` tokens, or brackets that nest too deep.
pub fn check(text: &str, max_tokens: usize) -> Result<(), String> {
    let mut rest = text.as_bytes();
    let (mut tokens, mut nesting, mut deepest) = (0usize, 0usize, 0usize);
    while let Some(&first) = rest.first() {
        let length = match first {
            b' ' | b'\t' | b'\r' | b'\n' | b',' => {
                rest = &rest[1..];
                continue;
            }
            b'#' => {
                rest = &rest[until(rest, |byte| byte == b'\n' || byte == b'\r')..];
                continue;
            }
            b'"' => string(rest),
            b'{' | b'[' | b'(' => {
                nesting += 1;
                deepest = deepest.max(nesting);
                1
            }
            b'}' | b']' | b')' => {
                nesting = nesting.saturating_sub(1);
                1
            }
            b'-' | b'0'..=b'9' => 1 + until(&rest[1..], |byte| !is_word(byte) && !b".+-".contains(&byte)),
            byte if is_word(byte) => until(rest, |byte| !is_word(byte)),
            // Punctuators, and whatever the parser will refuse.
            _ => 1,
        };
        tokens += 1;
        rest = &rest[length..];
    }
    let over = |what: String, most: usize| Err(format!("{what}, {most} are allowed: ask in several operations"));
    match (tokens, deepest) {
        _ if deepest > MAX_NESTING => over(format!("the document nests brackets {deepest} deep"), MAX_NESTING),
        _ if tokens > max_tokens => over(format!("the document has {tokens} tokens"), max_tokens),
        _ => Ok(()),
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn until(text: &[u8], end: impl Fn(u8) -> bool) -> usize {
    text.iter().position(|byte| end(*byte)).unwrap_or(text.len())
}

/// Bytes of the string or block string that the text begins with; all of it if it does not end.
fn string(text: &[u8]) -> usize {
    let block = text.starts_with(b"\"\"\"");
    let quotes = if block { 3 } else { 1 };
    let mut at = quotes;
    while at < text.len() {
        if text[at] == b'\\' && (!block || text[at + 1..].starts_with(b"\"\"\"")) {
            at += if block { 4 } else { 2 };
        } else if text[at..].starts_with(&b"\"\"\""[..quotes]) {
            return at + quotes;
        } else if !block && text[at] == b'\n' {
            return at;
        } else {
            at += 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tokens_are_counted_as_the_specification_says() {
        let documents = [
            ("{ a }", 3),
            ("query Q($a: Float = -1.5e+3) { a(b: $a) @skip(if: true) }", 26),
            ("# { { {\n{ a, b }", 4),
            (r#"{ a(b: "} \" {") }"#, 8),
            (r#"{ a(b: """ } " \""" { """) }"#, 8),
        ];
        for (text, tokens) in documents {
            assert_eq!(check(text, tokens), Ok(()), "{text} has {tokens} tokens");
            let refusal = check(text, tokens - 1).expect_err("one more than is allowed");
            assert!(refusal.contains(&format!("has {tokens} tokens, {} are allowed", tokens - 1)), "{refusal}");
        }
    }

    #[test]
    fn deep_brackets_are_refused_and_brackets_in_strings_are_none() {
        for bracket in ["{", "[", "(", "{a"] {
            let refusal = check(&bracket.repeat(MAX_NESTING + 1), 10_000).expect_err("too deep");
            assert!(refusal.contains("201 deep, 200 are allowed"), "{refusal}");
        }
        let both = check(&"{".repeat(20_000), 10_000).expect_err("too deep and too long");
        assert!(both.contains("20000 deep"), "which says more than how long it is: {both}");
        assert_eq!(check(&format!("{{ a(b: \"{}\") }}", "{".repeat(10_000)), 100), Ok(()));
    }

    proptest! {
        #[test]
        fn every_text_is_looked_at_to_its_end(text in r#"[{}()"\\#\na, $é]{0,80}"#, max in 0..40usize) {
            let _ = check(&text, max);
        }
    }
}
