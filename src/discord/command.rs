//! What somebody asks for with a command, in our own types.

use serenity::all::{CommandInteraction, Message, ResolvedOption, ResolvedTarget, ResolvedValue};

use super::catalogue::{self, options};
use super::intake;
use crate::flow::order::Attachment;
use crate::flow::session::{Answers, ConsentRule};
use crate::speech::subtitles::Format;

/// A command, read.
pub(super) enum Command {
    /// `/ask`
    Ask {
        question: Option<String>,
        audio: Option<Attachment>,
        private: Option<bool>,
    },
    /// `/transcribe`
    Transcribe {
        audio: Attachment,
        format: Format,
        private: Option<bool>,
    },
    /// "Transcribe" in a message's menu
    TranscribeMessage(Box<Message>),
    /// "Answer this" in a message's menu
    AnswerMessage(Box<Message>),
    /// `/join`
    Join {
        channel: Option<u64>,
        answers: Option<Answers>,
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
    Settings(Change),
    /// `/usage`
    Usage { days: i64, member: Option<u64> },
    /// `/privacy`
    Privacy,
    /// `/forget-me`
    ForgetMe,
    /// `/help`
    Help,
}

/// What is to be different in a server's settings.
pub(super) enum Change {
    Show,
    Notes {
        on: bool,
        channel: Option<u64>,
    },
    Language(Option<String>),
    Terms(Option<String>),
    Prompt(Option<String>),
    Access(Option<u64>),
    Private(bool),
    Budget {
        member: Option<u32>,
        server: Option<u32>,
    },
    Voice {
        answers: Option<Answers>,
        consent: Option<ConsentRule>,
    },
}

/// The days that `/usage` shows unless somebody says how many.
const USAGE_DAYS: i64 = 7;

impl Command {
    /// Reads an interaction. None if it is no command of ours, or lacks what it must have.
    pub(super) fn read(interaction: &CommandInteraction) -> Option<Self> {
        let given = Options(interaction.data.options());
        let target = || match interaction.data.target() {
            Some(ResolvedTarget::Message(message)) => Some(Box::new(message.clone())),
            _ => None,
        };
        Some(match interaction.data.name.as_str() {
            catalogue::ASK => Self::Ask {
                question: given.text(options::QUESTION),
                audio: given.audio(),
                private: given.boolean(options::PRIVATE),
            },
            catalogue::TRANSCRIBE => Self::Transcribe {
                audio: given.audio()?,
                format: match given.text(options::FORMAT).as_deref() {
                    Some(options::SRT) => Format::Srt,
                    Some(options::VTT) => Format::Vtt,
                    Some(options::JSON) => Format::Json,
                    _ => Format::Text,
                },
                private: given.boolean(options::PRIVATE),
            },
            catalogue::TRANSCRIBE_MENU => Self::TranscribeMessage(target()?),
            catalogue::ANSWER_MENU => Self::AnswerMessage(target()?),
            catalogue::JOIN => Self::Join {
                channel: given.id(options::CHANNEL),
                answers: given.choice(options::MODE),
                languages: given.text(options::LANGUAGE),
            },
            catalogue::LEAVE => Self::Leave,
            catalogue::SESSION => Self::Session,
            catalogue::SUMMARY => Self::Summary,
            catalogue::RESET => Self::Reset,
            catalogue::SETTINGS => Self::Settings(change(&given)?),
            catalogue::USAGE => Self::Usage {
                days: given
                    .integer(options::DAYS)
                    .unwrap_or(USAGE_DAYS)
                    .clamp(1, catalogue::MAX_USAGE_DAYS.into()),
                member: given.id(options::MEMBER),
            },
            catalogue::PRIVACY => Self::Privacy,
            catalogue::FORGET_ME => Self::ForgetMe,
            catalogue::HELP => Self::Help,
            _ => return None,
        })
    }
}

fn change(given: &Options<'_>) -> Option<Change> {
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
    let given = Options(inner.clone());
    let minutes = |name| given.integer(name).and_then(|it| u32::try_from(it).ok());
    Some(match *name {
        options::SHOW => Change::Show,
        options::NOTES => Change::Notes {
            on: given.boolean(options::ON)?,
            channel: given.id(options::CHANNEL),
        },
        options::LANGUAGE => Change::Language(given.text(options::CODES)),
        options::TERMS => Change::Terms(given.text(options::WORDS)),
        options::PROMPT => Change::Prompt(given.text(options::TEXT)),
        options::ACCESS => Change::Access(given.id(options::ROLE)),
        options::PRIVATE => Change::Private(given.boolean(options::ON)?),
        options::BUDGET => Change::Budget {
            member: minutes(options::MEMBER),
            server: minutes(options::SERVER),
        },
        options::VOICE => Change::Voice {
            answers: given.choice(options::ANSWERS),
            consent: given.choice(options::CONSENT),
        },
        _ => return None,
    })
}

/// Options by their English names.
struct Options<'a>(Vec<ResolvedOption<'a>>);

impl<'a> Options<'a> {
    fn get(&self, name: &str) -> Option<&ResolvedValue<'a>> {
        let option = self.0.iter().find(|option| option.name == name)?;
        Some(&option.value)
    }

    /// Blank text counts as none.
    fn text(&self, name: &str) -> Option<String> {
        match self.get(name)? {
            ResolvedValue::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            _ => None,
        }
    }

    /// One of our own choices, as its serialized name.
    fn choice<T: serde::de::DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_value(self.text(name)?.into()).ok()
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

    /// Of a channel, a role or a person.
    fn id(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            ResolvedValue::Channel(channel) => Some(channel.id.get()),
            ResolvedValue::Role(role) => Some(role.id.get()),
            ResolvedValue::User(user, _) => Some(user.id.get()),
            _ => None,
        }
    }

    fn audio(&self) -> Option<Attachment> {
        match self.get(options::AUDIO)? {
            ResolvedValue::Attachment(attached) => Some(intake::recording(attached, None, None)),
            _ => None,
        }
    }
}
