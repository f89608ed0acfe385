//! What is still tried when Discord refuses to show something, so that whoever asked sees an end.
//!
//! A pure state machine. Every refusal leads further down: to something simpler, or to another
//! place. It can't lead up again, so there is an end after a handful of steps, whatever Discord
//! says.

use super::api_error::{ApiError, RejectionReason};
use crate::ui_text::bot::WithheldReason;

/// Where something is shown, from the best place to the last one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum DeliveryMethod {
    /// In place of a command's response.
    EditResponse,
    /// In place of a message of ours.
    EditMessage,
    /// As a new message that replies, if there is anything to reply to.
    Reply,
    /// As a new message.
    NewMessage,
    /// To whoever asked, directly.
    DirectMessage,
}

/// How much of it is shown.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum ContentLevel {
    /// All of it.
    Full,
    /// All but the files.
    WithoutFiles {
        /// They were refused; else there is no right to attach any.
        files_refused: bool,
    },
    /// One sentence of ours instead.
    Placeholder(WithheldReason),
}

/// One try.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct DeliveryAttempt {
    pub(super) method: DeliveryMethod,
    pub(super) content_level: ContentLevel,
}

/// What can be tried at all.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct DeliveryOptions {
    /// There are files.
    pub(super) has_files: bool,
    /// New messages can be sent to the channel.
    pub(super) may_post_in_channel: bool,
    /// Somebody can be told directly.
    pub(super) may_direct_message: bool,
}

/// What follows from a refusal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NextStep {
    /// The same again, after a while.
    RetryLater,
    /// This instead.
    Try(DeliveryAttempt),
    /// What was there has been deleted, and stays so.
    TargetDeleted,
    /// There is no place left.
    Exhausted,
}

/// The way down.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeliveryFallback {
    attempt: DeliveryAttempt,
    options: DeliveryOptions,
}

impl DeliveryFallback {
    /// Begins with all of it.
    pub(super) fn new(way: DeliveryMethod, options: DeliveryOptions) -> Self {
        Self {
            attempt: DeliveryAttempt {
                method: way,
                content_level: ContentLevel::Full,
            },
            options,
        }
    }

    /// What is to be tried now.
    pub(super) fn current(&self) -> DeliveryAttempt {
        self.attempt
    }

