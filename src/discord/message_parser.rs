//! Decides which messages are meant for the bot, and parses what they ask.

use serenity::all::{
    ApplicationId, Attachment as Attached, Message, MessageFlags, MessageId, MessageReferenceKind,
    MessageType, RoleId, User, UserId,
};

use super::channel_cache::ChannelInfo;
use crate::flow::conversation_history::ConversationRef;
use crate::flow::guild_settings::GuildSettings;
use crate::flow::job_spec::{Attachment, JobSpec, OutputKind, ReferencedMessage, ReplyTarget};

/// Recordings per message: the number of attachments Discord allows.
const MAX_RECORDINGS: usize = 10;

/// File extensions of audio-only formats.
const AUDIO_EXTENSIONS: [&str; 14] = [
    "ogg", "oga", "opus", "mp3", "m4a", "m4b", "aac", "wav", "flac", "mka", "aif", "aiff", "caf",
    "weba",
];

/// File extensions of formats that may contain video.
const VIDEO_EXTENSIONS: [&str; 7] = ["webm", "mp4", "mkv", "mov", "m4v", "avi", "ogv"];

/// Who the bot is in the server where a message was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct BotIdentity {
    pub(super) user_id: UserId,
    pub(super) application_id: Option<ApplicationId>,
    /// The role that Discord created for the bot in this server.
    pub(super) role_id: Option<RoleId>,
}

/// What kind of author wrote a message.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum AuthorKind {
    /// A user account.
    #[default]
    User,
    /// A webhook. Proxy bots such as PluralKit post through one for their users.
    Webhook,
}

/// How a message triggers the bot.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct MessageTrigger {
    pub(super) author_kind: AuthorKind,
    /// It is a direct message.
    pub(super) is_direct_message: bool,
    /// It mentions the bot, or the bot's own role.
    pub(super) mentions_bot: bool,
    /// It replies to one of the bot's messages.
    pub(super) replies_to_bot: bool,
}

impl MessageTrigger {
    /// Whether the message addresses the bot, regardless of its attachments.
    pub(super) fn is_addressed(&self) -> bool {
        self.is_direct_message || self.mentions_bot || self.replies_to_bot
    }
}

/// How `message` triggers the bot. `None` for system messages and authors the bot ignores.
pub(super) fn detect_trigger(message: &Message, bot: &BotIdentity) -> Option<MessageTrigger> {
    let is_user_message = matches!(
        message.kind,
        MessageType::Regular | MessageType::InlineReply
    );
    let author = author_kind(message, bot).filter(|_| is_user_message)?;
    let replied_to = message.referenced_message.as_ref();
    Some(MessageTrigger {
        author_kind: author,
        is_direct_message: message.guild_id.is_none(),
        mentions_bot: mentions_bot(message, bot),
        replies_to_bot: replied_to_id(message).is_some()
            && replied_to.is_some_and(|parent| parent.author.id == bot.user_id),
    })
}

/// The kind of author, if the bot answers it. It never answers itself, other bots, responses to
/// their commands, or crossposted announcements: two bots that answer each other never stop.
fn author_kind(message: &Message, bot: &BotIdentity) -> Option<AuthorKind> {
    let is_self = message.author.id == bot.user_id
        || (message.application_id.is_some() && message.application_id == bot.application_id);
    if is_self || message.author.system {
        return None;
    }
    let Some(webhook) = message.webhook_id else {
        return (!message.author.bot).then_some(AuthorKind::User);
    };
    // A bot's command responses come through its application's webhook as well.
    let is_response = message.interaction_metadata.is_some()
        || message.author.id.get() != webhook.get()
        || message
            .application_id
            .is_some_and(|application| application.get() == webhook.get());
    let is_crosspost = has_flag(message.flags, MessageFlags::IS_CROSSPOST);
    (!is_response && !is_crosspost).then_some(AuthorKind::Webhook)
}

