//! What a server has chosen for itself.

use serde::{Deserialize, Serialize};

use super::consent::ConsentRule;
use super::session::AnswerMode;
use super::usage_rules::UsageRules;
use crate::store::{Store, StoreError};

/// Channels that can have notes on.
pub const MAX_NOTE_CHANNELS: usize = 200;

/// Key terms of a server, and the most that is sent to a provider.
pub const MAX_KEY_TERMS: usize = 100;

/// Languages of a server.
pub const MAX_LANGUAGES: usize = 8;

/// The settings of one server. What is left out is as the bot's own settings say.
#[derive(Clone, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct GuildSettings {
    /// Channels where recordings are answered without being asked.
    #[serde(rename = "notes")]
    pub note_channels: Vec<u64>,
    /// ISO 639-1 codes of the languages that are spoken.
    pub languages: Vec<String>,
    /// Names and terms that are said.
    #[serde(rename = "terms")]
    pub key_terms: Vec<String>,
    /// How the model is told to answer.
    pub prompt: Option<String>,
    /// The role without which nobody may use the bot.
    #[serde(rename = "role")]
    pub required_role: Option<u64>,
    /// Whether answers to commands are private unless somebody says otherwise.
    #[serde(rename = "private")]
    pub private_by_default: bool,
    /// Minutes a day for a member.
    pub member_minutes: Option<u32>,
    /// Minutes a day for the server.
    #[serde(rename = "server_minutes")]
    pub guild_minutes: Option<u32>,
    /// What is answered in voice sessions.
    pub voice_answers: AnswerMode,
    /// Who is written down in them without having said anything about it.
    pub voice_consent: ConsentRule,
}

impl std::fmt::Debug for GuildSettings {
    /// Terms and prompt are somebody's words.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServerSettings({} channels)", self.note_channels.len())
    }
}

impl GuildSettings {
    /// The settings of `guild`; those of a direct message if it is none.
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

    /// Changes the settings of `guild`, and gives them as they are then, or why `change` will not.
    /// This is the only way to change them: what somebody else changes at the same time stays.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read or written: then they are as before.
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
            if let Err(refused) = change(&mut settings) {
                outcome = Err(refused);
                return Ok(None);
            }
            let after = serde_json::to_string(&settings).map_err(|_| StoreError::Damaged)?;
            outcome = Ok(settings);
            Ok((before.as_ref() != Some(&after)).then_some(after))
        };
        store.update_guild_settings(guild, changing).await?;
        Ok(outcome)
    }

    /// The bot's rules as they hold here: a server can allow less than the bot's own settings do,
    /// never more.
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
