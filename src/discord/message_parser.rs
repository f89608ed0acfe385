//! Decides which messages are meant for the bot, and what they ask.

use serenity::all::{
    ApplicationId, Attachment as Attached, Message, MessageFlags, MessageId, MessageReferenceKind,
    MessageType, RoleId, User, UserId,
};

use super::channel_cache::ChannelInfo;
use crate::flow::conversation_history::ConversationRef;
use crate::flow::guild_settings::GuildSettings;
use crate::flow::job_spec::{Attachment, JobSpec, OutputKind, ReferencedMessage, ReplyTarget};

/// Recordings of one message: as many as Discord lets a message have.
const MAX_RECORDINGS: usize = 10;

/// Names of files that hold sound and nothing else.
const AUDIO_EXTENSIONS: [&str; 14] = [
    "ogg", "oga", "opus", "mp3", "m4a", "m4b", "aac", "wav", "flac", "mka", "aif", "aiff", "caf",
    "weba",
];

/// Names of files that hold pictures too.
const VIDEO_EXTENSIONS: [&str; 7] = ["webm", "mp4", "mkv", "mov", "m4v", "avi", "ogv"];

/// Who the bot is where a message was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct BotIdentity {
    pub(super) user_id: UserId,
    pub(super) application_id: Option<ApplicationId>,
    /// The role that Discord has made for it in this server.
    pub(super) role_id: Option<RoleId>,
}

/// Who wrote a message.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum AuthorKind {
    /// Somebody with an account.
    #[default]
    User,
    /// A webhook. People who speak through a bot like PluralKit do so.
    Webhook,
}

/// What a message is to the bot.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct MessageTrigger {
    /// Who calls.
    pub(super) author_kind: AuthorKind,
    /// It came as a direct message.
    pub(super) is_direct_message: bool,
    /// It names the bot, or the role that is the bot's own.
    pub(super) mentions_bot: bool,
    /// It replies to a message of the bot.
    pub(super) replies_to_bot: bool,
}

impl MessageTrigger {
    /// Whether the message is to the bot, whatever is in it.
    pub(super) fn is_addressed(&self) -> bool {
        self.is_direct_message || self.mentions_bot || self.replies_to_bot
    }
}

/// How `message` calls the bot. None for what nobody wrote who may call it.
pub(super) fn detect_trigger(message: &Message, me: &BotIdentity) -> Option<MessageTrigger> {
    let written = matches!(
        message.kind,
        MessageType::Regular | MessageType::InlineReply
    );
    let author = author_kind(message, me).filter(|_| written)?;
    let replied_to = message.referenced_message.as_ref();
    Some(MessageTrigger {
        author_kind: author,
        is_direct_message: message.guild_id.is_none(),
        mentions_bot: mentions_bot(message, me),
        replies_to_bot: replied_to_id(message).is_some()
            && replied_to.is_some_and(|parent| parent.author.id == me.user_id),
    })
}

/// Who wrote a message, if it is anybody whom the bot answers. It never answers itself, other
/// bots, what they respond to commands, or what another server announces: two bots that answer each
/// other never end.
fn author_kind(message: &Message, me: &BotIdentity) -> Option<AuthorKind> {
    let ours = message.author.id == me.user_id
        || (message.application_id.is_some() && message.application_id == me.application_id);
    if ours || message.author.system {
        return None;
    }
    let Some(webhook) = message.webhook_id else {
        return (!message.author.bot).then_some(AuthorKind::User);
    };
    // What a bot responds comes through a webhook too, the one of its application.
    let responds = message.interaction_metadata.is_some()
        || message.author.id.get() != webhook.get()
        || message
            .application_id
            .is_some_and(|application| application.get() == webhook.get());
    let announces = has_flag(message.flags, MessageFlags::IS_CROSSPOST);
    (!responds && !announces).then_some(AuthorKind::Webhook)
}

/// A reply with its bell on counts the author of what it replies to among the mentioned, so only
/// what is typed counts.
fn mentions_bot(message: &Message, me: &BotIdentity) -> bool {
    mention_forms(me).iter().any(|name| message.content.contains(name))
        // Without the right to read it, what is typed is missing.
        || me.role_id.is_some_and(|role| message.mention_roles.contains(&role))
}

/// The ways to name the bot.
fn mention_forms(me: &BotIdentity) -> Vec<String> {
    let mut names = vec![format!("<@{}>", me.user_id), format!("<@!{}>", me.user_id)];
    names.extend(me.role_id.map(|role| format!("<@&{role}>")));
    names
}

