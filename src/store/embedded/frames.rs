//! The Postgres protocol cut into pieces: what a client sends into whole batches, what the
//! backend answers into frames. Pure code; nothing is allocated by a length somebody claims.

/// Largest batch of one client, in bytes. Everything it sends up to the next Sync is held in
/// memory until it is complete.
pub(super) const MAX_BATCH: usize = 64 << 20;

/// Postgres itself refuses longer start-up packets.
const MAX_STARTUP: usize = 10_000;
const CANCEL_REQUEST: u32 = 80_877_102;
const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;

/// Bytes that are not the protocol, or a part of it that is not spoken here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("a protocol frame claims an impossible length of {0} bytes")]
    BadLength(u32),
    #[error("more than {max} bytes before the next Sync; send less at once")]
    TooLong { max: usize },
    #[error("protocol version {}.{} is not supported; use 3.x", .0 >> 16, .0 & 0xffff)]
    UnknownVersion(u32),
    #[error("Flush is not supported by the embedded database; send Sync")]
    Flush,
}

/// One message with its type byte and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub tag: u8,
    pub whole: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The message without its type byte and length.
    pub fn body(&self) -> &'a [u8] {
        self.whole.get(5..).unwrap_or_default()
    }
}

/// The frame at the start of `bytes`, or `None` while it is incomplete.
///
/// Errors: a length below the four bytes of its own, or one that makes the frame longer than `max`.
pub(super) fn split(bytes: &[u8], max: usize) -> Result<Option<Frame<'_>>, FrameError> {
    let Some((&tag, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    let Some(length) = rest.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes)) else {
        return Ok(None);
    };
    if length < 4 || length > i32::MAX as u32 {
        return Err(FrameError::BadLength(length));
    }
    let whole = 1 + length as usize;
    if whole > max {
        return Err(FrameError::TooLong { max });
    }
    Ok(bytes.get(..whole).map(|whole| Frame { tag, whole }))
}

/// The frames of a complete answer or batch.
///
/// Yields an error once and ends if the bytes do not divide into whole frames.
pub(super) fn frames(mut bytes: &[u8]) -> impl Iterator<Item = Result<Frame<'_>, FrameError>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let item = split(bytes, usize::MAX).and_then(|frame| {
            let cut = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            frame.ok_or(FrameError::BadLength(cut))
        });
        bytes = item.as_ref().map_or(&[], |frame| &bytes[frame.whole.len()..]);
        Some(item)
    })
}

/// What a client sent, as far as it has to be acted upon at once.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// SSLRequest or GSSENCRequest.
    Encryption,
    /// CancelRequest: a connection that asks for nothing else.
    Cancel,
    Startup,
    /// Whole frames of which the last one, and no other, is a Sync or a Query.
    Batch(Vec<u8>),
    Terminate,
}

/// Collects the bytes of one client and gives them out in units.
#[derive(Debug)]
pub(super) struct Inbox {
    buffer: Vec<u8>,
    /// Bytes at the start of `buffer` that are whole frames of an unfinished batch.
    scanned: usize,
    started: bool,
    max: usize,
}

impl Inbox {
    pub fn new(max: usize) -> Self {
        Self { buffer: Vec::new(), scanned: 0, started: false, max }
    }

    /// Where received bytes are to be appended.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// The next unit, or `None` until more bytes have come. After an error the stream is lost.
    pub fn next(&mut self) -> Result<Option<Unit>, FrameError> {
        if !self.started {
            return self.next_startup();
        }
        while let Some(frame) = self.next_frame()? {
            let (tag, end) = (frame.tag, self.scanned + frame.whole.len());
            match tag {
                b'S' | b'Q' => {
                    self.scanned = 0;
                    return Ok(Some(Unit::Batch(self.take(end))));
                }
                b'X' => return Ok(Some(Unit::Terminate)),
                b'H' => return Err(FrameError::Flush),
                _ => self.scanned = end,
            }
        }
        Ok(None)
    }

