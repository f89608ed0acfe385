//! Finds the recordings attached to a message or to what it forwards.

use serenity::all::{Attachment as Attached, Message, MessageFlags};

use super::message_parser::{has_flag, is_forward};
use crate::flow::job_spec::Attachment;

/// Recordings per message: the number of attachments Discord allows.
const MAX_RECORDINGS: usize = 10;

/// File extensions of audio-only formats.
const AUDIO_EXTENSIONS: [&str; 14] = [
    "ogg", "oga", "opus", "mp3", "m4a", "m4b", "aac", "wav", "flac", "mka", "aif", "aiff", "caf",
    "weba",
];

/// File extensions of formats that may contain video.
const VIDEO_EXTENSIONS: [&str; 7] = ["webm", "mp4", "mkv", "mov", "m4v", "avi", "ogv"];

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
