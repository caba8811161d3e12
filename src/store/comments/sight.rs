//! Which comments the public may see, as conditions of SQL: one that is approved, or was and is now
//! a place holder, under nothing but such ones.

use super::super::Sight;
use super::super::sql::Sql;

/// What the public may see of a comment by itself: see [`CommentRow::visible_to`].
macro_rules! shown {
    ($comment:literal) => {
        concat!(
            "(",
            $comment,
            ".status = 'APPROVED' OR (",
            $comment,
            ".status = 'DELETED' AND ",
            $comment,
            ".approved_at IS NOT NULL))"
        )
    };
}

/// True if the comment with this id, or one above it, is hidden from the public. A thread is at
/// most [`MAX_DEPTH`] deep, so this is a short walk.
macro_rules! is_hidden_from {
    ($id:literal) => {
        concat!(
            "EXISTS (WITH RECURSIVE line AS (SELECT c.id, c.parent_id, c.status, c.approved_at FROM comments AS c \
             WHERE c.id = ",
            $id,
            " UNION ALL SELECT c.id, c.parent_id, c.status, c.approved_at FROM comments AS c \
             JOIN line ON c.id = line.parent_id) SELECT 1 FROM line WHERE NOT ",
            shown!("line"),
            ")"
        )
    };
}

/// The comment `parent.id` may be seen by the public, and so may the answers to it.
pub const PARENT_IS_PUBLIC: &str = concat!(
    "EXISTS (SELECT 1 FROM comments AS answered JOIN posts ON posts.id = answered.post_id \
     WHERE answered.id = parent.id AND posts.status = 'PUBLISHED') AND NOT ",
    is_hidden_from!("parent.id")
);

/// With [`THEIR_REPLIES`], the comments that the public can reach: none below one that is hidden.
/// A condition on the threads goes in between.
pub const THREADS: &str =
    "WITH RECURSIVE shown AS (SELECT comments.id, comments.post_id, comments.status FROM comments";
/// See [`THREADS`].
pub const THEIR_REPLIES: &str = concat!(
    " AND comments.parent_id IS NULL AND ",
    shown!("comments"),
    " UNION ALL SELECT reply.id, reply.post_id, reply.status FROM comments AS reply \
     JOIN shown ON reply.parent_id = shown.id WHERE ",
    shown!("reply"),
    ") "
);

/// A comment by itself, where those above it are known to be visible.
pub fn visible<ST>(sql: Sql<ST>, sight: Sight) -> Sql<ST> {
    sql.push(match sight {
        Sight::Public => shown!("comments"),
        Sight::Everything => "true",
    })
}

/// A comment together with those above it and its post.
pub fn listable<ST>(sql: Sql<ST>, sight: Sight) -> Sql<ST> {
    let sql = visible(sql, sight);
    match sight {
        Sight::Public => sql.push(concat!(
            " AND (comments.parent_id IS NULL OR NOT ",
            is_hidden_from!("comments.parent_id"),
            ") AND EXISTS (SELECT 1 FROM posts WHERE posts.id = comments.post_id AND posts.status = 'PUBLISHED')"
        )),
        Sight::Everything => sql,
    }
}
