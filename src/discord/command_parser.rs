//! Parses command interactions into the bot's own types.

use serenity::all::{CommandInteraction, Message, ResolvedOption, ResolvedTarget, ResolvedValue};

use super::attachments;
use super::command_definitions::{self, options};
use crate::flow::consent::ConsentRule;
use crate::flow::job_spec::Attachment;
use crate::flow::session::AnswerMode;
use crate::speech::subtitles::TranscriptFormat;

/// A parsed command.
pub(super) enum ApplicationCommand {
    /// `/ask`
    Ask {
        question: Option<String>,
        audio: Option<Attachment>,
        private: Option<bool>,
    },
    /// `/transcribe`
    Transcribe {
        audio: Attachment,
        format: TranscriptFormat,
        private: Option<bool>,
    },
    /// `Transcribe` in a message's menu
    TranscribeMessage(Box<Message>),
    /// `Answer this` in a message's menu
    AnswerMessage(Box<Message>),
    /// `/join`
    Join {
        channel: Option<u64>,
        answers: Option<AnswerMode>,
        languages: Option<String>,
    },
    /// `/leave`
    Leave,
    /// `/session`
    Session,
    /// `/summary`
    Summary,
    /// `/reset`
    Reset,
    /// `/settings`
    Settings(SettingsChange),
    /// `/usage`
    Usage { days: i64, member: Option<u64> },
    /// `/privacy`
    Privacy,
    /// `/forget-me`
    ForgetMe,
    /// `/help`
    Help,
}

/// A change to a server's settings.
pub(super) enum SettingsChange {
    Show,
    VoiceNotes {
        is_enabled: bool,
        channel: Option<u64>,
    },
    Language(Option<String>),
    Terms(Option<String>),
    Prompt(Option<String>),
    Access(Option<u64>),
    PrivateReplies(bool),
    Budget {
        member_minutes: Option<u32>,
        guild_minutes: Option<u32>,
    },
    Voice {
        answers: Option<AnswerMode>,
        consent: Option<ConsentRule>,
    },
}

/// How many days `/usage` covers by default.
const DEFAULT_USAGE_DAYS: i64 = 7;

impl ApplicationCommand {
    /// Parses an interaction. `None` if the command is unknown or lacks a required option.
    pub(super) fn parse(interaction: &CommandInteraction) -> Option<Self> {
        let given = CommandOptions(interaction.data.options());
        let target = || match interaction.data.target() {
            Some(ResolvedTarget::Message(message)) => Some(Box::new(message.clone())),
            _ => None,
        };
        Some(match interaction.data.name.as_str() {
            command_definitions::ASK => Self::Ask {
                question: given.non_blank_string(options::QUESTION),
                audio: given.audio_attachment(),
                private: given.boolean(options::PRIVATE),
            },
            command_definitions::TRANSCRIBE => Self::Transcribe {
                audio: given.audio_attachment()?,
                format: match given.non_blank_string(options::FORMAT).as_deref() {
                    Some(options::SRT) => TranscriptFormat::Srt,
                    Some(options::VTT) => TranscriptFormat::Vtt,
                    Some(options::JSON) => TranscriptFormat::Json,
                    _ => TranscriptFormat::Text,
                },
                private: given.boolean(options::PRIVATE),
            },
            command_definitions::TRANSCRIBE_MENU => Self::TranscribeMessage(target()?),
            command_definitions::ANSWER_MENU => Self::AnswerMessage(target()?),
            command_definitions::JOIN => Self::Join {
                channel: given.id(options::CHANNEL),
                answers: given.choice(options::MODE),
                languages: given.non_blank_string(options::LANGUAGE),
            },
            command_definitions::LEAVE => Self::Leave,
            command_definitions::SESSION => Self::Session,
            command_definitions::SUMMARY => Self::Summary,
            command_definitions::RESET => Self::Reset,
            command_definitions::SETTINGS => Self::Settings(parse_settings_change(&given)?),
            command_definitions::USAGE => Self::Usage {
                days: given
                    .integer(options::DAYS)
                    .unwrap_or(DEFAULT_USAGE_DAYS)
                    .clamp(1, command_definitions::MAX_USAGE_DAYS.into()),
                member: given.id(options::MEMBER),
            },
            command_definitions::PRIVACY => Self::Privacy,
            command_definitions::FORGET_ME => Self::ForgetMe,
            command_definitions::HELP => Self::Help,
            _ => return None,
        })
    }
}

fn parse_settings_change(given: &CommandOptions<'_>) -> Option<SettingsChange> {
    let [
        ResolvedOption {
            name,
            value: ResolvedValue::SubCommand(inner),
            ..
        },
    ] = given.0.as_slice()
    else {
        return None;
    };
    let given = CommandOptions(inner.clone());
    let minutes = |name| given.integer(name).and_then(|it| u32::try_from(it).ok());
    Some(match *name {
        options::SHOW => SettingsChange::Show,
        options::NOTES => SettingsChange::VoiceNotes {
            is_enabled: given.boolean(options::ON)?,
            channel: given.id(options::CHANNEL),
        },
        options::LANGUAGE => SettingsChange::Language(given.non_blank_string(options::CODES)),
        options::TERMS => SettingsChange::Terms(given.non_blank_string(options::WORDS)),
        options::PROMPT => SettingsChange::Prompt(given.non_blank_string(options::TEXT)),
        options::ACCESS => SettingsChange::Access(given.id(options::ROLE)),
        options::PRIVATE => SettingsChange::PrivateReplies(given.boolean(options::ON)?),
        options::BUDGET => SettingsChange::Budget {
            member_minutes: minutes(options::MEMBER),
            guild_minutes: minutes(options::SERVER),
        },
        options::VOICE => SettingsChange::Voice {
            answers: given.choice(options::ANSWERS),
            consent: given.choice(options::CONSENT),
        },
        _ => return None,
    })
}

/// Command options by their English names.
struct CommandOptions<'a>(Vec<ResolvedOption<'a>>);

impl<'a> CommandOptions<'a> {
    fn get(&self, name: &str) -> Option<&ResolvedValue<'a>> {
        let option = self.0.iter().find(|option| option.name == name)?;
        Some(&option.value)
    }

    /// Blank text counts as absent.
    fn non_blank_string(&self, name: &str) -> Option<String> {
        match self.get(name)? {
            ResolvedValue::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            _ => None,
        }
    }

    /// A choice whose value is the serialized name of a `T`.
    fn choice<T: serde::de::DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_value(self.non_blank_string(name)?.into()).ok()
    }

    fn boolean(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            ResolvedValue::Boolean(boolean) => Some(*boolean),
            _ => None,
        }
    }

    fn integer(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            ResolvedValue::Integer(integer) => Some(*integer),
            _ => None,
        }
    }

    /// The id of a channel, role or user.
    fn id(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            ResolvedValue::Channel(channel) => Some(channel.id.get()),
            ResolvedValue::Role(role) => Some(role.id.get()),
            ResolvedValue::User(user, _) => Some(user.id.get()),
            _ => None,
        }
    }

    fn audio_attachment(&self) -> Option<Attachment> {
        match self.get(options::AUDIO)? {
            ResolvedValue::Attachment(attached) => {
                Some(attachments::attachment_from_discord(attached, None, None))
            }
            _ => None,
        }
    }
}
