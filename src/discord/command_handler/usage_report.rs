//! `/usage`: reports what members used.

use serenity::all::{CommandInteraction, Timestamp};

use super::super::bot_context::BotContext;
use super::invoker_manages_guild;
use crate::store::{StoreError, Usage};
use crate::ui_text::bot as words;

/// How many lines `/usage` shows.
const MAX_USAGE_LINES: u32 = 20;

/// Members see their own usage; those who can manage the server see everybody's. In a direct
/// message users see their usage everywhere.
pub(super) async fn usage_report(
    bot: &BotContext,
    interaction: &CommandInteraction,
    guild: Option<u64>,
    days: i64,
    member: Option<u64>,
) -> Result<String, StoreError> {
    let only = if invoker_manages_guild(interaction) {
        member
    } else {
        Some(interaction.user.id.get())
    };
    let runner = bot.scheduler.runner();
    runner.admission.flush().await;
    let today = (runner.clock)().day();
    let span = today - days + 1..=today;
    let prices = &runner.admission.rules().prices;
    let store = &bot.reply_context.store;
    let own = interaction.user.id.get();
    let (total, latest) = match guild {
        Some(guild) => (
            store.guild_usage(guild, only, span.clone()).await?,
            store
                .guild_usage_by_member(guild, only, span, MAX_USAGE_LINES)
                .await?,
        ),
        None => {
            let used = store.author_usage_by_day(own, span).await?;
            let total = used.iter().fold(Usage::default(), |total, (_, used)| {
                total.saturating_add(used)
            });
            let latest = used.into_iter().map(|(day, used)| (day, own, used));
            (total, latest.collect())
        }
    };
    let mut lines: Vec<String> = latest
        .iter()
        .take(MAX_USAGE_LINES as usize)
        .map(|(day, who, used)| words::daily_usage_line(&format_day(*day), *who, used, prices))
        .collect();
    if lines.is_empty() {
        return Ok(words::no_usage(days));
    }
    lines.insert(0, words::usage_title(days, &total, prices));
    Ok(lines.join("\n"))
}

/// `2026-11-24`
fn format_day(day: i64) -> String {
    Timestamp::from_unix_timestamp(day * 86_400).map_or_else(
        |_| day.to_string(),
        |at| at.to_string().chars().take(10).collect(),
    )
}
