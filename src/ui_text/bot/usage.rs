//! What members have used, and what it cost.

use std::fmt::Write as _;
use std::time::Duration;

use crate::flow::usage_rules::Prices;
use crate::store::Usage;
use crate::ui_text::format_duration;

/// The total over the last `days` days. Cost is shown only if prices are set.
pub fn usage_title(days: i64, all: &Usage, prices: &Prices) -> String {
    let mut title = format!(
        "**The last {days} days (UTC)**: {}, {} tokens",
        format_duration(Duration::from_secs(all.audio_ms.div_ceil(1_000))),
        all.tokens_in.saturating_add(all.tokens_out)
    );
    if *prices != Prices::default() {
        let _ = write!(title, ", about {}", format_money(all.micros));
    }
    title
}

/// What a member used on one day, as a line.
pub fn daily_usage_line(date: &str, member: u64, used: &Usage, prices: &Prices) -> String {
    let mut line = format!(
        "{date} · <@{member}> · {} · {} tokens",
        format_duration(Duration::from_secs(used.audio_ms.div_ceil(1_000))),
        used.tokens_in.saturating_add(used.tokens_out)
    );
    if *prices != Prices::default() {
        let _ = write!(line, " · about {}", format_money(used.micros));
    }
    line
}

/// There was no usage in the last `days` days.
pub fn no_usage(days: i64) -> String {
    format!("Nothing was used in the last {days} days.")
}

/// An amount of money from millionths, rounded down: `0.0123`.
pub fn format_money(micros: u64) -> String {
    format!("{}.{:04}", micros / 1_000_000, micros % 1_000_000 / 100)
}
