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
mod tests {
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::*;
    use net::ErrorCause;

    fn all_errors() -> Vec<(&'static str, ApiError)> {
        let cause = || ErrorCause::from("");
        let refused = |reason| ApiError::Rejected(reason, "".into());
        vec![
            ("forbidden", ApiError::Forbidden(cause())),
            ("archived", ApiError::ThreadArchived(cause())),
            ("token dead", ApiError::InteractionExpired(cause())),
            ("gone", ApiError::NotFound(cause())),
            ("reference", refused(RejectionReason::Reference)),
            ("files", refused(RejectionReason::Files)),
            ("filter", refused(RejectionReason::ContentFilter)),
            ("empty", refused(RejectionReason::EmptyMessage)),
            ("edit", refused(RejectionReason::NotEditable)),
            ("form", refused(RejectionReason::InvalidForm)),
            ("acknowledged", ApiError::AlreadyAcknowledged),
        ]
    }

    fn any_options() -> impl Strategy<Value = DeliveryOptions> {
        any::<(bool, bool, bool)>().prop_map(|(files, channel, direct)| DeliveryOptions {
            has_files: files,
            may_post_in_channel: channel,
            may_direct_message: direct,
        })
    }

    /// The attempts made if Discord always returns the same error.
    #[test]
    fn repeated_error_walks_these_fallbacks() {
        let mut all = String::new();
        for method in [
            DeliveryMethod::EditResponse,
            DeliveryMethod::EditMessage,
            DeliveryMethod::Reply,
        ] {
            for (name, error) in all_errors() {
                let options = DeliveryOptions {
                    has_files: true,
                    may_post_in_channel: true,
                    may_direct_message: true,
                };
                let mut fallback = DeliveryFallback::new(method, options);
                let _ = write!(all, "{method:?}, {name}:");
                loop {
                    match fallback.after_error(&error) {
                        NextStep::Try(DeliveryAttempt {
                            method,
                            content_level,
                        }) => {
                            let _ = write!(all, " {method:?} {content_level:?},");
                        }
                        end => {
                            let _ = writeln!(all, " {end:?}");
                            break;
                        }
                    }
                }
            }
        }
        insta::assert_snapshot!(all);
    }

    proptest! {
        #[test]
        fn every_error_falls_back_and_terminates(
            method in prop::sample::select(vec![DeliveryMethod::EditResponse, DeliveryMethod::EditMessage, DeliveryMethod::Reply, DeliveryMethod::NewMessage]),
            options in any_options(),
            errors in prop::collection::vec(prop::sample::select(all_errors()), 20),
        ) {
            let mut fallback = DeliveryFallback::new(method, options);
            let mut steps = 0;
            for (name, error) in errors {
                let before = fallback.current();
                match fallback.after_error(&error) {
                    NextStep::RetryLater => prop_assert!(false, "{name} is no reason to wait"),
                    NextStep::Try(after) => {
                        steps += 1;
                        prop_assert!(after.method >= before.method && after != before, "{after:?}");
                        prop_assert!(
                            after.content_level >= before.content_level
                                || matches!((before.content_level, after.content_level), (ContentLevel::Placeholder(_), ContentLevel::Placeholder(_))),
                            "{before:?} {after:?}"
                        );
                        prop_assert!(options.may_post_in_channel || method >= DeliveryMethod::Reply || !matches!(after.method, DeliveryMethod::Reply | DeliveryMethod::NewMessage));
                        prop_assert!(options.may_direct_message || after.method != DeliveryMethod::DirectMessage);
                        let bare = matches!(after.content_level, ContentLevel::WithoutFiles { .. });
                        prop_assert!(options.has_files || !bare);
                        let direct = after.method == DeliveryMethod::DirectMessage;
                        prop_assert!(!direct || matches!(after.content_level, ContentLevel::Placeholder(_)));
                    }
                    NextStep::TargetDeleted | NextStep::Exhausted => return Ok(()),
                }
            }
            prop_assert!(steps <= 8, "{steps} steps");
        }

        #[test]
        fn transient_errors_are_retried_without_falling_back(method in prop::sample::select(vec![DeliveryMethod::EditMessage, DeliveryMethod::Reply]), options in any_options()) {
            let mut fallback = DeliveryFallback::new(method, options);
            let before = fallback.current();
            prop_assert_eq!(fallback.after_error(&ApiError::Transient("".into())), NextStep::RetryLater);
            prop_assert_eq!(fallback.current(), before);
        }

        /// The channel accepts messages, so the placeholder goes to the same place.
        #[test]
        fn rejected_content_is_replaced_by_a_placeholder_in_the_same_place(
            method in prop::sample::select(vec![DeliveryMethod::EditResponse, DeliveryMethod::EditMessage, DeliveryMethod::NewMessage]),
            options in any_options(),
            reason in prop::sample::select(vec![RejectionReason::ContentFilter, RejectionReason::EmptyMessage]),
        ) {
            let mut fallback = DeliveryFallback::new(method, options);
            let NextStep::Try(attempt) = fallback.after_error(&ApiError::Rejected(reason, "".into())) else {
                return Err(TestCaseError::fail("nothing is tried"));
            };
            prop_assert_eq!(attempt.method, method);
            prop_assert!(matches!(attempt.content_level, ContentLevel::Placeholder(_)));
        }
    }
}
