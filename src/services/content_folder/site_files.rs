//! The TOML files beside the posts: the site, its people, tags, series, comments, reactions.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::dates;

/// All of them; a file that is not there is empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SiteFiles {
    pub site: Option<SiteToml>,
    pub users: Vec<UserToml>,
    pub tags: Vec<TagToml>,
    pub series: Vec<SeriesToml>,
    pub comments: Vec<CommentToml>,
    pub reactions: Vec<ReactionToml>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteToml {
    pub title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tagline: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// A handle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Addresses by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserToml {
    pub handle: String,
    pub name: String,
    #[serde(default)]
    pub role: UserRole,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bio: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TagToml {
    pub slug: String,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesToml {
    pub slug: String,
    pub title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommentToml {
    /// Unique in the file.
    pub key: String,
    /// A slug.
    pub post: String,
    /// A handle.
    pub author: String,
    #[serde(with = "moment")]
    pub at: DateTime<Utc>,
    /// The key of the comment this one answers, on the same post.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    #[serde(default)]
    pub status: CommentStatus,
    /// Markdown.
    pub body: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReactionToml {
    /// A slug.
    pub post: String,
    pub kind: ReactionKind,
    /// Handles.
    pub users: Vec<String>,
}

/// Declares an enum whose names in a file are those of the API.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$mark:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$mark])* #[serde(rename = $word)] $variant),+
        }

        impl $name {
            /// The name in files and in the API.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }
    };
}

words!(
    #[derive(Default)]
    UserRole { Owner = "OWNER", Editor = "EDITOR", #[default] Reader = "READER" }
);
words!(
    #[derive(Default)]
    CommentStatus { #[default] Approved = "APPROVED", Pending = "PENDING", Spam = "SPAM" }
);
words!(ReactionKind {
    Like = "LIKE",
    Love = "LOVE",
    Celebrate = "CELEBRATE",
    Insightful = "INSIGHTFUL",
    Curious = "CURIOUS",
});

/// A TOML datetime, or the same as a text; without a zone it is in UTC.
mod moment {
    use serde::{Deserializer, Serializer, de::Error as _, ser::Error as _};

    use super::{DateTime, Deserialize, SecondsFormat, Serialize, Utc, dates};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Moment {
        Native(toml::value::Datetime),
        Text(String),
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
        let expected = || D::Error::custom(format!("expected {}", dates::EXPECTED));
        let text = match Moment::deserialize(deserializer).map_err(|_| expected())? {
            Moment::Native(date) => date.to_string(),
            Moment::Text(text) => text,
        };
        dates::parse_date(&text).ok_or_else(expected)
    }

    pub fn serialize<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
        let text = at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let native: toml::value::Datetime = text.parse().map_err(S::Error::custom)?;
        native.serialize(serializer)
    }
}