/// Only typed mentions count: a reply that notifies its parent's author adds that author to the
/// message's list of mentions.
fn mentions_bot(message: &Message, bot: &BotIdentity) -> bool {
    mention_forms(bot).iter().any(|name| message.content.contains(name))
        // Without the message content intent, the content is empty.
        || bot.role_id.is_some_and(|role| message.mention_roles.contains(&role))
}

/// The ways to write a mention of the bot.
fn mention_forms(bot: &BotIdentity) -> Vec<String> {
    let mut names = vec![
        format!("<@{}>", bot.user_id),
        format!("<@!{}>", bot.user_id),
    ];
    names.extend(bot.role_id.map(|role| format!("<@&{role}>")));
    names
}

/// The message that this one replies to. Forwards, crossposts and pin notices refer to a message as
/// well, but do not continue it.
pub(super) fn replied_to_id(message: &Message) -> Option<MessageId> {
    let reference = message.message_reference.as_ref()?;
    let replies =
        message.kind == MessageType::InlineReply && reference.kind == MessageReferenceKind::Default;
    reference.message_id.filter(|_| replies)
}

pub(super) fn is_forward(message: &Message) -> bool {
    let reference = message.message_reference.as_ref();
    reference.is_some_and(|it| it.kind == MessageReferenceKind::Forward)
}

/// All attachments of a message and of what it forwards, each with whether it is a voice message.
pub(super) fn attachments_with_voice_flag(
    message: &Message,
) -> impl Iterator<Item = (&Attached, bool)> {
    let own = message.attachments.iter().map(|it| (it, message.flags));
    let forwarded = message
        .message_snapshots
        .iter()
        .flat_map(|it| it.attachments.iter().map(|attached| (attached, it.flags)));
    own.chain(forwarded)
        .map(|(it, flags)| (it, has_flag(flags, MessageFlags::IS_VOICE_MESSAGE)))
}

fn has_flag(flags: Option<MessageFlags>, flag: MessageFlags) -> bool {
    flags.is_some_and(|flags| flags.contains(flag))
}

/// The recordings attached to a message or to what it forwards, including videos.
pub(super) fn recordings(message: &Message) -> Vec<Attachment> {
    recordings_of_kinds(message, &[MediaKind::Audio, MediaKind::Video])
}

/// The recordings that are answered without being addressed: audio only, since a video is rarely a
/// question.
pub(super) fn voice_notes(message: &Message) -> Vec<Attachment> {
    recordings_of_kinds(message, &[MediaKind::Audio])
}

fn recordings_of_kinds(message: &Message, kinds: &[MediaKind]) -> Vec<Attachment> {
    // Discord does not say who wrote a forwarded message.
    let author = (!is_forward(message)).then(|| message.author.id.get());
    attachments_with_voice_flag(message)
        .filter(|(attached, voice)| {
            let kind = match voice {
                true => Some(MediaKind::Audio),
                false => media_kind(attached),
            };
            kind.is_some_and(|kind| kinds.contains(&kind))
        })
        .take(MAX_RECORDINGS)
        .map(|(attached, _)| attachment_from_discord(attached, Some(message.id.get()), author))
        .collect()
}

/// The recordings that a mention refers to: the message's own, or else those of the message it
/// replies to.
pub(super) fn recordings_or_replied_to(message: &Message) -> Vec<Attachment> {
    let own = recordings(message);
    match &message.referenced_message {
        Some(replied_to) if own.is_empty() => recordings(replied_to),
        _ => own,
    }
}

/// Converts an attachment of `message`, recorded by `author` as far as that is known.
pub(super) fn attachment_from_discord(
    attached: &Attached,
    message: Option<u64>,
    author: Option<u64>,
) -> Attachment {
    Attachment {
        id: attached.id.get(),
        name: attached.filename.clone(),
        url: attached.url.clone(),
        bytes: attached.size.into(),
        seconds: attached.duration_secs,
        message,
        author,
    }
}

/// The media kind of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum MediaKind {
    Audio,
    Video,
}