/// The message that this one replies to. What a message forwards, announces or pins is referred to
/// as well, and nothing that it goes on with.
pub(super) fn replied_to_id(message: &Message) -> Option<MessageId> {
    let reference = message.message_reference.as_ref()?;
    let replies =
        message.kind == MessageType::InlineReply && reference.kind == MessageReferenceKind::Default;
    reference.message_id.filter(|_| replies)
}

/// Whether a message forwards another one.
pub(super) fn is_forward(message: &Message) -> bool {
    let reference = message.message_reference.as_ref();
    reference.is_some_and(|it| it.kind == MessageReferenceKind::Forward)
}

/// Everything that hangs on a message, or on what it forwards, and whether it is a voice message.
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

/// The recordings that hang on a message or on what it forwards, videos among them.
pub(super) fn recordings(message: &Message) -> Vec<Attachment> {
    recordings_of_kinds(message, &[MediaKind::Audio, MediaKind::Video])
}

/// Those that are answered where nobody asks: a video is not made to be answered.
pub(super) fn voice_notes(message: &Message) -> Vec<Attachment> {
    recordings_of_kinds(message, &[MediaKind::Audio])
}

fn recordings_of_kinds(message: &Message, kinds: &[MediaKind]) -> Vec<Attachment> {
    // Who wrote what is forwarded, Discord does not say.
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

/// The recordings of a message that somebody points at: its own, or those it replies to.
pub(super) fn recordings_or_replied_to(message: &Message) -> Vec<Attachment> {
    let own = recordings(message);
    match &message.referenced_message {
        Some(replied_to) if own.is_empty() => recordings(replied_to),
        _ => own,
    }
}

/// A recording that hangs on `message` and was made by `author`, as far as that is known.
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

/// What a file is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum MediaKind {
    Audio,
    Video,
}

/// What a file is by its type and name. Containers that can hold either are called videos, also
/// where there is only sound in them, unless the name says so.
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
    let said = attached.content_type.as_deref().unwrap_or_default();
    let said = said.trim().to_ascii_lowercase();
    match said.split('/').next().unwrap_or_default() {
        "audio" => Some(MediaKind::Audio),
        "video" => Some(by_name().unwrap_or(MediaKind::Video)),
        "image" | "text" => None,
        // Only voice messages and sound come with a length.
        _ => by_name().or(attached.duration_secs.map(|_| MediaKind::Audio)),
    }
}

/// What is typed, without the call itself. What somebody forwards counts as theirs.
pub(super) fn question_text(message: &Message, me: &BotIdentity) -> Option<String> {
    let mut text = full_text(message);
    for name in mention_forms(me) {
        text = text.replace(&name, "");
    }
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// All words of a message: its own, and those that it forwards.
pub(super) fn full_text(message: &Message) -> String {
    let forwarded = message.message_snapshots.iter().map(|it| &it.content);
    let all: Vec<&str> = std::iter::once(&message.content)
        .chain(forwarded)
        .map(|words| words.trim())
        .filter(|words| !words.is_empty())
        .collect();
    all.join("\n\n")
}

/// Whether recordings in this channel are answered without a call.
pub(super) fn voice_notes_enabled(
    settings: &GuildSettings,
    channel: u64,
    place: ChannelInfo,
) -> bool {
    let on = |channel| settings.note_channels.contains(&channel);
    on(channel) || place.parent_channel.is_some_and(on)
}

/// What a message goes on with: its thread, or what it replies to.
pub(super) fn conversation_for(
    channel: u64,
    place: ChannelInfo,
    parent: Option<u64>,
) -> ConversationRef {
    match (place.is_thread, parent) {
        (true, _) => ConversationRef::Thread(channel),
        (false, Some(parent)) => ConversationRef::RepliesTo(parent),
        (false, None) => ConversationRef::New,
    }
}

/// An order that came as a message.
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
    // A forward is its sender's: Discord does not say whose it was, and keeps it when that is deleted.
    let borrowed = recordings
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
        referenced: borrowed,
    }
}

/// What somebody points at in a message.
pub(super) fn to_referenced_message(message: &Message, text: Option<String>) -> ReferencedMessage {
    let nickname = message.member.as_ref().and_then(|it| it.nick.as_deref());
    ReferencedMessage {
        message: message.id.get(),
        author: message.author.id.get(),
        name: display_name(&message.author, nickname),
        text,
    }
}

/// What people see as somebody's name.
pub(super) fn display_name(user: &User, nickname: Option<&str>) -> String {
    nickname
        .or(user.global_name.as_deref())
        .unwrap_or(&user.name)
        .to_owned()
}
