use std::ffi::OsString;

use super::*;

/// Always with a file of its own, so that none in the working directory is read.
fn load_with<V: Into<OsString>>(
    file: Option<&str>,
    env: impl IntoIterator<Item = (OsString, V)>,
    flags: &[(&str, &str)],
) -> Result<Loaded, ConfigError> {
    let dir = tempfile::tempdir().expect("a folder for the file");
    let path = dir.path().join("inkstone.toml");
    std::fs::write(&path, file.unwrap_or_default()).expect("the file");
    let flags = Flags {
        file: Some(path),
        settings: flags.iter().map(|(name, value)| (format!("--{name}"), (*name).into(), (*value).into())).collect(),
    };
    load(&flags, env.into_iter())
}

/// A build without the embedded database gets a URL, unless there is one.
fn load_from(file: Option<&str>, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let told = file.is_some_and(|file| file.contains("database_url")) || env.iter().any(|(k, _)| *k == "DATABASE_URL");
    let url = (!cfg!(feature = "embedded") && !told).then_some(&("DATABASE_URL", "postgres://db/x"));
    load_with(file, url.into_iter().chain(env).map(|(k, v)| ((*k).into(), *v)), flags)
}

fn refusal(file: Option<&str>, env: &[(&str, &str)], flags: &[(&str, &str)]) -> String {
    load_from(file, env, flags).expect_err("this should be refused").to_string()
}

#[test]
fn every_default_is_what_its_own_setting_accepts() {
    let config = Config::default();
    assert_eq!(config.listen.port(), 4000);
    assert_eq!(config.shown().len(), SETTINGS.len());
    for setting in SETTINGS {
        let given = Given { text: setting.default.to_owned(), source: Source::Flag("test".into()) };
        Config::from_given(&BTreeMap::from([(setting.name, given)])).expect(setting.name);
    }
}

#[test]
fn the_command_line_beats_the_environment_beats_the_file() {
    let file = Some("listen = \"127.0.0.1:1\"\nlog = \"warn\"\ncache_ttl_seconds = 7\n");
    let env = [("INKSTONE_LISTEN", "127.0.0.1:2"), ("INKSTONE_LOG", "debug")];
    let loaded = load_from(file, &env, &[("listen", "127.0.0.1:3")]).expect("valid");
    assert_eq!(loaded.config.listen.port(), 3);
    assert_eq!(loaded.config.log, "debug");
    assert_eq!(loaded.config.cache_ttl_seconds.get(), 7);
    assert_eq!(loaded.config.session_ttl_days.get(), 30);
}

#[test]
fn of_two_variables_for_one_setting_the_longer_name_wins_in_any_order() {
    let mut env = [("DATABASE_URL", "postgres://plain/x"), ("INKSTONE_DATABASE_URL", "postgres://ours/x")];
    for _ in 0..2 {
        let loaded = load_from(Some("database_url = \"postgres://file/x\""), &env, &[]).expect("valid");
        assert_eq!(loaded.config.database_url.as_ref().map(Secret::expose), Some("postgres://ours/x"));
        env.reverse();
    }
    let loaded = load_from(Some("database_url = \"postgres://file/x\""), &[env[0]], &[]).expect("valid");
    assert_eq!(loaded.config.database_url.as_ref().map(Secret::expose), Some("postgres://plain/x"));
}

