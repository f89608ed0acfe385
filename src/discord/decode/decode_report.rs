//! Counts and logs invalid fields and undecodable objects, without their values.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use metrics::counter;

use super::schema::InvalidFields;

/// Most event and field names to keep counts for. They come from our own schemas, which have fewer.
const MAX_LOGGED_KEYS: usize = 4_096;

/// Reports the invalid fields of an object that was decoded all the same.
pub(super) fn report_invalid_fields(what: &'static str, invalid: InvalidFields) {
    for field in invalid.into_paths() {
        counter!("talkback_discord_odd_fields_total", "event" => what).increment(1);
        if let Some(times) = occurrences_if_loggable(what, &field) {
            tracing::warn!(event = what, field, times, "ignoring an invalid field");
        }
    }
}

/// Reports an object that can't be decoded.
pub(in crate::discord) fn report_undecodable(what: &'static str, field: &str) {
    counter!("talkback_discord_undecodable_total", "event" => what).increment(1);
    if let Some(times) = occurrences_if_loggable(what, &format!("!{field}")) {
        tracing::error!(
            event = what,
            field,
            times,
            "what Discord tells can't be read"
        );
    }
}

/// Counts an occurrence. Returns the count if it should be logged, which is at every power of two:
/// each of a large server's thousand threads may be invalid in the same way.
fn occurrences_if_loggable(what: &'static str, field: &str) -> Option<u64> {
    static OCCURRENCES: Mutex<Option<HashMap<(&'static str, String), u64>>> = Mutex::new(None);
    let mut occurrences = OCCURRENCES.lock().unwrap_or_else(PoisonError::into_inner);
    let occurrences = occurrences.get_or_insert_with(HashMap::new);
    let key = (what, field.to_owned());
    if occurrences.len() >= MAX_LOGGED_KEYS && !occurrences.contains_key(&key) {
        return None;
    }
    let times = occurrences.entry(key).or_insert(0);
    *times += 1;
    times.is_power_of_two().then_some(*times)
}
