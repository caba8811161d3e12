//! Tokens to text: whole characters, and nothing of a stop text.

use crate::inference::TokenLogprob;

/// A token's log-probability, and those of others in its place.
pub type Logprobs = (TokenLogprob, Vec<TokenLogprob>);

/// Puts the text of one answer together.
pub struct TextStream {
    stops: Vec<String>,
    /// Bytes of a character that is not whole.
    bytes: Vec<u8>,
    /// Text that may be the beginning of a stop text.
    held: String,
    logprobs: Vec<Logprobs>,
    stopped: bool,
}

/// What can be told now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    pub text: String,
    pub logprobs: Vec<Logprobs>,
}

impl TextStream {
    /// `stops`: the text ends before the first of these.
    pub fn new(stops: &[String]) -> Self {
        let stops = stops.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        Self { stops, bytes: Vec::new(), held: String::new(), logprobs: Vec::new(), stopped: false }
    }

    /// Adds a token. Nothing comes as long as its text may still belong to something.
    pub fn push(&mut self, bytes: &[u8], logprobs: Option<Logprobs>) -> Option<Told> {
        if self.stopped {
            return None;
        }
        self.bytes.extend_from_slice(bytes);
        self.logprobs.extend(logprobs);
        let whole = whole_characters(&self.bytes);
        self.held.push_str(&String::from_utf8_lossy(&self.bytes[..whole]));
        self.bytes.drain(..whole);
        let found = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        if let Some(at) = found {
            self.held.truncate(at);
            self.stopped = true;
            return self.tell(self.held.len());
        }
        let may_begin = self.held.char_indices().map(|(at, _)| at).find(|at| {
            let rest = &self.held[*at..];
            self.stops.iter().any(|stop| stop.starts_with(rest))
        });
        self.tell(may_begin.unwrap_or(self.held.len()))
    }

    /// A stop text came: nothing more does.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// What was held back, when the answer ends otherwise. Half a character becomes U+FFFD.
    pub fn finish(&mut self) -> Option<Told> {
        if self.stopped {
            return None;
        }
        let rest = std::mem::take(&mut self.bytes);
        self.held.push_str(&String::from_utf8_lossy(&rest));
        self.tell(self.held.len())
    }

    fn tell(&mut self, length: usize) -> Option<Told> {
        if length == 0 {
            return None;
        }
        let rest = self.held.split_off(length);
        let text = std::mem::replace(&mut self.held, rest);
        Some(Told { text, logprobs: std::mem::take(&mut self.logprobs) })
    }
}

/// How many of the bytes are whole characters, or can never become any.
fn whole_characters(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        match std::str::from_utf8(&bytes[at..]) {
            Ok(_) => return bytes.len(),
            Err(error) => match error.error_len() {
                Some(wrong) => at += error.valid_up_to() + wrong,
                None => return at + error.valid_up_to(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(stops: &[&str], tokens: &[&[u8]]) -> (Vec<String>, bool) {
        let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        let mut stream = TextStream::new(&stops);
        let mut all: Vec<_> =
            tokens.iter().filter_map(|token| stream.push(token, None)).map(|told| told.text).collect();
        all.extend(stream.finish().map(|told| told.text));
        (all, stream.is_stopped())
    }

    #[test]
    fn a_character_is_never_cut() {
        let ink = "墨".as_bytes();
        let (all, _) = told(&[], &[&ink[..1], &ink[1..2], &ink[2..], b"!", "🙂".as_bytes()]);
        assert_eq!(all, ["墨", "!", "🙂"]);
        let (all, _) = told(&[], &[b"a", &ink[..2]]);
        assert_eq!(all, ["a", "\u{FFFD}"], "half a character at the end");
        assert_eq!(told(&[], &[b"\xFFb"]).0, ["\u{FFFD}b"], "what is no character holds nothing up");
    }

    #[test]
    fn of_a_stop_text_nothing_is_seen() {
        assert_eq!(told(&["STOP"], &[b"one S", b"TO", b"P two", b"x"]).0.concat(), "one ");
        assert!(told(&["STOP"], &[b"one S", b"TO", b"P two"]).1, "it says that it stopped");
        assert_eq!(told(&["STOP"], &[b"one S", b"TOR", b"M"]), (vec!["one ".into(), "STOR".into(), "M".into()], false));
        assert_eq!(told(&["\n\n", "\n#"], &[b"a\n", b"#b"]).0.concat(), "a");
        assert_eq!(told(&["STOP"], &[b"ends in ST"]).0.concat(), "ends in ST", "the beginning of none is told");
    }

    proptest! {
        #[test]
        fn all_text_arrives_up_to_the_first_stop(text in "[ab墨🙂]{0,40}", stop in "[ab墨]{1,3}", cuts in prop::collection::vec(1..5_usize, 0..40)) {
            let mut tokens = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts {
                let (token, after) = rest.split_at(cut.min(rest.len()));
                tokens.push(token);
                rest = after;
            }
            tokens.push(rest);
            let (all, stopped) = told(&[&stop], &tokens);
            let expected = text.split(&stop).next().unwrap_or("");
            prop_assert_eq!(all.concat(), expected);
            prop_assert_eq!(stopped, text.contains(&stop));
        }
    }
}
