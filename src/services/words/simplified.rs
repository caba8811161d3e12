//! Traditional Chinese characters as simplified ones, so that either finds the other.

use std::collections::HashMap;
use std::sync::LazyLock;

static SIMPLIFIED: LazyLock<HashMap<char, char>> = LazyLock::new(|| {
    let lines = include_str!("traditional.txt").lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.flat_map(str::split_whitespace).filter_map(|pair| {
        let mut chars = pair.chars();
        Some((chars.next()?, chars.next()?))
    });
    pairs.collect()
});

/// The simplified form of a character, which is itself if there is none.
///
/// One by one, without a look at the word: that 乾 and 幹 both become 干 finds more than it should, and
/// loses nothing.
pub fn simplified(c: char) -> char {
    // All of them are Han.
    if c < '\u{3400}' { c } else { SIMPLIFIED.get(&c).copied().unwrap_or(c) }
}
