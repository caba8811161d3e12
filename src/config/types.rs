//! What values settings can have.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::mask;

/// A type that a setting can have.
pub trait Parse: Sized {
    /// Smallest and largest, of a number.
    const BOUNDS: Option<(u64, u64)> = None;
    /// Whether TOML writes it without quotes.
    const BARE: bool = false;

    /// `None` if the text is no such value.
    fn parse(text: &str) -> Option<Self>;

    /// As text that can be shown, and read again unless something was masked.
    fn show(&self) -> String;

    /// `text`, which need not be such a value, as an error may repeat it.
    fn masked(text: &str) -> String {
        mask::stray(text)
    }
}

/// An http or https URL without a path, as the base of links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// Scheme and authority: there is no more to it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }
}

impl Parse for Option<Url> {
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(None);
        }
        let text = text.trim_end_matches('/');
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        let fine =
            !rest.is_empty() && !rest.chars().any(|c| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '@' | '"'));
        fine.then(|| Some(Url(text.to_owned())))
    }

    fn show(&self) -> String {
        self.as_ref().map(|url| url.0.clone()).unwrap_or_default()
    }
}

/// The pages that may use the API from a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Those of any site, without cookies.
    Any,
    /// Those of these sites, with cookies; none if there are none.
    Listed(Vec<Url>),
}

impl Origins {
    /// Scheme and authority of each that is listed.
    pub fn listed(&self) -> Vec<String> {
        match self {
            Self::Any => Vec::new(),
            Self::Listed(urls) => urls.iter().map(|url| url.as_str().to_owned()).collect(),
        }
    }
}

impl Parse for Origins {
    fn parse(text: &str) -> Option<Self> {
        if text.trim() == "*" {
            return Some(Self::Any);
        }
        entries(text).map(|entry| <Option<Url>>::parse(entry)?).collect::<Option<_>>().map(Self::Listed)
    }

    fn show(&self) -> String {
        match self {
            Self::Any => "*".to_owned(),
            Self::Listed(_) => self.listed().join(", "),
        }
    }
}

/// Networks whose word on where a request came from is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(pub Vec<IpNet>);

impl Networks {
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl Parse for Networks {
    fn parse(text: &str) -> Option<Self> {
        let network = |entry: &str| entry.parse().ok().or_else(|| entry.parse::<IpAddr>().ok().map(IpNet::from));
        entries(text).map(network).collect::<Option<_>>().map(Self)
    }

    fn show(&self) -> String {
        self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

/// The entries of a list with commas.
fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

impl Parse for Option<PathBuf> {
    fn parse(text: &str) -> Option<Self> {
        Some((!text.is_empty()).then(|| text.into()))
    }

    fn show(&self) -> String {
        self.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
    }
}

impl Parse for Option<String> {
    fn parse(text: &str) -> Option<Self> {
        Some((!text.is_empty()).then(|| text.into()))
    }

    fn show(&self) -> String {
        self.clone().unwrap_or_default()
    }
}

impl Parse for SocketAddr {
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Parse for PathBuf {
    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.into())
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl Parse for String {
    fn parse(text: &str) -> Option<Self> {
        (!text.trim().is_empty()).then(|| text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Parse for bool {
    const BARE: bool = true;

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// A whole number within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounded<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Bounded<MIN, MAX> {
    pub fn get(self) -> u64 {
        self.0
    }

    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// As milliseconds.
    pub fn millis(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl<const MIN: u64, const MAX: u64> Parse for Bounded<MIN, MAX> {
    const BOUNDS: Option<(u64, u64)> = Some((MIN, MAX));
    const BARE: bool = true;

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|n| (MIN..=MAX).contains(n)).map(Self)
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

/// Makes an enum a setting of a few words.
macro_rules! words {
    ($name:ident { $($variant:ident = $word:literal),+ }) => {
        impl Parse for $name {
            fn parse(text: &str) -> Option<Self> {
                match text { $($word => Some(Self::$variant),)+ _ => None }
            }

            fn show(&self) -> String {
                match self { $(Self::$variant => $word.to_owned()),+ }
            }
        }
    };
}

/// Who answers questions to the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ChatAnswers {
    /// A model where one can, else the site itself.
    #[default]
    Auto,
    /// The model that writes, however small.
    Written,
    /// The site itself.
    Quoted,
}

words!(ChatAnswers { Auto = "auto", Written = "written", Quoted = "quoted" });

/// When the demo site is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demo {
    Auto,
    Always,
    Never,
}

words!(Demo { Auto = "auto", Always = "always", Never = "never" });

/// Whether readers can make accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignUp {
    Open,
    Closed,
}

words!(SignUp { Open = "open", Closed = "closed" });

/// Who may run operations that are not on the list of trusted documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untrusted {
    Anybody,
    SignedIn,
    /// The owner and editors.
    Staff,
}

words!(Untrusted { Anybody = "anybody", SignedIn = "signed_in", Staff = "staff" });

/// Who may ask for the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Introspection {
    Anybody,
    /// The owner and editors.
    Staff,
}

words!(Introspection { Anybody = "anybody", Staff = "staff" });

/// Which comments wait for an editor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommentModeration {
    All,
    First,
    None,
}

words!(CommentModeration { All = "all", First = "first", None = "none" });

/// What computes the models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    #[default]
    Auto,
    Cpu,
    Cuda,
}

words!(DeviceChoice { Auto = "auto", Cpu = "cpu", Cuda = "cuda" });

/// How to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Auto,
    Text,
    Json,
}

words!(LogFormat { Auto = "auto", Text = "text", Json = "json" });
