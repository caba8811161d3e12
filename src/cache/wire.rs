//! What stands in Redis, and the scripts that read and write it.
//!
//! - `ink:{namespace}:epoch` → `{run_id}:{16 hex digits}`. Values of another epoch are misses.
//! - `ink:{namespace}:{kind}:{id}` → a format byte, a tag byte, then by tag:
//!   `V`, a value: the 16 hex digits of its epoch and the value as JSON; `T`, a tombstone.
//!
//! A change of the format changes [`FORMAT`]; the tag of a tombstone stays at its place, so that
//! servers of two releases respect each other's. Scripts are sent whole (`EVAL`), which every
//! Redis since 5 takes; each is atomic and uses the server's clock, never ours.

use fred::types::Value;

/// The layout written here.
const FORMAT: u8 = b'1';
const TAG_VALUE: u8 = b'V';
const TAG_TOMBSTONE: u8 = b'T';
const EPOCH_DIGITS: usize = 16;
const HEADER: usize = 2 + EPOCH_DIGITS;

/// What [`TOMBSTONE`] writes.
pub(super) const TOMBSTONE_VALUE: &str = "1T";

/// `KEYS`: the epoch's, then the values'. Returns the clock in ms and what the keys hold.
pub(super) const READ: &str = "\
local t = redis.call('TIME')
return {t[1] * 1000 + math.floor(t[2] / 1000), redis.call('MGET', unpack(KEYS))}";

/// `KEYS`: epoch, value. `ARGV`: latest moment in ms, the epoch, the bytes, TTL in ms.
///
/// Writes nothing when it comes too late, when the epoch has changed, or on a tombstone.
pub(super) const FILL: &str = "\
local t = redis.call('TIME')
if t[1] * 1000 + math.floor(t[2] / 1000) > tonumber(ARGV[1]) then return 0 end
if redis.call('GET', KEYS[1]) ~= ARGV[2] then return 0 end
if redis.call('GETRANGE', KEYS[2], 1, 1) == 'T' then return 0 end
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
return 1";

/// `KEYS`: the values'. `ARGV`: the tombstone, TTL in ms. Deletes first: a full server refuses
/// to start writing with `SET`, but not to delete.
pub(super) const TOMBSTONE: &str = "\
for _, key in ipairs(KEYS) do
  redis.call('DEL', key)
  redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
end
return #KEYS";

/// `KEYS`: the epoch's. `ARGV`: the beginning a valid epoch has, a new epoch.
pub(super) const ENSURE_EPOCH: &str = "\
local current = redis.call('GET', KEYS[1])
if current and string.sub(current, 1, #ARGV[1]) == ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1";

/// A new epoch of the server process `run_id`, unlike any before.
pub(super) fn new_epoch(run_id: &str) -> String {
    format!("{run_id}:{:016x}", rand::random::<u64>())
}

/// What one key held at a read.
#[derive(Debug, PartialEq)]
pub(super) enum Held {
    /// JSON, still to be decoded.
    Value(Vec<u8>),
    Tombstone,
    /// Nothing, or nothing of this epoch and format.
    Nothing,
}

/// The answer to [`READ`].
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    /// The server's clock before it read, ms since 1970.
    pub clock_ms: i64,
    /// `None` when the namespace has no epoch (yet, or any more).
    pub epoch: Option<String>,
    /// One for each key asked for, in order.
    pub held: Vec<Held>,
}

/// Reads the answer to [`READ`] for `keys` keys; `None` if it has another shape.
pub(super) fn parse_answer(answer: Value, keys: usize) -> Option<Answer> {
    let mut parts = answer.into_array().into_iter();
    let clock_ms = parts.next()?.as_i64()?;
    let mut values = parts.next()?.into_array().into_iter();
    let epoch = values.next()?.into_string();
    let held = values.map(|value| held(value, epoch.as_deref()));
    let held = held.collect::<Vec<_>>();
    (held.len() == keys).then_some(Answer { clock_ms, epoch, held })
}

fn held(value: Value, epoch: Option<&str>) -> Held {
    let Some(mut bytes) = value.into_owned_bytes() else {
        return Held::Nothing;
    };
    if bytes.get(1) == Some(&TAG_TOMBSTONE) {
        return Held::Tombstone;
    }
    let current = epoch.is_some_and(|epoch| bytes.starts_with(&header(epoch)));
    if !current {
        return Held::Nothing;
    }
    Held::Value(bytes.split_off(HEADER))
}

/// The bytes of a value of this epoch.
pub(super) fn encode(epoch: &str, json: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + json.len());
    bytes.extend(header(epoch));
    bytes.extend(json);
    bytes
}

fn header(epoch: &str) -> [u8; HEADER] {
    let mut header = [b'-'; HEADER];
    header[0] = FORMAT;
    header[1] = TAG_VALUE;
    let digits = epoch.rsplit(':').next().unwrap_or_default().as_bytes();
    for (place, digit) in header[2..].iter_mut().zip(digits) {
        *place = *digit;
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &[u8]) -> Value {
        Value::Bytes(text.to_vec().into())
    }

    #[test]
    fn a_value_comes_back_and_others_do_not() {
        let epoch = new_epoch("abc");
        let value = encode(&epoch, b"{\"a\":1}");
        let other = encode(&new_epoch("abc"), b"1");
        let mut later_format = value.clone();
        later_format[0] = b'2';
        let answer = Value::Array(vec![
            Value::Integer(7),
            Value::Array(vec![
                Value::String(epoch.as_str().into()),
                bytes(&value),
                bytes(&other),
                bytes(&later_format),
                bytes(b"2T"),
                bytes(b""),
                Value::Null,
                bytes(&value[..5]),
            ]),
        ]);
        let answer = parse_answer(answer, 7).expect("the shape READ returns");
        assert_eq!(answer.clock_ms, 7);
        assert_eq!(answer.epoch.as_deref(), Some(epoch.as_str()));
        assert_eq!(
            answer.held,
            [
                Held::Value(b"{\"a\":1}".to_vec()),
                Held::Nothing,
                Held::Nothing,
                Held::Tombstone,
                Held::Nothing,
                Held::Nothing,
                Held::Nothing,
            ]
        );
    }

    #[test]
    fn another_shape_is_no_answer() {
        assert_eq!(parse_answer(Value::Null, 0), None);
        assert_eq!(parse_answer(Value::Integer(1), 0), None);
        let short = Value::Array(vec![Value::Integer(7), Value::Array(vec![Value::Null])]);
        assert_eq!(parse_answer(short, 1), None);
    }

    #[test]
    fn without_an_epoch_every_value_is_a_miss() {
        let value = encode("abc:0000000000000001", b"1");
        assert_eq!(held(bytes(&value), None), Held::Nothing);
    }
}