#[test]
fn a_wrong_value_is_refused_with_its_place_and_what_would_be_right() {
    for (variable, value, message) in [
        ("INKSTONE_LISTEN", "localhost", "\"localhost\": expected an address with a port, such as 127.0.0.1:4000"),
        ("INKSTONE_PUBLIC_URL", "example.org", "\"example.org\": expected an http or https URL without a path"),
        ("INKSTONE_DATA_DIR", "", "\"\": expected a path"),
        ("INKSTONE_CACHE_TTL_SECONDS", "0", "\"0\": expected seconds from 1 to 86400"),
        ("INKSTONE_SESSION_TTL_DAYS", "3651", "\"3651\": expected days from 1 to 3650"),
        ("INKSTONE_MAX_BODY_BYTES", "1 MiB", "\"1 MiB\": expected bytes from 1024 to 104857600"),
        ("INKSTONE_STATEMENT_COUNTS", "yes", "\"yes\": expected true or false"),
        ("INKSTONE_COMMENT_MODERATION", "some", "\"some\": expected all, first or none"),
        ("INKSTONE_POST_PATH", "/posts", "\"/posts\": expected a path that begins with / and contains {slug}"),
        ("INKSTONE_POST_PATH", "posts/{slug}", "\"posts/{slug}\": expected a path that begins with /"),
        ("INKSTONE_POST_PATH", "//x.org/{slug}", "\"//x.org/{slug}\": expected a path that begins with /"),
        ("INKSTONE_PAGE_PATH", "/{slug}/{year}", "\"/{slug}/{year}\": expected a path that begins with /"),
        ("INKSTONE_PROJECT_PATH", "/a b/{slug}", "\"/a b/{slug}\": expected a path that begins with /"),
        ("INKSTONE_LOG", "inkstone=loud", "\"inkstone=loud\": expected a filter such as info"),
        ("INKSTONE_REDIS_NAMESPACE", "my site", "\"my site\": expected at most 64 of a-z"),
        ("DATABASE_URL", "mysql://me@db/x", "\"mysql://:***@db/x\": expected a postgres:// or postgresql:// URL"),
        ("DATABASE_URL", "redis://db:6379", "\"redis://db:6379\": expected a postgres:// or postgresql:// URL"),
        ("REDIS_URL", "http://cache", "\"http://cache\": expected a URL such as redis://host:6379 or rediss://"),
    ] {
        let text = refusal(None, &[(variable, value)], &[]);
        assert!(text.starts_with(&format!("{variable} is {message}")), "{text}");
    }
}

#[test]
fn what_is_wrong_in_the_file_is_told_with_its_line() {
    let text = refusal(Some("log = \"\"\"\nlisten = 1\n\"\"\"\nlisten = \"x\"\n\"sign_up\" = 2\n"), &[], &[]);
    assert!(text.contains("listen (") && text.contains("inkstone.toml:4) is \"x\": expected an address"), "{text}");
    assert!(text.contains("inkstone.toml:5) is \"2\": expected open or closed"), "{text}");
    let text = refusal(Some("\ndata_dir = [\"a\"]\n[server]\nlisten = \"x\"\n"), &[], &[]);
    assert!(text.contains("inkstone.toml:2) is a TOML array: expected a path"), "{text}");
    assert!(text.contains("inkstone.toml:3) is a section: the settings stand on their own"), "{text}");
    let text = refusal(Some("demo = \"never\"\nlisten = x\n"), &[], &[]);
    assert!(text.contains("inkstone.toml:2 is not valid TOML: "), "{text}");
    let missing = Flags { file: Some("no-such-folder/inkstone.toml".into()), ..Flags::default() };
    let text =
        load(&missing, std::iter::empty::<(String, String)>()).expect_err("a named file has to be there").to_string();
    assert!(text.starts_with("no-such-folder/inkstone.toml cannot be read: "), "{text}");
}

#[test]
fn everything_wrong_is_told_at_once() {
    let env = [("INKSTONE_DEMO", "maybe"), ("DATABASE_URL", "mysql://db/x")];
    let text = refusal(Some("listn = \"x\"\n"), &env, &[("sign_up", "perhaps"), ("lisen", "x")]);
    for part in [
        "inkstone.toml:1: there is no setting \"listn\"; did you mean listen?",
        "--lisen: there is no setting \"lisen\"; did you mean listen?",
        "INKSTONE_DEMO is \"maybe\": expected auto, always or never",
        "DATABASE_URL is \"mysql://db/x\": expected a postgres:// or postgresql:// URL",
        "--sign_up is \"perhaps\": expected open or closed",
    ] {
        assert!(text.contains(part), "{part:?} is missing from:\n{text}");
    }
    assert_eq!(text.lines().count(), 5, "{text}");
}

