use super::*;

fn load_from(file: Option<&str>, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let dir = tempfile::tempdir().expect("a folder for the file");
    let path = dir.path().join("inkstone.toml");
    if let Some(text) = file {
        std::fs::write(&path, text).expect("the file");
    }
    let flags = Flags {
        file: file.map(|_| path),
        settings: flags.iter().map(|(name, value)| (format!("--{name}"), (*name).into(), (*value).into())).collect(),
    };
    load(&flags, env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
}

fn refusal(file: Option<&str>, env: &[(&str, &str)], flags: &[(&str, &str)]) -> String {
    load_from(file, env, flags).expect_err("this should be refused").to_string()
}

#[test]
fn every_default_is_valid() {
    let config = Config::default();
    assert_eq!(config.listen.port(), 4000);
    assert_eq!(config.shown().len(), SETTINGS.len());
}

#[test]
fn the_command_line_beats_the_environment_beats_the_file() {
    let file = Some("listen = \"127.0.0.1:1\"\nlog = \"warn\"\ncache_ttl_seconds = 7\n");
    let env = [("INKSTONE_LISTEN", "127.0.0.1:2"), ("INKSTONE_LOG", "debug")];
    let loaded = load_from(file, &env, &[("listen", "127.0.0.1:3")]).expect("valid");
    assert_eq!(loaded.config.listen.port(), 3);
    assert_eq!(loaded.config.log, "debug");
    assert_eq!(loaded.config.cache_ttl_seconds.get(), 7);
}

#[test]
fn a_wrong_value_is_refused_with_its_place_and_what_would_be_right() {
    let text = refusal(None, &[("INKSTONE_LISTEN", "localhost")], &[]);
    assert_eq!(
        text,
        "INKSTONE_LISTEN is \"localhost\": expected an address with a port, such as 127.0.0.1:4000 or 0.0.0.0:80"
    );
    let text = refusal(Some("\nmax_query_depth = 2\n"), &[], &[]);
    assert!(text.contains("inkstone.toml:2) is \"2\": expected a number from 3 to 100"), "{text}");
}

#[test]
fn everything_wrong_is_told_at_once() {
    let text = refusal(Some("listn = \"x\"\n"), &[("INKSTONE_DEMO", "maybe")], &[("sign_up", "perhaps")]);
    assert!(text.contains("did you mean listen?"), "{text}");
    assert!(text.contains("INKSTONE_DEMO is \"maybe\": expected auto, always or never"), "{text}");
    assert!(text.contains("--sign_up is \"perhaps\": expected open or closed"), "{text}");
}

#[test]
fn an_unknown_variable_is_a_warning_because_others_may_mean_it() {
    let loaded = load_from(None, &[("INKSTONE_LISTN", "x"), ("HOME", "/")], &[]).expect("valid");
    assert_eq!(loaded.warnings.len(), 1);
    assert!(loaded.warnings[0].contains("did you mean listen?"), "{}", loaded.warnings[0]);
}

#[test]
fn secrets_are_never_shown() {
    let env = [("DATABASE_URL", "postgres://me:hunter2@db/site"), ("REDIS_URL", "redis://:hunter2@cache:6379")];
    let loaded = load_from(None, &env, &[]).expect("valid");
    assert_eq!(loaded.config.database_url.as_ref().map(Secret::expose), Some("postgres://me:hunter2@db/site"));
    for shown in [print_effective(&loaded), format!("{:?}", loaded.config)] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    for (name, value) in [("DATABASE_URL", "mysql://me:hunter2@db/site"), ("REDIS_URL", "hunter2")] {
        let text = refusal(None, &[(name, value)], &[]);
        assert!(!text.contains("hunter2") && text.contains(name), "{text}");
    }
}

#[test]
fn a_database_url_of_the_wrong_kind_is_refused() {
    let text = refusal(None, &[("DATABASE_URL", "redis://db:6379")], &[]);
    assert_eq!(text, "DATABASE_URL begins with \"redis\": expected postgres:// or postgresql://");
}

#[test]
fn what_is_printed_can_be_read_again() {
    let env = [("INKSTONE_LISTEN", "0.0.0.0:80"), ("INKSTONE_PUBLIC_URL", "https://example.org")];
    let loaded = load_from(None, &env, &[]).expect("valid");
    let again = load_from(Some(&print_effective(&loaded)), &[], &[]).expect("what was printed is valid");
    assert_eq!(again.config.shown(), loaded.config.shown());
}
