//! What a story needs of the machine that it is told on.
//!
//! Some need a browser, models or a client that not every machine has. There the story is left out,
//! and says so. Where everything has to be checked (`CI` or `TALKBACK_REQUIRE_ALL` is set) a story that
//! is left out is a failure: one that never runs would pass for ever.

use std::ffi::OsStr;

/// `found`, or nothing, said aloud. `what` is missing, and `brings` is how to get it.
///
/// # Panics
///
/// If it is missing where nothing may be.
pub fn or_skip<T>(found: Option<T>, what: &str, brings: &str) -> Option<T> {
    if found.is_some() {
        return found;
    }
    let set = |name: &str| is_set(std::env::var_os(name).as_deref());
    assert_skip_allowed(set("CI") || set("TALKBACK_REQUIRE_ALL"), what, brings);
    eprintln!("SKIPPED: no {what} here; {brings}");
    None
}

fn assert_skip_allowed(all_required: bool, what: &str, brings: &str) {
    assert!(
        !all_required,
        "no {what} here, and no story may be left out (CI or TALKBACK_REQUIRE_ALL is set); {brings}"
    );
}

fn is_set(value: Option<&OsStr>) -> bool {
    value.is_some_and(|value| !["", "0", "false"].iter().any(|off| value == *off))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_requirement_is_returned() {
        assert_eq!(or_skip(Some(1), "one", "count"), Some(1));
    }

    #[test]
    #[should_panic(expected = "no browser here, and no story may be left out")]
    fn what_is_missing_is_a_failure_where_everything_is_required() {
        assert_skip_allowed(true, "browser", "script/bootstrap --with-browser brings it");
    }

    #[test]
    fn a_variable_is_set_unless_it_says_no() {
        for (value, set) in [
            ("", false),
            ("0", false),
            ("false", false),
            ("true", true),
            ("1", true),
        ] {
            assert_eq!(is_set(Some(OsStr::new(value))), set, "{value}");
        }
        assert!(!is_set(None));
    }
}
