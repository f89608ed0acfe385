//! Faults in the bytes of an answer.

use std::io::Write;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::{BodyFault, Fault, FaultEffect};
use crate::mock_response::{BodyStep, MockResponse};

/// One write of an endless body: 16 KiB.
const ENDLESS_CHUNK: usize = 16 * 1024;

/// Does to the answer whatever the fault does to its bytes.
pub(crate) fn apply_to_body(fault: &Fault, mut answer: MockResponse) -> MockResponse {
    for effect in &fault.effects {
        if let FaultEffect::Body(body_fault) = effect {
            apply(body_fault, &mut answer);
        }
    }
    answer
}

fn apply(fault: &BodyFault, answer: &mut MockResponse) {
    match fault {
        BodyFault::CloseAfter(after) => truncate(answer, *after, BodyStep::Close),
        BodyFault::ResetAfter(after) => truncate(answer, *after, BodyStep::Reset),
        BodyFault::HangAfter(after) => truncate(answer, Some(*after), BodyStep::Hang),
        BodyFault::ByteByByte(pause) => answer.steps = one_byte_writes(&answer.steps, *pause),
        BodyFault::Malformed => {
            let body = answer.fixed_body();
            let half = body.slice(..body.len() / 2);
            replace(answer, half);
        }
        BodyFault::Gzip => {
            let mut packed = GzEncoder::new(Vec::new(), Compression::default());
            // Writing into memory does not fail.
            let _ = packed.write_all(&answer.fixed_body());
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
            answer.content_length = None;
            answer
                .steps
                .push(BodyStep::RepeatForever(vec![b' '; ENDLESS_CHUNK].into()));
        }
        BodyFault::Replace(body) => replace(answer, body.clone()),
    }
}

fn replace(answer: &mut MockResponse, body: Bytes) {
    answer.content_length = Some(body.len());
    answer.steps = vec![BodyStep::Send(body)];
}

/// Keeps the first `after` bytes, or half of them all, and what happens between them.
fn truncate(answer: &mut MockResponse, after: Option<usize>, end: BodyStep) {
    let length = answer.fixed_body().len();
    let mut left = after.unwrap_or(length / 2);
    // A body that was to be complete by then would not be broken off.
    if answer.content_length.is_some() && left >= length {
        answer.content_length = Some(left + 1);
    }
    let mut kept = Vec::new();
    for step in answer.steps.drain(..) {
        match step {
            BodyStep::Send(bytes) if bytes.len() > left => {
                kept.push(BodyStep::Send(bytes.slice(..left)));
                break;
            }
            BodyStep::Send(bytes) => {
                left -= bytes.len();
                kept.push(BodyStep::Send(bytes));
            }
            other => kept.push(other),
        }
    }
    kept.push(end);
    answer.steps = kept;
}

/// Every byte in a write of its own, with a pause before each.
fn one_byte_writes(steps: &[BodyStep], pause: Duration) -> Vec<BodyStep> {
    let mut slowed = Vec::new();
    for step in steps {
        match step {
            BodyStep::Send(bytes) => {
                for place in 0..bytes.len() {
                    if !pause.is_zero() {
                        slowed.push(BodyStep::Wait(pause));
                    }
                    slowed.push(BodyStep::Send(bytes.slice(place..=place)));
                }
            }
            other => slowed.push(other.clone()),
        }
    }
    slowed
}
