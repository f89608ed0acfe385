//! Daily limits and full queues.

use std::time::Duration;

use super::format_duration;
use crate::flow::fair_queue::QueueFull;
use crate::flow::usage_rules::{AdmissionDecision, CapScope};

/// Why a member's request is refused or answered by local models. `None` if it is admitted as it
/// is.
pub fn daily_limit_message(decision: AdmissionDecision) -> Option<String> {
    let subject = |scope| match scope {
        CapScope::Member => "You've",
        CapScope::Guild => "This server has",
        CapScope::Global => "All servers together have",
    };
    match decision {
        AdmissionDecision::Allow => None,
        AdmissionDecision::LocalOnly(scope) => Some(format!(
            "{} reached today's limit, so a smaller engine will listen until midnight UTC.",
            subject(scope)
        )),
        AdmissionDecision::CapReached(scope) => Some(format!(
            "{} reached today's limit. Try again after midnight UTC.",
            subject(scope)
        )),
        AdmissionDecision::TooLong(limit) => Some(format!(
            "The recording is longer than {}, the limit here. Send a shorter one.",
            format_duration(limit)
        )),
        AdmissionDecision::Cooldown(wait) => Some(format!(
            "That was quick. Try again in {}.",
            format_duration(wait.max(Duration::from_secs(1)))
        )),
    }
}

/// Why a request can't be queued.
pub fn queue_full(full: QueueFull) -> &'static str {
    match full {
        QueueFull::Member => {
            "You already have too many questions waiting. Send this one again once some are \
             answered."
        }
        QueueFull::Tenant => {
            "Too many questions are waiting in this server. Send yours again in a few minutes."
        }
        QueueFull::Global => "I have too much to do right now. Send this again in a few minutes.",
    }
}
