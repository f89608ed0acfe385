//! Settings that a guild has chosen for itself.

use serde::{Deserialize, Serialize};

use super::consent::ConsentRule;
use super::session::AnswerMode;
use super::usage_rules::UsageRules;
use crate::store::{Store, StoreError};

/// Most channels of a guild that can answer recordings unasked.
pub const MAX_NOTE_CHANNELS: usize = 200;

/// Most key terms of a guild, and most that are sent to a provider.
pub const MAX_KEY_TERMS: usize = 100;

/// Most languages of a guild.
pub const MAX_LANGUAGES: usize = 8;

/// The settings of one guild. An unset field means the bot's own setting.
#[derive(Clone, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct GuildSettings {
    /// Channels where recordings are answered without a mention or command.
    #[serde(rename = "notes")]
    pub note_channels: Vec<u64>,
    /// ISO 639-1 codes of the spoken languages.
    pub languages: Vec<String>,
    /// Names and terms that the recognizer should expect.
    #[serde(rename = "terms")]
    pub key_terms: Vec<String>,
    /// System prompt for the chat model.
    pub prompt: Option<String>,
    /// The role that members need to use the bot.
    #[serde(rename = "role")]
    pub required_role: Option<u64>,
    /// Whether answers to commands are private by default.
    #[serde(rename = "private")]
    pub private_by_default: bool,
    /// Minutes of recording per day and member.
    pub member_minutes: Option<u32>,
    /// Minutes of recording per day for the guild.
    #[serde(rename = "server_minutes")]
    pub guild_minutes: Option<u32>,
    /// What the bot answers in voice sessions.
    pub voice_answers: AnswerMode,
    /// Who is transcribed in voice sessions without having decided about it.
    pub voice_consent: ConsentRule,
}

impl std::fmt::Debug for GuildSettings {
    /// Leaves out key terms and prompt, which members wrote.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GuildSettings({} channels)", self.note_channels.len())
    }
}

impl GuildSettings {
    /// The settings of `guild`; the defaults in a direct message.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn load(store: &Store, guild: Option<u64>) -> Result<Self, StoreError> {
        let Some(guild) = guild else {
            return Ok(Self::default());
        };
        let Some(text) = store.guild_settings(guild).await? else {
            return Ok(Self::default());
        };
        serde_json::from_str(&text).map_err(|_| StoreError::Damaged)
    }

    /// Changes the settings of `guild`. Returns the new settings, or the error of `change`. All
    /// changes must go through here: it is atomic, so that concurrent changes are not lost.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read or written; the settings are then unchanged.
    pub async fn update<E: Send>(
        store: &Store,
        guild: u64,
        change: impl FnOnce(&mut Self) -> Result<(), E> + Send,
    ) -> Result<Result<Self, E>, StoreError> {
        let mut outcome = Ok(Self::default());
        let changing = |before: Option<String>| {
            let mut settings = match &before {
                Some(text) => serde_json::from_str(text).map_err(|_| StoreError::Damaged)?,
                None => Self::default(),
            };
            if let Err(error) = change(&mut settings) {
                outcome = Err(error);
                return Ok(None);
            }
            let after = serde_json::to_string(&settings).map_err(|_| StoreError::Damaged)?;
            outcome = Ok(settings);
            Ok((before.as_ref() != Some(&after)).then_some(after))
        };
        store.update_guild_settings(guild, changing).await?;
        Ok(outcome)
    }

    /// The bot's rules for this guild: a guild can lower the caps, but not raise them.
    #[must_use]
    pub fn apply_to_rules(&self, mut rules: UsageRules) -> UsageRules {
        let cap = |own: u64, minutes: Option<u32>| {
            minutes.map_or(own, |minutes| own.min(u64::from(minutes) * 60_000))
        };
        rules.audio_caps.member = cap(rules.audio_caps.member, self.member_minutes);
        rules.audio_caps.guild = cap(rules.audio_caps.guild, self.guild_minutes);
        rules
    }
}
