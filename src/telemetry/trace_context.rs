//! The W3C `traceparent` header: which distributed trace a request belongs to.
//!
//! Pure code. Any room may import it. A later version of the header is read by its first four
//! fields; a field this room should understand is added to [`TraceContext`].
//! Source: W3C Trace Context, Level 1, section 3.2.

use std::ops::Range;

use rand::{Rng, RngExt};

/// The header's name.
pub const TRACEPARENT: &str = "traceparent";

/// Length of a version 00 header, and of the part of later ones that is understood.
const LENGTH: usize = 55;

/// Where the id of the trace stands in it: 32 lower-case hexadecimal digits.
pub const TRACE_ID: Range<usize> = 3..35;

/// One position in a distributed trace. Neither id is all zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: [u8; 16],
    parent_id: [u8; 8],
    sampled: bool,
}

impl TraceContext {
    /// `None` if an id is all zeros, which means "no id".
    pub fn new(trace_id: [u8; 16], parent_id: [u8; 8], sampled: bool) -> Option<Self> {
        let valid = trace_id != [0; 16] && parent_id != [0; 8];
        valid.then_some(Self { trace_id, parent_id, sampled })
    }

    /// The context in a `traceparent` header; `None` if it is invalid and a new trace must start.
    ///
    /// Versions after 00 are read by the fields of 00; version ff, upper case and all-zero ids
    /// are invalid.
    pub fn parse(header: &str) -> Option<Self> {
        let bytes = header.as_bytes();
        let (known, rest) = bytes.split_at_checked(LENGTH)?;
        if known[2] != b'-' || known[35] != b'-' || known[52] != b'-' {
            return None;
        }
        match decode::<1>(&known[..2])? {
            [0x00] if !rest.is_empty() => return None,
            [0xff] => return None,
            _ if rest.first().is_some_and(|next| *next != b'-') => return None,
            _ => {}
        }
        let [flags] = decode(&known[53..])?;
        Self::new(decode(&known[3..35])?, decode(&known[36..52])?, flags & 1 == 1)
    }

    /// The first position of a new trace that nobody has asked to record.
    pub fn generate(random: &mut impl Rng) -> Self {
        Self { trace_id: non_zero(random), parent_id: non_zero(random), sampled: false }
    }

    /// The next position in the same trace: what this process passes on.
    pub fn child(&self, random: &mut impl Rng) -> Self {
        Self { parent_id: non_zero(random), ..*self }
    }

    /// The id all positions of the trace share.
    pub fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    /// The header's value, version 00; the trace id, as it stands in logs too, is [`TRACE_ID`] of it.
    pub fn header(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut header = String::with_capacity(LENGTH);
        // Each request has one: with formatting byte by byte it took 12,000 instructions.
        let put = |header: &mut String, bytes: &[u8]| {
            for byte in bytes {
                header.push(char::from(DIGITS[usize::from(byte >> 4)]));
                header.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
        };
        header.push_str("00-");
        put(&mut header, &self.trace_id);
        header.push('-');
        put(&mut header, &self.parent_id);
        header.push_str(if self.sampled { "-01" } else { "-00" });
        header
    }

    /// The id of this position.
    pub fn parent_id(&self) -> [u8; 8] {
        self.parent_id
    }

    /// True if the caller may have recorded this trace.
    pub fn sampled(&self) -> bool {
        self.sampled
    }
}

fn non_zero<const N: usize>(random: &mut impl Rng) -> [u8; N] {
    loop {
        let mut id = [0; N];
        random.fill(&mut id);
        if id != [0; N] {
            return id;
        }
    }
}

fn decode<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// The value of a lower-case hexadecimal digit: the header allows no upper case.
fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_specifications_example_is_read() {
        let context = TraceContext::parse(EXAMPLE).expect("the example is valid");
        assert_eq!(&context.header()[TRACE_ID], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.parent_id(), [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
        assert!(context.sampled());
        assert_eq!(context.header(), EXAMPLE);
    }

    #[test]
    fn only_the_lowest_flag_means_sampled() {
        for (flags, sampled) in [("00", false), ("01", true), ("02", false), ("03", true), ("fe", false), ("ff", true)]
        {
            let header = format!("{}{flags}", &EXAMPLE[..53]);
            assert_eq!(TraceContext::parse(&header).map(|context| context.sampled()), Some(sampled), "{header}");
        }
    }

    #[test]
    fn later_versions_are_read_by_their_known_prefix() {
        let of_version = |version: &str, rest: &str| format!("{version}{}{rest}", &EXAMPLE[2..]);
        let expected = TraceContext::parse(EXAMPLE);
        for header in [of_version("01", ""), of_version("cc", "-what-the-future-holds"), of_version("fe", "-")] {
            assert_eq!(TraceContext::parse(&header), expected, "{header}");
        }
        for header in [of_version("ff", ""), of_version("01", "x"), of_version("00", "-x"), of_version("00", "-")] {
            assert_eq!(TraceContext::parse(&header), None, "{header}");
        }
    }

    #[test]
    fn malformed_headers_are_refused() {
        for header in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00F067AA0BA902B7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
            "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47é6-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(header), None, "{header:?}");
        }
    }

    #[test]
    fn a_child_stays_in_the_trace_and_has_its_own_position() {
        let mut random = StdRng::seed_from_u64(7);
        let parent = TraceContext::parse(EXAMPLE).expect("the example is valid");
        let child = parent.child(&mut random);
        assert_eq!((child.trace_id(), child.sampled()), (parent.trace_id(), true));
        assert_ne!(child.parent_id(), parent.parent_id());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(trace_id: [u8; 16], parent_id: [u8; 8], sampled: bool) {
            let context = TraceContext::new(trace_id, parent_id, sampled);
            prop_assume!(context.is_some());
            prop_assert_eq!(context.and_then(|context| TraceContext::parse(&context.header())), context);
        }

        #[test]
        fn a_new_trace_is_valid(seed: u64) {
            let context = TraceContext::generate(&mut StdRng::seed_from_u64(seed));
            prop_assert_eq!(TraceContext::parse(&context.header()), Some(context));
        }

        #[test]
        fn nothing_a_client_sends_breaks_the_parser(header in "\\PC*", tail in "[0-9a-f-]{53}.{0,4}") {
            let _ = TraceContext::parse(&header);
            if let Some(context) = TraceContext::parse(&format!("00{tail}")) {
                prop_assert_eq!(context.header().len(), LENGTH);
            }
        }
    }
}
