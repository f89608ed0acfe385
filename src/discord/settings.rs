//! `/settings`: what those who manage a server choose for it.

use super::command::Change;
use super::room::Room;
use super::text;
use crate::flow::server::{MAX_CHANNELS, MAX_LANGUAGES, MAX_TERMS, ServerSettings};
use crate::store::StoreError;
use crate::words::bot as words;
use net::shorten;

/// Characters of terms and prompt that are shown.
const SHOWN: usize = 300;

/// The longest key term, in characters.
const MAX_TERM: usize = 50;

/// Changes the settings of `guild` and says how they are now.
pub(super) async fn change(
    room: &Room,
    guild: u64,
    here: u64,
    change: Change,
) -> Result<String, StoreError> {
    let store = &room.means.store;
    if matches!(change, Change::Show) {
        return Ok(shown(&ServerSettings::of(store, Some(guild)).await?));
    }
    let changed = ServerSettings::update(store, guild, |it| apply(it, change, here)).await?;
    Ok(match changed {
        Ok(settings) => {
            tracing::info!(guild, "settings changed");
            room.sessions.ruled(guild, settings.voice_consent).await;
            shown(&settings)
        }
        Err(sentence) => sentence,
    })
}

fn apply(settings: &mut ServerSettings, change: Change, here: u64) -> Result<(), String> {
    match change {
        Change::Show => {}
        Change::Notes { on, channel } => {
            let channel = channel.unwrap_or(here);
            settings.notes.retain(|known| *known != channel);
            if on {
                if settings.notes.len() >= MAX_CHANNELS {
                    return Err(words::too_many("channels", MAX_CHANNELS));
                }
                settings.notes.push(channel);
            }
        }
        Change::Language(codes) => {
            let codes = list(codes.map(|codes| codes.to_lowercase()).as_deref());
            if codes.len() > MAX_LANGUAGES {
                return Err(words::too_many("languages", MAX_LANGUAGES));
            }
            if let Some(wrong) = codes.iter().find(|code| !is_language(code)) {
                return Err(words::not_a_language(&text::escape(&shorten(wrong, 20))));
            }
            settings.languages = codes;
        }
        Change::Terms(terms) => {
            let terms = list(terms.as_deref());
            if terms.len() > MAX_TERMS {
                return Err(words::too_many("terms", MAX_TERMS));
            }
            settings.terms = terms.iter().map(|term| shorten(term, MAX_TERM)).collect();
        }
        Change::Prompt(prompt) => settings.prompt = prompt,
        Change::Access(role) => settings.role = role,
        Change::Private(private) => settings.private = private,
        Change::Budget { member, server } => {
            settings.member_minutes = member;
            settings.server_minutes = server;
        }
        Change::Voice { answers, consent } => {
            settings.voice_answers = answers.unwrap_or_default();
            settings.voice_consent = consent.unwrap_or_default();
        }
    }
    Ok(())
}

fn shown(settings: &ServerSettings) -> String {
    let plain = |text: &str| text::escape(&shorten(text, SHOWN));
    let prompt = settings.prompt.as_deref().map(plain);
    words::settings(
        settings,
        &plain(&settings.terms.join(", ")),
        prompt.as_deref(),
    )
}

/// What stands between commas; each once.
pub(super) fn list(typed: Option<&str>) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    let typed = typed.unwrap_or_default();
    for item in typed.split([',', ';', '\n']).map(str::trim) {
        if !item.is_empty() && !items.iter().any(|known| known == item) {
            items.push(item.to_owned());
        }
    }
    items
}

/// Two small letters, as ISO 639-1 has them.
pub(super) fn is_language(code: &str) -> bool {
    code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(changes: Vec<Change>) -> Result<ServerSettings, String> {
        let mut settings = ServerSettings::default();
        for change in changes {
            apply(&mut settings, change, 7)?;
        }
        Ok(settings)
    }

    #[test]
    fn channels_go_on_and_off() {
        let on = |channel| Change::Notes { on: true, channel };
        let off = |channel| Change::Notes { on: false, channel };
        let settings = changed(vec![on(None), on(Some(8)), on(None), off(Some(8))]);
        assert_eq!(settings.expect("changed").notes, [7]);
    }

    #[test]
    fn lists_are_read_and_bounded() {
        let settings = changed(vec![
            Change::Language(Some("DE, en,, de".to_owned())),
            Change::Terms(Some("Talkback; Moonshine\nAna".to_owned())),
        ])
        .expect("changed");
        assert_eq!(settings.languages, ["de", "en"]);
        assert_eq!(settings.terms, ["Talkback", "Moonshine", "Ana"]);
        let many = vec!["x"; MAX_TERMS + 1];
        let many: Vec<String> = (0..many.len()).map(|i| format!("x{i}")).collect();
        let refused = changed(vec![Change::Terms(Some(many.join(",")))]);
        assert_eq!(
            refused,
            Err("That is too much: 100 terms are the most.".to_owned())
        );
        let refused = changed(vec![Change::Language(Some("klingon*".to_owned()))]);
        assert!(refused.is_err_and(|sentence| sentence.contains("klingon\\*")));
    }
}
