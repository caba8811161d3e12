//! A slug for a title, by rule: Chinese as pinyin, what else there is as `slug.rs` has it.

use pinyin::ToPinyin;

use crate::services::slug::slugify;
use crate::services::validate::Check;
use crate::services::{Actor, RefusalCode, ServiceError, Services};
use crate::store::{Conn, DbError, posts};

/// Longest suggestion; longer ones are cut between words.
const MAX_CHARS: usize = 60;
/// Numbers that are tried behind a slug that is taken.
const TRIED: usize = 50;

/// A slug for a title that no post has.
///
/// Errors: for others than the owner and editors; there is no letter or digit in the title.
pub async fn suggest(services: &Services, actor: &Actor, title: &str) -> Result<String, ServiceError> {
    actor.require(actor.viewer.may_write(), "name posts")?;
    Check::default().text("title", title, 300).done()?;
    let slug = of_title(title);
    if slug.is_empty() {
        let message = format!("{title:?} gives no slug: it needs a letter or a digit");
        return Err(ServiceError::refuse(RefusalCode::Invalid, "title", message));
    }
    Ok(free(&mut *services.db.conn().await?, &slug).await?)
}

/// This slug, or the first with a number behind it that no post has.
pub async fn free(conn: &mut Conn, slug: &str) -> Result<String, DbError> {
    let tried: Vec<String> =
        std::iter::once(slug.to_owned()).chain((2..TRIED).map(|number| format!("{slug}-{number}"))).collect();
    let taken = posts::ids_by_slugs(conn, &tried).await?;
    let first = tried.iter().find(|slug| taken.iter().all(|(other, _)| other != *slug));
    // Of more than that nobody keeps the names apart.
    Ok(first.cloned().unwrap_or_else(|| format!("{slug}-{}", uuid::Uuid::now_v7().simple())))
}

/// Empty only for a title without a letter or digit.
pub fn of_title(title: &str) -> String {
    let mut spelt = String::with_capacity(title.len());
    for (c, sound) in title.chars().zip(title.to_pinyin()) {
        match sound {
            // As it is typed: `lü` on the key of `lv`.
            Some(sound) => spelt.push_str(&format!(" {} ", sound.plain().replace('ü', "v"))),
            None => spelt.push(c),
        }
    }
    let slug = slugify(&spelt);
    match slug.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => {
            let head = &slug[..end];
            let whole = if slug[end..].starts_with('-') { head } else { head.rsplit_once('-').map_or(head, |it| it.0) };
            slugify(whole)
        }
        None => slug,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_spelt() {
        for (title, slug) in [
            ("用 Rust 写博客", "yong-rust-xie-bo-ke"),
            ("墨水瓶里的雨", "mo-shui-ping-li-de-yu"),
            ("绿茶", "lv-cha"),
            ("Rust的所有权(2026)", "rust-de-suo-you-quan-2026"),
            ("Don't panic!", "dont-panic"),
            ("Überraschung", "überraschung"),
            ("ひらがな", "ひらがな"),
            ("🎉", ""),
        ] {
            assert_eq!(of_title(title), slug, "{title}");
        }
    }

    #[test]
    fn a_long_title_is_cut_between_words() {
        let slug = of_title(&"墨水".repeat(40));
        assert!(
            slug.chars().count() <= MAX_CHARS && slug.split('-').all(|part| part == "mo" || part == "shui"),
            "{slug}"
        );
        assert_eq!(of_title(&"x".repeat(80)).len(), MAX_CHARS);
    }
}
