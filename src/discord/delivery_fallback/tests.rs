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