    fn next_frame(&self) -> Result<Option<Frame<'_>>, FrameError> {
        let left = self.max - self.scanned;
        split(&self.buffer[self.scanned..], left).map_err(|error| match error {
            FrameError::TooLong { .. } => FrameError::TooLong { max: self.max },
            other => other,
        })
    }

    /// Start-up packets have no type byte: a length and a code that says what they are.
    fn next_startup(&mut self) -> Result<Option<Unit>, FrameError> {
        let Some(length) = self.buffer.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes)) else {
            return Ok(None);
        };
        let end = length as usize;
        if !(8..=MAX_STARTUP).contains(&end) {
            return Err(FrameError::BadLength(length));
        }
        if self.buffer.len() < end {
            return Ok(None);
        }
        let packet = self.take(end);
        let code = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
        match code {
            SSL_REQUEST | GSS_REQUEST => Ok(Some(Unit::Encryption)),
            CANCEL_REQUEST => Ok(Some(Unit::Cancel)),
            version if version >> 16 == 3 => {
                self.started = true;
                Ok(Some(Unit::Startup))
            }
            other => Err(FrameError::UnknownVersion(other)),
        }
    }

    fn take(&mut self, end: usize) -> Vec<u8> {
        let rest = self.buffer.split_off(end);
        std::mem::replace(&mut self.buffer, rest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag];
        bytes.extend((body.len() as u32 + 4).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn startup(code: u32) -> Vec<u8> {
        [8u32.to_be_bytes(), code.to_be_bytes()].concat()
    }

    /// Everything the inbox gives out when `stream` arrives in pieces that end at `cuts`.
    fn units(stream: &[u8], cuts: &[usize], max: usize) -> Result<Vec<Unit>, FrameError> {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).chain([stream.len()]).collect();
        ends.sort_unstable();
        let (mut inbox, mut units, mut from) = (Inbox::new(max), Vec::new(), 0);
        for end in ends {
            inbox.buffer().extend(&stream[from..end]);
            from = end;
            while let Some(unit) = inbox.next()? {
                units.push(unit);
            }
        }
        Ok(units)
    }

    fn any_frame() -> impl Strategy<Value = Vec<u8>> {
        let tag = prop::sample::select(b"PBDEECSQSdcf".to_vec());
        (tag, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(tag, body)| frame(tag, &body))
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_units(
            sent in prop::collection::vec(any_frame(), 0..30),
            cuts in prop::collection::vec(any::<usize>(), 0..40),
        ) {
            let stream = [startup(SSL_REQUEST), startup(196_608), sent.concat()].concat();
            let whole = units(&stream, &[], MAX_BATCH).unwrap();
            prop_assert_eq!(&whole[..2], &[Unit::Encryption, Unit::Startup]);
            prop_assert_eq!(&units(&stream, &cuts, MAX_BATCH).unwrap(), &whole);
            let bytes: Vec<u8> = whole[2..].iter().flat_map(|unit| match unit {
                Unit::Batch(bytes) => bytes.clone(),
                other => panic!("only batches were sent, got {other:?}"),
            }).collect();
            let ends = sent.iter().rposition(|f| matches!(f[0], b'S' | b'Q')).map_or(0, |last| last + 1);
            prop_assert_eq!(bytes, sent[..ends].concat());
            prop_assert_eq!(whole.len() - 2, sent.iter().filter(|f| matches!(f[0], b'S' | b'Q')).count());
        }

        #[test]
        fn garbage_never_panics_and_never_grows(noise in prop::collection::vec(any::<u8>(), 0..300), started: bool) {
            let mut inbox = Inbox { started, ..Inbox::new(200) };
            inbox.buffer().extend(&noise);
            let before = inbox.buffer.capacity();
            while let Ok(Some(_)) = inbox.next() {
                prop_assert!(inbox.buffer.len() < noise.len());
                if inbox.buffer.first() == Some(&b'X') { break; }
            }
            prop_assert!(inbox.buffer.capacity() <= before);
            prop_assert!(frames(&noise).count() <= noise.len());
        }

        #[test]
        fn a_batch_over_the_limit_is_refused_before_it_has_come(claimed in 101u32..i32::MAX as u32, first in 0usize..90) {
            let mut stream = startup(196_608);
            stream.extend(frame(b'P', &vec![0; first]));
            stream.push(b'B');
            stream.extend(claimed.to_be_bytes());
            prop_assert_eq!(units(&stream, &[], 100), Err(FrameError::TooLong { max: 100 }));
        }
    }

    #[test]
    fn impossible_lengths_are_refused() {
        for length in [0u32, 1, 3, u32::MAX, i32::MAX as u32 + 1] {
            let mut stream = startup(196_608);
            stream.push(b'Q');
            stream.extend(length.to_be_bytes());
            assert_eq!(units(&stream, &[], MAX_BATCH), Err(FrameError::BadLength(length)));
        }
        assert_eq!(units(&7u32.to_be_bytes(), &[], MAX_BATCH), Err(FrameError::BadLength(7)));
        assert_eq!(units(&startup(131_072), &[], MAX_BATCH), Err(FrameError::UnknownVersion(131_072)));
    }

    #[test]
    fn a_cut_answer_is_an_error() {
        let answer = [frame(b'Z', b"I"), vec![b'D', 0, 0]].concat();
        let found: Vec<_> = frames(&answer).collect();
        assert_eq!(found.len(), 2);
        assert!(found[0].is_ok() && found[1].is_err(), "got {found:?}");
    }
}
