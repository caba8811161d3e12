//! The TOML files beside the posts: the site, its people, tags, series, comments, reactions.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};

use super::dates;

/// All of them; a file that is not there is empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SiteFiles {
    pub site: Option<SiteToml>,
    pub users: Vec<UserToml>,
    pub tags: Vec<TagToml>,
    pub series: Vec<SeriesToml>,
    pub entities: Vec<EntityToml>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated: Option<Moment>,
    /// In the file `[[links]]`, in their order; or `[links]`, addresses by name.
    #[serde(default, deserialize_with = "links", skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkToml>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkToml {
    pub name: String,
    pub url: String,
}

fn links<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<LinkToml>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Links {
        Listed(Vec<LinkToml>),
        Named(BTreeMap<String, String>),
    }
    let expected = |_| D::Error::custom("`links` must be [[links]] with `name` and `url`, or [links] with addresses");
    Ok(match Links::deserialize(deserializer).map_err(expected)? {
        Links::Listed(links) => links,
        Links::Named(links) => links.into_iter().map(|(name, url)| LinkToml { name, url }).collect(),
    })
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
    /// Path or URL of a picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated: Option<Moment>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TagToml {
    pub slug: String,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Moment>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Moment>,
}

/// What somebody has said about an entity of the knowledge graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntityToml {
    /// The one that is shown; unique in the file.
    pub name: String,
    pub kind: EntityKind,
    /// What else means it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// What else meant it in posts: shown while a published post says it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<String>,
    /// The slug of the tag that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// It was taken out of the graph, and is not to come back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Moment>,
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
    pub at: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited: Option<Moment>,
    /// When it was first approved; `at` where an approved one does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved: Option<Moment>,
    /// The key of the comment this one answers, on the same post.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    #[serde(default)]
    pub status: CommentStatus,
    /// Markdown; nothing in a deleted one.
    #[serde(default)]
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
    /// When, by handle.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub at: BTreeMap<String, Moment>,
}

impl ReactionToml {
    /// What makes it unique in its file.
    pub fn id(&self) -> String {
        format!("{} {}", self.post, self.kind.as_str())
    }
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
    CommentStatus { #[default] Approved = "APPROVED", Pending = "PENDING", Spam = "SPAM", Deleted = "DELETED" }
);
words!(EntityKind {
    Person = "PERSON",
    Project = "PROJECT",
    Place = "PLACE",
    Technology = "TECHNOLOGY",
    Tag = "TAG",
    Concept = "CONCEPT",
});
words!(ReactionKind {
    Like = "LIKE",
    Love = "LOVE",
    Celebrate = "CELEBRATE",
    Insightful = "INSIGHTFUL",
    Curious = "CURIOUS",
});

/// A TOML datetime, or the same as a text; without a zone it is in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub DateTime<Utc>);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Spelled {
            Native(toml::value::Datetime),
            Text(String),
        }
        let expected = || D::Error::custom(format!("expected {}", dates::EXPECTED));
        let text = match Spelled::deserialize(deserializer).map_err(|_| expected())? {
            Spelled::Native(date) => date.to_string(),
            Spelled::Text(text) => text,
        };
        dates::parse_date(&text).map(Self).ok_or_else(expected)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let native: toml::value::Datetime = text.parse().map_err(S::Error::custom)?;
        native.serialize(serializer)
    }
}
