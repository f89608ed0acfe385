//! What to try instead when Discord refuses to show a message, so that the user always gets a
//! result.
//!
//! A pure state machine. Every error leads to simpler content or to another place, never back, so
//! it ends after a handful of steps whatever Discord answers.

use super::api_error::{ApiError, RejectionReason};
use crate::ui_text::bot::WithheldReason;

/// Where a message is shown, best first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum DeliveryMethod {
    /// By editing a command's response.
    EditResponse,
    /// By editing one of the bot's messages.
    EditMessage,
    /// As a new message that replies to the request, if there is one.
    Reply,
    /// As a new message that replies to nothing.
    NewMessage,
    /// As a direct message to the requester.
    DirectMessage,
}

/// How much of the message is shown.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum ContentLevel {
    /// Text and files.
    Full,
    /// The text, and a line about the missing files.
    WithoutFiles {
        /// Whether Discord rejected the files; otherwise the bot may not attach any.
        files_refused: bool,
    },
    /// One sentence that says why the message is missing.
    Placeholder(WithheldReason),
}

/// One attempt to show a message.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct DeliveryAttempt {
    pub(super) method: DeliveryMethod,
    pub(super) content_level: ContentLevel,
}

/// Which fallbacks are possible.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct DeliveryOptions {
    /// Whether the message has files.
    pub(super) has_files: bool,
    /// Whether new messages can be sent to the channel.
    pub(super) may_post_in_channel: bool,
    /// Whether the requester can be told in a direct message.
    pub(super) may_direct_message: bool,
}

/// What to do after an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NextStep {
    /// Repeat the same attempt later.
    RetryLater,
    /// Make this attempt.
    Try(DeliveryAttempt),
    /// Stop: what was to be edited or replied to has been deleted.
    TargetDeleted,
    /// Stop: nothing is left to try.
    Exhausted,
}

/// The attempts left for one message.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeliveryFallback {
    attempt: DeliveryAttempt,
    options: DeliveryOptions,
}

impl DeliveryFallback {
    /// Starts with the full content.
    pub(super) fn new(method: DeliveryMethod, options: DeliveryOptions) -> Self {
        Self {
            attempt: DeliveryAttempt {
                method,
                content_level: ContentLevel::Full,
            },
            options,
        }
    }

    /// The attempt to make now.
    pub(super) fn current(&self) -> DeliveryAttempt {
        self.attempt
    }

    /// Chooses the next step after the current attempt failed.
    pub(super) fn after_error(&mut self, error: &ApiError) -> NextStep {
        let DeliveryAttempt {
            method,
            content_level,
        } = self.attempt;
        let files = content_level == ContentLevel::Full && self.options.has_files;
        let next = match error {
            ApiError::Transient(_) | ApiError::Unauthorized => return NextStep::RetryLater,
            ApiError::NotFound(_) if method != DeliveryMethod::DirectMessage => {
                return NextStep::TargetDeleted;
            }
            ApiError::NotFound(_) => None,
            // Attaching files needs a permission of its own, and so does replying.
            ApiError::Forbidden(_) if files => Some((
                method,
                ContentLevel::WithoutFiles {
                    files_refused: false,
                },
            )),
            ApiError::Forbidden(_) => self.next_method(WithheldReason::NoWriteAccess),
            ApiError::ThreadArchived(_) | ApiError::InteractionExpired(_) => match method {
                DeliveryMethod::EditResponse | DeliveryMethod::EditMessage => {
                    self.next_method(WithheldReason::NoWriteAccess)
                }
                // Only a member may reopen the thread.
                _ => self.direct_message(WithheldReason::NoWriteAccess),
            },
            ApiError::Rejected(RejectionReason::Reference, _)
                if method == DeliveryMethod::Reply =>
            {
                Some((DeliveryMethod::NewMessage, content_level))
            }
            ApiError::Rejected(RejectionReason::NotEditable, _)
                if method == DeliveryMethod::EditMessage =>
            {
                self.next_method(WithheldReason::Rejected)
            }
            ApiError::Rejected(RejectionReason::ContentFilter, _) => {
                self.placeholder_or_next_method(WithheldReason::Filtered)
            }
            ApiError::Rejected(RejectionReason::EmptyMessage, _) => {
                self.placeholder_or_next_method(WithheldReason::Empty)
            }
            ApiError::Rejected(..) | ApiError::AlreadyAcknowledged if files => Some((
                method,
                ContentLevel::WithoutFiles {
                    files_refused: true,
                },
            )),
            ApiError::Rejected(..) | ApiError::AlreadyAcknowledged
                if method == DeliveryMethod::Reply =>
            {
                Some((DeliveryMethod::NewMessage, content_level))
            }
            ApiError::Rejected(..) | ApiError::AlreadyAcknowledged => {
                self.placeholder_or_next_method(WithheldReason::Rejected)
            }
        };
        let Some((method, content_level)) = next else {
            return NextStep::Exhausted;
        };
        self.attempt = DeliveryAttempt {
            method,
            content_level,
        };
        NextStep::Try(self.attempt)
    }

    /// A placeholder in the same place, or the next place if the placeholder failed too.
    fn placeholder_or_next_method(
        &self,
        reason: WithheldReason,
    ) -> Option<(DeliveryMethod, ContentLevel)> {
        match self.attempt.content_level {
            ContentLevel::Placeholder(_) => self.next_method(reason),
            ContentLevel::Full | ContentLevel::WithoutFiles { .. } => {
                Some((self.attempt.method, ContentLevel::Placeholder(reason)))
            }
        }
    }

    /// The next place.
    fn next_method(&self, reason: WithheldReason) -> Option<(DeliveryMethod, ContentLevel)> {
        match self.attempt.method {
            DeliveryMethod::EditResponse | DeliveryMethod::EditMessage
                if self.options.may_post_in_channel =>
            {
                Some((DeliveryMethod::Reply, self.attempt.content_level))
            }
            DeliveryMethod::Reply => Some((DeliveryMethod::NewMessage, self.attempt.content_level)),
            _ => self.direct_message(reason),
        }
    }

    /// A placeholder by direct message: the answer itself stays in its channel.
    fn direct_message(&self, reason: WithheldReason) -> Option<(DeliveryMethod, ContentLevel)> {
        let content_level = match self.attempt.content_level {
            ContentLevel::Placeholder(reason) => ContentLevel::Placeholder(reason),
            ContentLevel::Full | ContentLevel::WithoutFiles { .. } => {
                ContentLevel::Placeholder(reason)
            }
        };
        (self.options.may_direct_message && self.attempt.method != DeliveryMethod::DirectMessage)
            .then_some((DeliveryMethod::DirectMessage, content_level))
    }
}

#[cfg(test)]
mod tests;