    /// Discord has refused that.
    pub(super) fn after_error(&mut self, trouble: &ApiError) -> NextStep {
        let DeliveryAttempt {
            method: way,
            content_level: part,
        } = self.attempt;
        let files = part == ContentLevel::Full && self.options.has_files;
        let next = match trouble {
            ApiError::Transient(_) | ApiError::Unauthorized => return NextStep::RetryLater,
            ApiError::NotFound(_) if way != DeliveryMethod::DirectMessage => {
                return NextStep::TargetDeleted;
            }
            ApiError::NotFound(_) => None,
            // Files need a right of their own, and so does replying.
            ApiError::Forbidden(_) if files => Some((
                way,
                ContentLevel::WithoutFiles {
                    files_refused: false,
                },
            )),
            ApiError::Forbidden(_) => self.next_method(WithheldReason::NoWriteAccess),
            ApiError::ThreadArchived(_) | ApiError::InteractionExpired(_) => match way {
                DeliveryMethod::EditResponse | DeliveryMethod::EditMessage => {
                    self.next_method(WithheldReason::NoWriteAccess)
                }
                // Opening it again is for others.
                _ => self.direct_message(WithheldReason::NoWriteAccess),
            },
            ApiError::Rejected(RejectionReason::Reference, _) if way == DeliveryMethod::Reply => {
                Some((DeliveryMethod::NewMessage, part))
            }
            ApiError::Rejected(RejectionReason::NotEditable, _)
                if way == DeliveryMethod::EditMessage =>
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
                way,
                ContentLevel::WithoutFiles {
                    files_refused: true,
                },
            )),
            ApiError::Rejected(..) | ApiError::AlreadyAcknowledged
                if way == DeliveryMethod::Reply =>
            {
                Some((DeliveryMethod::NewMessage, part))
            }
            ApiError::Rejected(..) | ApiError::AlreadyAcknowledged => {
                self.placeholder_or_next_method(WithheldReason::Rejected)
            }
        };
        let Some((way, part)) = next else {
            return NextStep::Exhausted;
        };
        self.attempt = DeliveryAttempt {
            method: way,
            content_level: part,
        };
        NextStep::Try(self.attempt)
    }

    /// A sentence in the same place, or if that is refused too, the next place.
    fn placeholder_or_next_method(
        &self,
        why: WithheldReason,
    ) -> Option<(DeliveryMethod, ContentLevel)> {
        match self.attempt.content_level {
            ContentLevel::Placeholder(_) => self.next_method(why),
            ContentLevel::Full | ContentLevel::WithoutFiles { .. } => {
                Some((self.attempt.method, ContentLevel::Placeholder(why)))
            }
        }
    }

    /// The next place.
    fn next_method(&self, why: WithheldReason) -> Option<(DeliveryMethod, ContentLevel)> {
        match self.attempt.method {
            DeliveryMethod::EditResponse | DeliveryMethod::EditMessage
                if self.options.may_post_in_channel =>
            {
                Some((DeliveryMethod::Reply, self.attempt.content_level))
            }
            DeliveryMethod::Reply => Some((DeliveryMethod::NewMessage, self.attempt.content_level)),
            _ => self.direct_message(why),
        }
    }

    /// Only ever a sentence: what others wrote does not follow anybody around.
    fn direct_message(&self, why: WithheldReason) -> Option<(DeliveryMethod, ContentLevel)> {
        let part = match self.attempt.content_level {
            ContentLevel::Placeholder(why) => ContentLevel::Placeholder(why),
            ContentLevel::Full | ContentLevel::WithoutFiles { .. } => {
                ContentLevel::Placeholder(why)
            }
        };
        (self.options.may_direct_message && self.attempt.method != DeliveryMethod::DirectMessage)
            .then_some((DeliveryMethod::DirectMessage, part))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::*;
    use net::ErrorCause;

    fn all_errors() -> Vec<(&'static str, ApiError)> {
        let said = || ErrorCause::from("");
        let refused = |objection| ApiError::Rejected(objection, "".into());
        vec![
            ("forbidden", ApiError::Forbidden(said())),
            ("archived", ApiError::ThreadArchived(said())),
            ("token dead", ApiError::InteractionExpired(said())),
            ("gone", ApiError::NotFound(said())),
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
        any::<(bool, bool, bool)>().prop_map(|(files, channel, aside)| DeliveryOptions {
            has_files: files,
            may_post_in_channel: channel,
            may_direct_message: aside,
        })
    }

    /// What is tried one after the other if Discord always says the same.
    #[test]
    fn repeated_error_walks_these_fallbacks() {
        let mut all = String::new();
        for way in [
            DeliveryMethod::EditResponse,
            DeliveryMethod::EditMessage,
            DeliveryMethod::Reply,
        ] {
            for (name, trouble) in all_errors() {
                let shape = DeliveryOptions {
                    has_files: true,
                    may_post_in_channel: true,
                    may_direct_message: true,
                };
                let mut ladder = DeliveryFallback::new(way, shape);
                let _ = write!(all, "{way:?}, {name}:");
                loop {
                    match ladder.after_error(&trouble) {
                        NextStep::Try(DeliveryAttempt {
                            method: way,
                            content_level: part,
                        }) => {
                            let _ = write!(all, " {way:?} {part:?},");
                        }
                        over => {
                            let _ = writeln!(all, " {over:?}");
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
            way in prop::sample::select(vec![DeliveryMethod::EditResponse, DeliveryMethod::EditMessage, DeliveryMethod::Reply, DeliveryMethod::NewMessage]),
            shape in any_options(),
            said in prop::collection::vec(prop::sample::select(all_errors()), 20),
        ) {
            let mut ladder = DeliveryFallback::new(way, shape);
            let mut steps = 0;
            for (name, trouble) in said {
                let before = ladder.current();
                match ladder.after_error(&trouble) {
                    NextStep::RetryLater => prop_assert!(false, "{name} is no reason to wait"),
                    NextStep::Try(after) => {
                        steps += 1;
                        prop_assert!(after.method >= before.method && after != before, "{after:?}");
                        prop_assert!(
                            after.content_level >= before.content_level
                                || matches!((before.content_level, after.content_level), (ContentLevel::Placeholder(_), ContentLevel::Placeholder(_))),
                            "{before:?} {after:?}"
                        );
                        prop_assert!(shape.may_post_in_channel || way >= DeliveryMethod::Reply || !matches!(after.method, DeliveryMethod::Reply | DeliveryMethod::NewMessage));
                        prop_assert!(shape.may_direct_message || after.method != DeliveryMethod::DirectMessage);
                        let bare = matches!(after.content_level, ContentLevel::WithoutFiles { .. });
                        prop_assert!(shape.has_files || !bare);
                        let direct = after.method == DeliveryMethod::DirectMessage;
                        prop_assert!(!direct || matches!(after.content_level, ContentLevel::Placeholder(_)));
                    }
                    NextStep::TargetDeleted | NextStep::Exhausted => return Ok(()),
                }
            }
            prop_assert!(steps <= 8, "{steps} steps");
        }

        #[test]
        fn what_may_pass_is_waited_for_and_changes_nothing(way in prop::sample::select(vec![DeliveryMethod::EditMessage, DeliveryMethod::Reply]), shape in any_options()) {
            let mut ladder = DeliveryFallback::new(way, shape);
            let before = ladder.current();
            prop_assert_eq!(ladder.after_error(&ApiError::Transient("".into())), NextStep::RetryLater);
            prop_assert_eq!(ladder.current(), before);
        }

        /// A filter, an empty text, a form: the place is open, so something is said in it.
        #[test]
        fn a_refused_text_is_followed_by_a_sentence_in_the_same_place(
            way in prop::sample::select(vec![DeliveryMethod::EditResponse, DeliveryMethod::EditMessage, DeliveryMethod::NewMessage]),
            shape in any_options(),
            objection in prop::sample::select(vec![RejectionReason::ContentFilter, RejectionReason::EmptyMessage]),
        ) {
            let mut ladder = DeliveryFallback::new(way, shape);
            let NextStep::Try(rung) = ladder.after_error(&ApiError::Rejected(objection, "".into())) else {
                return Err(TestCaseError::fail("nothing is tried"));
            };
            prop_assert_eq!(rung.method, way);
            prop_assert!(matches!(rung.content_level, ContentLevel::Placeholder(_)));
        }
    }
}
