//! A message to send: text, files and buttons, and what is left of it when Discord refuses some.

use std::borrow::Cow;

use serenity::all::{
    ButtonStyle, CreateActionRow, CreateAttachment, CreateButton, EditAttachments,
};

use super::super::delivery_fallback::ContentLevel;
use super::super::text;
use crate::store::JobId;
use crate::ui_text::{bot as words, voice_session};

/// Discord's limit for the content of a message, in characters.
pub(in crate::discord) const MAX_MESSAGE_CHARS: usize = 2_000;

/// Custom id prefix of the retry button.
pub(in crate::discord) const RETRY_BUTTON_PREFIX: &str = "again:";
/// Custom id prefix of the delete button.
pub(in crate::discord) const DELETE_BUTTON_PREFIX: &str = "delete:";
/// Custom id of the button that agrees to be transcribed in this server's voice channels.
pub(in crate::discord) const CONSENT_BUTTON_ID: &str = "voice:yes";
/// Custom id of the button that declines.
pub(in crate::discord) const DECLINE_BUTTON_ID: &str = "voice:no";
/// Custom id of the button that checks whether the bot hears the user.
pub(in crate::discord) const HEARING_CHECK_BUTTON_ID: &str = "voice:check";

/// A message to send, or to edit into an existing one.
#[derive(Clone, Default, PartialEq)]
pub(in crate::discord) struct OutgoingMessage {
    pub(in crate::discord) content: String,
    pub(in crate::discord) files: Vec<TextFile>,
    /// Buttons below the text.
    pub(in crate::discord) buttons: Option<Buttons>,
}

/// Buttons below a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::discord) enum Buttons {
    /// Below an answer: try again, delete.
    Answer(JobId),
    /// Below the notice of a voice session: agree, decline.
    Consent,
    /// Below the report of a voice session: check whether the bot hears the user.
    HearingCheck,
}

/// A text file to attach.
#[derive(Clone, PartialEq)]
pub(in crate::discord) struct TextFile {
    pub(in crate::discord) name: String,
    pub(in crate::discord) text: String,
}

impl OutgoingMessage {
    pub(in crate::discord) fn text(content: impl Into<String>) -> Self {
        Self {
            content: content.into(),
            ..Self::default()
        }
    }

    pub(super) fn attachments(&self) -> Vec<CreateAttachment> {
        self.files
            .iter()
            .map(|file| CreateAttachment::bytes(file.text.clone().into_bytes(), file.name.clone()))
            .collect()
    }

    pub(in crate::discord) fn components(&self) -> Vec<CreateActionRow> {
        let button = |id: String, label: &str| {
            CreateButton::new(id)
                .label(label)
                .style(ButtonStyle::Secondary)
        };
        let buttons = match self.buttons {
            None => return Vec::new(),
            Some(Buttons::Answer(JobId(job))) => vec![
                button(format!("{RETRY_BUTTON_PREFIX}{job}"), words::TRY_AGAIN),
                button(format!("{DELETE_BUTTON_PREFIX}{job}"), words::DELETE),
            ],
            Some(Buttons::Consent) => vec![
                button(CONSENT_BUTTON_ID.to_owned(), voice_session::AGREE)
                    .style(ButtonStyle::Primary),
                button(DECLINE_BUTTON_ID.to_owned(), voice_session::DECLINE),
            ],
            Some(Buttons::HearingCheck) => vec![button(
                HEARING_CHECK_BUTTON_ID.to_owned(),
                voice_session::CHECK_BUTTON,
            )],
        };
        vec![CreateActionRow::Buttons(buttons)]
    }

    /// The message reduced to a content level. `is_only` says that nothing else is shown in
    /// `channel`.
    pub(in crate::discord) fn reduced_to(
        &self,
        content_level: ContentLevel,
        channel: u64,
        is_only: bool,
        no_files: &str,
    ) -> Cow<'_, Self> {
        match content_level {
            ContentLevel::Full => Cow::Borrowed(self),
            ContentLevel::WithoutFiles { files_refused } => {
                let line = if files_refused {
                    words::FILES_REFUSED
                } else {
                    no_files
                };
                Cow::Owned(self.without_files(line))
            }
            ContentLevel::Placeholder(reason) => Cow::Owned(Self {
                content: match is_only {
                    true => words::withheld_message(reason, channel),
                    false => words::withheld_part(reason).to_owned(),
                },
                files: Vec::new(),
                buttons: self.buttons,
            }),
        }
    }

    /// The message without its files, with a line that says so.
    fn without_files(&self, line: &str) -> Self {
        let room = MAX_MESSAGE_CHARS - line.chars().count() - 1;
        let kept = text::split_message(&self.content, room, room, 1).parts;
        let kept = kept.first().map_or("", String::as_str);
        Self {
            content: format!("{kept}\n{line}").trim().to_owned(),
            files: Vec::new(),
            buttons: self.buttons,
        }
    }
}

/// All files that the message should have. Existing attachments are replaced, so a repeated edit
/// does not attach them twice.
pub(super) fn edit_attachments(outgoing: &OutgoingMessage) -> EditAttachments {
    outgoing
        .attachments()
        .into_iter()
        .fold(EditAttachments::new(), EditAttachments::add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui_text::bot::WithheldReason;

    #[test]
    fn each_content_level_fits_a_message() {
        let outgoing = OutgoingMessage {
            content: "x".repeat(MAX_MESSAGE_CHARS),
            files: vec![TextFile {
                name: "answer.md".to_owned(),
                text: "All of it.".to_owned(),
            }],
            ..OutgoingMessage::default()
        };
        let shown = |content_level, is_only| {
            let shown = outgoing
                .reduced_to(content_level, 7, is_only, words::CANNOT_ATTACH_FILES)
                .into_owned();
            assert!(shown.content.chars().count() <= MAX_MESSAGE_CHARS);
            assert_eq!(shown.files.is_empty(), content_level != ContentLevel::Full);
            shown.content.replace(&"x".repeat(1_800), "…")
        };
        let filtered = ContentLevel::Placeholder(WithheldReason::Filtered);
        assert!(
            shown(
                ContentLevel::WithoutFiles {
                    files_refused: false
                },
                true
            )
            .ends_with(words::CANNOT_ATTACH_FILES)
        );
        assert!(
            shown(
                ContentLevel::WithoutFiles {
                    files_refused: true
                },
                true
            )
            .ends_with(words::FILES_REFUSED)
        );
        assert_eq!(
            shown(filtered, true),
            words::withheld_message(WithheldReason::Filtered, 7)
        );
        assert_eq!(
            shown(filtered, false),
            words::withheld_part(WithheldReason::Filtered)
        );
    }
}
