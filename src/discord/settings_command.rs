//! `/settings`: shows and changes a server's settings.

use super::bot_context::BotContext;
use super::command_parser::SettingsChange;
use super::text;
use crate::flow::guild_settings::{GuildSettings, MAX_KEY_TERMS, MAX_LANGUAGES, MAX_NOTE_CHANNELS};
use crate::store::StoreError;
use crate::ui_text::bot as words;
use net::shorten;

/// Characters of key terms and prompt that are shown.
const MAX_SHOWN_CHARS: usize = 300;

/// The longest key term, in characters.
const MAX_TERM_CHARS: usize = 50;

/// Applies a change to the settings of `guild` and describes the result.
pub(super) async fn change_settings(
    bot: &BotContext,
    guild: u64,
    current_channel: u64,
    change: SettingsChange,
) -> Result<String, StoreError> {
    let store = &bot.reply_context.store;
    if matches!(change, SettingsChange::Show) {
        return Ok(describe_settings(
            &GuildSettings::load(store, Some(guild)).await?,
        ));
    }
    let changed =
        GuildSettings::update(store, guild, |it| apply_change(it, change, current_channel)).await?;
    Ok(match changed {
        Ok(settings) => {
            tracing::info!(guild, "settings changed");
            bot.voice_sessions
                .apply_consent_rule(guild, settings.voice_consent)
                .await;
            describe_settings(&settings)
        }
        Err(sentence) => sentence,
    })
}

fn apply_change(
    settings: &mut GuildSettings,
    change: SettingsChange,
    current_channel: u64,
) -> Result<(), String> {
    match change {
        SettingsChange::Show => {}
        SettingsChange::VoiceNotes {
            is_enabled,
            channel,
        } => {
            let channel = channel.unwrap_or(current_channel);
            settings.note_channels.retain(|known| *known != channel);
            if is_enabled {
                if settings.note_channels.len() >= MAX_NOTE_CHANNELS {
                    return Err(words::too_many("channels", MAX_NOTE_CHANNELS));
                }
                settings.note_channels.push(channel);
            }
        }
        SettingsChange::Language(codes) => {
            let codes = parse_list(codes.map(|codes| codes.to_lowercase()).as_deref());
            if codes.len() > MAX_LANGUAGES {
                return Err(words::too_many("languages", MAX_LANGUAGES));
            }
            if let Some(wrong) = codes.iter().find(|code| !is_language_code(code)) {
                return Err(words::invalid_language(&text::escape(&shorten(wrong, 20))));
            }
            settings.languages = codes;
        }
        SettingsChange::Terms(terms) => {
            let terms = parse_list(terms.as_deref());
            if terms.len() > MAX_KEY_TERMS {
                return Err(words::too_many("terms", MAX_KEY_TERMS));
            }
            settings.key_terms = terms
                .iter()
                .map(|term| shorten(term, MAX_TERM_CHARS))
                .collect();
        }
        SettingsChange::Prompt(prompt) => settings.prompt = prompt,
        SettingsChange::Access(role) => settings.required_role = role,
        SettingsChange::PrivateReplies(private) => settings.private_by_default = private,
        SettingsChange::Budget {
            member_minutes,
            guild_minutes,
        } => {
            settings.member_minutes = member_minutes;
            settings.guild_minutes = guild_minutes;
        }
        SettingsChange::Voice { answers, consent } => {
            settings.voice_answers = answers.unwrap_or_default();
            settings.voice_consent = consent.unwrap_or_default();
        }
    }
    Ok(())
}

fn describe_settings(settings: &GuildSettings) -> String {
    let plain = |text: &str| text::escape(&shorten(text, MAX_SHOWN_CHARS));
    let prompt = settings.prompt.as_deref().map(plain);
    words::server_settings(
        settings,
        &plain(&settings.key_terms.join(", ")),
        prompt.as_deref(),
    )
}

/// Splits a list at commas, semicolons and line breaks, without duplicates.
pub(super) fn parse_list(typed: Option<&str>) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    let typed = typed.unwrap_or_default();
    for item in typed.split([',', ';', '\n']).map(str::trim) {
        if !item.is_empty() && !items.iter().any(|known| known == item) {
            items.push(item.to_owned());
        }
    }
    items
}

/// Two letters, as in ISO 639-1.
pub(super) fn is_language_code(code: &str) -> bool {
    code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply_changes(changes: Vec<SettingsChange>) -> Result<GuildSettings, String> {
        let mut settings = GuildSettings::default();
        for change in changes {
            apply_change(&mut settings, change, 7)?;
        }
        Ok(settings)
    }

    #[test]
    fn voice_note_channels_are_added_and_removed() {
        let on = |channel| SettingsChange::VoiceNotes {
            is_enabled: true,
            channel,
        };
        let off = |channel| SettingsChange::VoiceNotes {
            is_enabled: false,
            channel,
        };
        let settings = apply_changes(vec![on(None), on(Some(8)), on(None), off(Some(8))]);
        assert_eq!(settings.expect("changed").note_channels, [7]);
    }

    #[test]
    fn lists_are_parsed_and_limited() {
        let settings = apply_changes(vec![
            SettingsChange::Language(Some("DE, en,, de".to_owned())),
            SettingsChange::Terms(Some("Talkback; Moonshine\nAna".to_owned())),
        ])
        .expect("changed");
        assert_eq!(settings.languages, ["de", "en"]);
        assert_eq!(settings.key_terms, ["Talkback", "Moonshine", "Ana"]);
        let many = vec!["x"; MAX_KEY_TERMS + 1];
        let many: Vec<String> = (0..many.len()).map(|i| format!("x{i}")).collect();
        let refused = apply_changes(vec![SettingsChange::Terms(Some(many.join(",")))]);
        assert_eq!(
            refused,
            Err("That's too many: the limit is 100 terms.".to_owned())
        );
        let refused = apply_changes(vec![SettingsChange::Language(Some("klingon*".to_owned()))]);
        assert!(refused.is_err_and(|sentence| sentence.contains("klingon\\*")));
    }
}