#[test]
fn an_unknown_variable_is_a_warning_because_others_may_mean_it() {
    let loaded = load_from(None, &[("INKSTONE_LISTN", "hunter2"), ("HOME", "/")], &[]).expect("valid");
    assert_eq!(loaded.warnings, ["INKSTONE_LISTN: there is no setting \"listn\"; did you mean INKSTONE_LISTEN?"]);
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf_8_is_refused_if_it_is_ours() {
    use std::os::unix::ffi::OsStringExt;

    let odd = || OsString::from_vec(vec![b'a', 0xff]);
    let ours = load_with(None, [("INKSTONE_LOG".into(), odd())], &[]).expect_err("not UTF-8").to_string();
    assert!(ours.contains("INKSTONE_LOG is not UTF-8: expected a filter such as info"), "{ours}");
    let url = ("DATABASE_URL".into(), "postgres://db/x".into());
    load_with(None, [(odd(), odd()), ("LESS".into(), odd()), url], &[]).expect("others' variables do not matter");
}

#[cfg(not(feature = "embedded"))]
#[test]
fn without_the_embedded_database_a_url_is_needed() {
    for env in [None, Some(("DATABASE_URL".into(), ""))] {
        let text = load_with(None, env, &[]).expect_err("there is no database").to_string();
        assert!(text.contains("this build has no embedded database: set DATABASE_URL"), "{text}");
    }
    load_from(None, &[("DATABASE_URL", "postgres://db/x")], &[]).expect("a URL is all it needs");
}

#[test]
fn secrets_are_never_shown() {
    let env = [("DATABASE_URL", "postgres://me:hunter2@db/site"), ("REDIS_URL", "redis://:hunter2@cache:6379")];
    let loaded = load_from(None, &env, &[]).expect("valid");
    assert_eq!(loaded.config.database_url.as_ref().map(Secret::expose), Some("postgres://me:hunter2@db/site"));
    for shown in [print_effective(&loaded), format!("{loaded:?}")] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    for (name, value) in [
        ("DATABASE_URL", "mysql://me:hunter2@db/site"),
        ("DATABASE_URL", "mysql://me:no/hunter2@db/site"),
        ("REDIS_URL", "hunter2"),
        ("INKSTONE_LISTEN", "postgres://me:hunter2@db/site"),
        ("INKSTONE_PUBLIC_URL", "https://me:hunter2@example.org"),
    ] {
        let text = refusal(None, &[(name, value)], &[]);
        assert!(!text.contains("hunter2") && text.contains(name), "{text}");
    }
}

#[test]
fn a_broken_file_does_not_tell_its_secrets() {
    let url = "postgres://me:hunter2@db/site";
    for file in [
        format!("database_url = \"{url}\n"),
        format!("database_url = {url}\n"),
        format!("database_url = \"{url}\" \"\n"),
        format!("database_url = \"{url}\\q\"\n"),
        format!("database_url = \"{url}\"\ndatabase_url = \"{url}\"\n"),
        format!("database_url = [\"{url}\"]\n"),
        format!("database_url.url = \"{url}\"\n"),
        format!("databse_url = \"{url}\"\n"),
    ] {
        let text = refusal(Some(&file), &[], &[]);
        assert!(!text.contains("hunter2") && text.contains("inkstone.toml:"), "{text}");
    }
}

#[test]
fn what_is_printed_is_read_again_as_the_same_settings() {
    let env = [
        ("INKSTONE_LISTEN", "0.0.0.0:80"),
        ("INKSTONE_PUBLIC_URL", "https://example.org"),
        ("INKSTONE_REDIS_NAMESPACE", "007"),
        ("INKSTONE_LOG", "a[b{c=\"d # e\"}]=info"),
        ("INKSTONE_MAX_QUERY_DEPTH", "+20"),
        ("DATABASE_URL", "postgres://me@db:5432/site"),
    ];
    let loaded = load_from(None, &env, &[("data_dir", "C:\\x \"y\"\n=")]).expect("valid");
    let printed = print_effective(&loaded);
    let again = load_from(Some(&printed), &[], &[]).expect("what was printed is valid");
    assert_eq!(again.config.shown(), loaded.config.shown());
    assert_eq!(again.given.len(), SETTINGS.len(), "every setting is printed");
    assert!(printed.contains("listen = \"0.0.0.0:80\" # INKSTONE_LISTEN\n"), "{printed}");
    assert!(printed.contains("# Expected: days from 1 to 3650.\nsession_ttl_days = 30 # default\n"), "{printed}");
}

#[test]
fn a_masked_url_is_not_taken_for_a_real_one() {
    let loaded = load_from(None, &[("DATABASE_URL", "postgres://me:hunter2@db/site")], &[]).expect("valid");
    let text = refusal(Some(&print_effective(&loaded)), &[], &[]);
    assert!(text.contains("is \"postgres://me:***@db/site\": expected a postgres://"), "{text}");
    assert!(text.ends_with("*** stands for a part that was hidden"), "{text}");
}
