//! The few protocol messages that are made or read here rather than passed on.

use super::frames::{Frame, FrameError, frames};

/// A simple query.
pub(super) fn query(sql: &str) -> Vec<u8> {
    frame(b'Q', &[sql.as_bytes(), b"\0"])
}

/// A Sync: the backend answers with ReadyForQuery.
pub(super) fn sync() -> Vec<u8> {
    frame(b'S', &[])
}

/// A batch that closes the prepared statements `names`.
pub(super) fn close_statements<'a>(names: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut batch: Vec<u8> = names.flat_map(|name| frame(b'C', &[b"S", name, b"\0"])).collect();
    batch.extend(sync());
    batch
}

/// An ErrorResponse; `severity` is ERROR or FATAL, `code` the SQLSTATE.
pub(super) fn error(severity: &str, code: &str, message: &str) -> Vec<u8> {
    let fields = [("S", severity), ("V", severity), ("C", code), ("M", message)];
    let mut body: Vec<u8> =
        fields.iter().flat_map(|(key, value)| [key.as_bytes(), value.as_bytes(), b"\0"].concat()).collect();
    body.push(0);
    frame(b'E', &[&body])
}

/// A ReadyForQuery; `status` is `I`, `T` or `E`.
pub(super) fn ready(status: u8) -> Vec<u8> {
    frame(b'Z', &[&[status]])
}

/// A client's start-up packet for the only role and database there are.
pub(super) fn startup() -> Vec<u8> {
    let pairs =
        ["user", "postgres", "database", "postgres", "client_encoding", "UTF8", "TimeZone", "UTC", "DateStyle", "ISO"];
    let mut body = 196_608u32.to_be_bytes().to_vec();
    for text in pairs {
        body.extend(text.as_bytes());
        body.push(0);
    }
    body.push(0);
    [length(body.len()).as_slice(), &body].concat()
}

/// A prepared statement that came or went with a frame of a client. The unnamed one does not count.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Statement<'a> {
    Parsed(&'a [u8]),
    Closed(&'a [u8]),
}

/// What `frame` does to the prepared statements, if anything.
pub(super) fn statement<'a>(frame: &Frame<'a>) -> Option<Statement<'a>> {
    let (name, made): (_, fn(&'a [u8]) -> Statement<'a>) = match (frame.tag, frame.body().first()) {
        (b'P', _) => (until_nul(frame.body()), Statement::Parsed),
        (b'C', Some(b'S')) => (until_nul(&frame.body()[1..]), Statement::Closed),
        _ => return None,
    };
    (!name.is_empty()).then(|| made(name))
}

/// True for a Query or Parse whose SQL starts a `COPY … FROM STDIN`.
///
/// A word scan, so the same words in a literal count too: values belong into parameters.
pub(super) fn copies_in(frame: &Frame<'_>) -> bool {
    let sql = match frame.tag {
        b'Q' => until_nul(frame.body()),
        b'P' => until_nul(frame.body().get(until_nul(frame.body()).len() + 1..).unwrap_or_default()),
        _ => return false,
    };
    let mut words = sql.split(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_')).filter(|word| !word.is_empty());
    if !words.any(|word| word.eq_ignore_ascii_case(b"copy")) {
        return false;
    }
    let mut from = false;
    words.any(|word| {
        let stdin = from && word.eq_ignore_ascii_case(b"stdin");
        from = word.eq_ignore_ascii_case(b"from");
        stdin
    })
}

/// The first column of every row of a simple query's answer, NULL as "".
///
/// Errors: the text of the ErrorResponse, or that the answer could not be read.
pub(super) fn first_column(answer: &[u8]) -> Result<Vec<String>, String> {
    let mut rows = Vec::new();
    for frame in frames(answer) {
        let frame = frame.map_err(|error: FrameError| error.to_string())?;
        match frame.tag {
            b'E' => return Err(error_text(frame.body())),
            b'D' => rows.push(String::from_utf8_lossy(first_value(frame.body()).unwrap_or_default()).into_owned()),
            _ => {}
        }
    }
    Ok(rows)
}

/// 1 for an error that ran its course, `all` for one that says that the stack is used up.
pub(super) fn error_weight(frame: &Frame<'_>, all: u32) -> u32 {
    match field(frame.body(), b'C') {
        Some(b"54001") => all,
        _ => 1,
    }
}

fn first_value(row: &[u8]) -> Option<&[u8]> {
    let length = row.get(2..)?.first_chunk::<4>()?;
    row.get(6..6 + usize::try_from(i32::from_be_bytes(*length)).ok()?)
}

/// "message (SQLSTATE)" out of an ErrorResponse.
fn error_text(body: &[u8]) -> String {
    let text = |key| String::from_utf8_lossy(field(body, key).unwrap_or(b"?")).into_owned();
    format!("{} ({})", text(b'M'), text(b'C'))
}

fn field(body: &[u8], key: u8) -> Option<&[u8]> {
    body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(&[key]))
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn frame(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&[tag], length(body.len()).as_slice(), &body].concat()
}

fn length(body: usize) -> [u8; 4] {
    u32::try_from(body + 4).expect("messages made here are short").to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::frames::split;
    use super::*;

    fn the_frame(bytes: &[u8]) -> Frame<'_> {
        split(bytes, usize::MAX).unwrap().expect("one whole frame")
    }

    #[test]
    fn statements_are_seen_coming_and_going() {
        let parse = frame(b'P', &[b"s1\0SELECT 1\0\0\0"]);
        assert_eq!(statement(&the_frame(&parse)), Some(Statement::Parsed(b"s1")));
        let unnamed = frame(b'P', &[b"\0SELECT 1\0\0\0"]);
        assert_eq!(statement(&the_frame(&unnamed)), None);
        let close = close_statements([b"s1".as_slice()].into_iter());
        assert_eq!(statement(&the_frame(&close)), Some(Statement::Closed(b"s1")));
        let portal = frame(b'C', &[b"Pp1\0"]);
        assert_eq!(statement(&the_frame(&portal)), None);
    }

    #[test]
    fn only_copy_from_stdin_counts_as_copying_in() {
        let copies = |sql: &str| copies_in(&the_frame(&query(sql)));
        assert!(copies("COPY posts FROM STDIN"));
        assert!(copies("begin; copy posts (a, b)\n from stdin with (format csv)"));
        assert!(!copies("COPY posts TO STDOUT"));
        assert!(!copies("SELECT copy FROM posts WHERE stdin"));
        assert!(!copies("SELECT 1 FROM stdin"));
        assert!(copies_in(&the_frame(&frame(b'P', &[b"s1\0COPY a FROM STDIN\0\0\0"]))));
        assert!(!copies_in(&the_frame(&frame(b'P', &[b"copy from stdin"]))));
    }

    #[test]
    fn answers_are_read() {
        let row = |value: &[u8]| {
            let length = (value.len() as i32).to_be_bytes();
            frame(b'D', &[&[0, 1], &length, value])
        };
        let answer = [row(b"a"), row(b""), frame(b'D', &[&[0, 1, 255, 255, 255, 255]]), ready(b'I')].concat();
        assert_eq!(first_column(&answer), Ok(vec!["a".into(), String::new(), String::new()]));
        let failed = [error("ERROR", "42P01", "no such table"), ready(b'I')].concat();
        assert_eq!(first_column(&failed), Err("no such table (42P01)".into()));
        assert!(first_column(&row(b"a")[..7]).is_err());
    }
}
