//! Faults in the bytes of an answer.

use std::io::Write;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::{BodyFault, Effect, Fault};
use crate::answer::{Answer, Step};

/// One write of an endless body: 16 KiB.
const ENDLESS_PIECE: usize = 16 * 1024;

/// Does to the answer whatever the fault does to its bytes.
pub(crate) fn apply_to_body(fault: &Fault, mut answer: Answer) -> Answer {
    for effect in &fault.effects {
        if let Effect::Body(body_fault) = effect {
            apply(body_fault, &mut answer);
        }
    }
    answer
}

fn apply(fault: &BodyFault, answer: &mut Answer) {
    match fault {
        BodyFault::CutAfter(after) => break_off(answer, *after, Step::Cut),
        BodyFault::ResetAfter(after) => break_off(answer, *after, Step::Reset),
        BodyFault::HangAfter(after) => break_off(answer, Some(*after), Step::Hang),
        BodyFault::Slow(pause) => answer.steps = slow(&answer.steps, *pause),
        BodyFault::Malformed => {
            let body = answer.body();
            let half = body.slice(..body.len() / 2);
            replace(answer, half);
        }
        BodyFault::Gzip => {
            let mut packed = GzEncoder::new(Vec::new(), Compression::default());
            // Writing into memory does not fail.
            let _ = packed.write_all(&answer.body());
            replace(answer, packed.finish().unwrap_or_default().into());
            let gzip = HeaderValue::from_static("gzip");
            answer.headers.insert(CONTENT_ENCODING, gzip);
        }
        BodyFault::ContentType(content_type) if content_type.is_empty() => {
            answer.headers.remove(CONTENT_TYPE);
        }
        BodyFault::ContentType(content_type) => {
            if let Ok(value) = HeaderValue::try_from(content_type) {
                answer.headers.insert(CONTENT_TYPE, value);
            }
        }
        BodyFault::Empty => replace(answer, Bytes::new()),
        BodyFault::Endless => {
            answer.declared_length = None;
            answer
                .steps
                .push(Step::Forever(vec![b' '; ENDLESS_PIECE].into()));
        }
        BodyFault::Replace(body) => replace(answer, body.clone()),
    }
}

fn replace(answer: &mut Answer, body: Bytes) {
    answer.declared_length = Some(body.len());
    answer.steps = vec![Step::Send(body)];
}

/// Keeps the first `after` bytes, or half of them all, and what happens between them.
fn break_off(answer: &mut Answer, after: Option<usize>, end: Step) {
    let length = answer.body().len();
    let mut left = after.unwrap_or(length / 2);
    // A body that was to be complete by then would not be broken off.
    if answer.declared_length.is_some() && left >= length {
        answer.declared_length = Some(left + 1);
    }
    let mut kept = Vec::new();
    for step in answer.steps.drain(..) {
        match step {
            Step::Send(bytes) if bytes.len() > left => {
                kept.push(Step::Send(bytes.slice(..left)));
                break;
            }
            Step::Send(bytes) => {
                left -= bytes.len();
                kept.push(Step::Send(bytes));
            }
            other => kept.push(other),
        }
    }
    kept.push(end);
    answer.steps = kept;
}

/// Every byte in a write of its own, with a pause before each.
fn slow(steps: &[Step], pause: Duration) -> Vec<Step> {
    let mut slowed = Vec::new();
    for step in steps {
        match step {
            Step::Send(bytes) => {
                for place in 0..bytes.len() {
                    if !pause.is_zero() {
                        slowed.push(Step::Wait(pause));
                    }
                    slowed.push(Step::Send(bytes.slice(place..=place)));
                }
            }
            other => slowed.push(other.clone()),
        }
    }
    slowed
}
