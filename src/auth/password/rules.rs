//! Which passwords are accepted. To add a rule: a variant of [`Unfit`] and a line in [`check`].

/// Fewest characters of a new password.
pub const MIN_CHARS: usize = 10;

/// Most characters of a password.
pub const MAX_CHARS: usize = 200;

/// Passwords of ten and more characters that lists of leaked passwords begin with. Lower case.
#[rustfmt::skip]
const COMMON: &[&str] = &[
    "0123456789", "0987654321", "1111122222", "1122334455", "1231231231", "1234512345",
    "1234554321", "1234567890", "12345678910", "123456789a", "123456789q", "1q2w3e4r5t",
    "1q2w3e4r5t6y", "1qaz2wsx3edc", "5201314520", "9876543210", "a123456789", "aa123456789",
    "abc123456789", "abcd123456", "abcd1234567", "abcdefghij", "administrator", "asdfghjkl123",
    "azertyuiop", "changeme123", "football123", "iloveyou123", "letmein123", "password01",
    "password12", "password123", "password1234", "password12345", "passw0rd123", "princess123",
    "q1w2e3r4t5", "q1w2e3r4t5y6", "qazwsxedcrfv", "qq123456789", "qwerty1234", "qwerty12345",
    "qwerty123456", "qwertyuiop", "qwertyuiop123", "unknown123", "welcome123", "woaini1314",
    "woaini1314520", "zaq12wsxcde3",
];

/// Why a new password is refused. The text is for the person who chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("the password has {chars} characters; use at least {MIN_CHARS}")]
    TooShort { chars: usize },
    #[error("the password has {chars} characters; use at most {MAX_CHARS}")]
    TooLong { chars: usize },
    #[error("the password repeats one character; use several")]
    OneCharacter,
    #[error("the password is among the first that anyone would guess; choose another")]
    Common,
}

/// Refuses passwords that would be guessed soon; counts characters as they are, not bytes.
pub fn check(password: &str) -> Result<(), Unfit> {
    let chars = password.chars().count();
    if chars < MIN_CHARS {
        return Err(Unfit::TooShort { chars });
    }
    if chars > MAX_CHARS {
        return Err(Unfit::TooLong { chars });
    }
    let mut each = password.chars();
    let first = each.next();
    if each.all(|next| Some(next) == first) {
        return Err(Unfit::OneCharacter);
    }
    if COMMON.contains(&password.to_lowercase().as_str()) {
        return Err(Unfit::Common);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_counted_in_characters() {
        assert_eq!(check("短短短短短短短短短"), Err(Unfit::TooShort { chars: 9 }));
        assert_eq!(check("墨水瓶里的雨下了一夜"), Ok(()));
        assert_eq!(check(&"ab".repeat(100)), Ok(()));
        assert_eq!(check(&format!("{}c", "ab".repeat(100))), Err(Unfit::TooLong { chars: 201 }));
        assert_eq!(
            check("").map_err(|why| why.to_string()),
            Err("the password has 0 characters; use at least 10".into())
        );
    }

    #[test]
    fn guessable_passwords_are_refused() {
        assert_eq!(check("zzzzzzzzzzzz"), Err(Unfit::OneCharacter));
        for common in ["password123", "PassWord123", "1234567890", "woaini1314520"] {
            assert_eq!(check(common), Err(Unfit::Common), "{common}");
        }
    }

    #[test]
    fn the_list_of_common_passwords_holds_only_what_it_can_catch() {
        for common in COMMON {
            assert!(common.chars().count() >= MIN_CHARS, "{common} is too short anyway");
            assert_eq!(common.to_lowercase(), **common);
        }
    }
}
