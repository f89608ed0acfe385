//! What is odd is counted, and said by its name.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use metrics::counter;

use super::schema::InvalidFields;

/// Names that are remembered for it. They come from our own tables, so there are fewer.
const MAX_LOGGED_KEYS: usize = 4_096;

/// Fields of something that was read all the same.
pub(super) fn report_invalid_fields(what: &'static str, notes: InvalidFields) {
    for field in notes.into_paths() {
        counter!("talkback_discord_odd_fields_total", "event" => what).increment(1);
        if let Some(times) = occurrences_if_loggable(what, &field) {
            tracing::warn!(event = what, field, times, "an odd field is passed over");
        }
    }
}

/// Something that can't be read at all.
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

/// How often it has happened, if that is to be said: the first time, then each time that it has
/// happened twice as often. Each of a large server's thousand threads may be odd in the same way.
fn occurrences_if_loggable(what: &'static str, field: &str) -> Option<u64> {
    static OCCURRENCES: Mutex<Option<HashMap<(&'static str, String), u64>>> = Mutex::new(None);
    let mut said = OCCURRENCES.lock().unwrap_or_else(PoisonError::into_inner);
    let said = said.get_or_insert_with(HashMap::new);
    let key = (what, field.to_owned());
    if said.len() >= MAX_LOGGED_KEYS && !said.contains_key(&key) {
        return None;
    }
    let times = said.entry(key).or_insert(0);
    *times += 1;
    times.is_power_of_two().then_some(*times)
}