/// The media kind by content type and file name. A container that can hold video counts as video
/// unless its extension says audio.
fn media_kind(attached: &Attached) -> Option<MediaKind> {
    let extension = attached.filename.rsplit_once('.').map(|(_, it)| it);
    let is_one_of = |list: &[&str]| {
        extension.is_some_and(|it| list.iter().any(|known| known.eq_ignore_ascii_case(it)))
    };
    let by_name = || match (is_one_of(&AUDIO_EXTENSIONS), is_one_of(&VIDEO_EXTENSIONS)) {
        (true, _) => Some(MediaKind::Audio),
        (_, true) => Some(MediaKind::Video),
        _ => None,
    };
    let content_type = attached.content_type.as_deref().unwrap_or_default();
    let content_type = content_type.trim().to_ascii_lowercase();
    match content_type.split('/').next().unwrap_or_default() {
        "audio" => Some(MediaKind::Audio),
        "video" => Some(by_name().unwrap_or(MediaKind::Video)),
        "image" | "text" => None,
        // Only voice messages and audio files have a duration.
        _ => by_name().or(attached.duration_secs.map(|_| MediaKind::Audio)),
    }
}

/// The typed question without mentions of the bot. Forwarded text counts as the sender's.
pub(super) fn question_text(message: &Message, bot: &BotIdentity) -> Option<String> {
    let mut text = full_text(message);
    for name in mention_forms(bot) {
        text = text.replace(&name, "");
    }
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// All text of a message: its own, and what it forwards.
pub(super) fn full_text(message: &Message) -> String {
    let forwarded = message.message_snapshots.iter().map(|it| &it.content);
    let all: Vec<&str> = std::iter::once(&message.content)
        .chain(forwarded)
        .map(|words| words.trim())
        .filter(|words| !words.is_empty())
        .collect();
    all.join("\n\n")
}

/// Whether voice notes in this channel are answered without addressing the bot.
pub(super) fn voice_notes_enabled(
    settings: &GuildSettings,
    channel: u64,
    channel_info: ChannelInfo,
) -> bool {
    let on = |channel| settings.note_channels.contains(&channel);
    on(channel) || channel_info.parent_channel.is_some_and(on)
}

/// The conversation that a message continues: its thread, or the message it replies to.
pub(super) fn conversation_for(
    channel: u64,
    channel_info: ChannelInfo,
    parent: Option<u64>,
) -> ConversationRef {
    match (channel_info.is_thread, parent) {
        (true, _) => ConversationRef::Thread(channel),
        (false, Some(parent)) => ConversationRef::RepliesTo(parent),
        (false, None) => ConversationRef::New,
    }
}

/// Builds the job for a message.
pub(super) fn build_job_spec(
    message: &Message,
    recordings: Vec<Attachment>,
    question: Option<String>,
    conversation: ConversationRef,
) -> JobSpec {
    let nickname = message
        .member
        .as_ref()
        .and_then(|member| member.nick.as_deref());
    // A forward counts as its sender's: Discord does not name the original author, and keeps the
    // forward when the original is deleted.
    let referenced = recordings
        .iter()
        .find_map(|it| it.message)
        .filter(|it| *it != message.id.get())
        .map(|from| match &message.referenced_message {
            Some(parent) if parent.id.get() == from => to_referenced_message(parent, None),
            _ => ReferencedMessage {
                message: from,
                author: 0,
                name: String::new(),
                text: None,
            },
        });
    JobSpec {
        output: OutputKind::Answer,
        requester_name: display_name(&message.author, nickname),
        recordings,
        question,
        conversation,
        reply_target: ReplyTarget::Message,
        referenced,
    }
}

/// The part of a message that a job refers to.
pub(super) fn to_referenced_message(message: &Message, text: Option<String>) -> ReferencedMessage {
    let nickname = message.member.as_ref().and_then(|it| it.nick.as_deref());
    ReferencedMessage {
        message: message.id.get(),
        author: message.author.id.get(),
        name: display_name(&message.author, nickname),
        text,
    }
}

/// The name that other users see.
pub(super) fn display_name(user: &User, nickname: Option<&str>) -> String {
    nickname
        .or(user.global_name.as_deref())
        .unwrap_or(&user.name)
        .to_owned()
}
