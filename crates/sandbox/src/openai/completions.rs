//! `POST /v1/completions`, the shape of GPT-3.

use serde_json::{Value, json};

use super::answer_script::{estimate_tokens, truncate_to_tokens};
use super::chat::{add_unknown_fields, usage_json, with_pauses};
use super::errors::invalid_request;
use super::sse::{self, StreamEvent};
use super::{OpenAiState, unix_now, validate};
use crate::fault::{Fault, StreamFault};
use crate::mock_response::MockResponse;
use crate::request_handler::BufferedRequest;

/// What the specification gives as the default of `max_tokens`.
const DEFAULT_MAX_TOKENS: u64 = 16;

pub(super) async fn respond(
    state: &OpenAiState,
    request: &BufferedRequest,
    fault: &Fault,
) -> MockResponse {
    match try_respond(state, request, fault).await {
        Ok(answer) | Err(answer) => answer,
    }
}

async fn try_respond(
    state: &OpenAiState,
    request: &BufferedRequest,
    fault: &Fault,
) -> Result<MockResponse, MockResponse> {
    let common = validate::parse_request(state, request, validate::COMPLETION_FIELDS)?;
    let prompt = match common.body.get("prompt") {
        Some(prompt @ (Value::String(_) | Value::Array(_))) => estimate_tokens(&prompt.to_string()),
        _ => {
            return Err(invalid_request(
                Some("missing_required_parameter"),
                Some("prompt"),
                "Missing required parameter: 'prompt'.",
            ));
        }
    };
    if common
        .body
        .get("stop")
        .and_then(Value::as_array)
        .is_some_and(|stop| stop.len() > 4)
    {
        return Err(invalid_request(
            None,
            Some("stop"),
            "Invalid 'stop': at most 4 sequences.",
        ));
    }
    let limit = validate::token_limit(&common, &["max_tokens"])?.unwrap_or(DEFAULT_MAX_TOKENS);

    let (pieces, takes, pause) = {
        let mut script = state.script();
        (
            script.next_chunks(),
            script.first_chunk_delay,
            script.chunk_delay,
        )
    };
    let (pieces, whole) = truncate_to_tokens(pieces, Some(limit));
    let mut finish_reason = if whole { "stop" } else { "length" }.to_owned();
    let usage = usage_json(prompt, estimate_tokens(&pieces.concat()));
    let mut with_usage = common.include_usage || !common.stream;
    let mut strange = false;
    for fault in fault.stream_faults() {
        match fault {
            StreamFault::FinishReason(reason) => finish_reason.clone_from(reason),
            StreamFault::OmitUsage => with_usage = false,
            StreamFault::UnrequestedUsage => with_usage = true,
            StreamFault::UnknownFields => strange = true,
            _ => {}
        }
    }
    if !takes.is_zero() {
        tokio::time::sleep(takes).await;
    }

    let number = state
        .answer_counter
        .load(std::sync::atomic::Ordering::Relaxed);
    let base = json!({
        "id": format!("cmpl-{number:024x}"),
        "object": "text_completion",
        "created": unix_now(),
        "model": common.model,
    });
    let chunk = |choices: Value, usage: Option<&Value>| {
        let mut chunk = base.clone();
        chunk["choices"] = choices;
        if let Some(usage) = usage {
            chunk["usage"] = usage.clone();
        }
        if strange {
            add_unknown_fields(&mut chunk);
        }
        chunk
    };
    let choice = |text: &str, finish: Option<&str>| json!([{"index": 0, "text": text, "logprobs": null, "finish_reason": finish}]);
    if !common.stream {
        let whole = choice(&pieces.concat(), Some(&finish_reason));
        return Ok(MockResponse::ok(&chunk(
            whole,
            with_usage.then_some(&usage),
        )));
    }
    let no_usage_yet = common.include_usage.then_some(&Value::Null);
    let mut events: Vec<StreamEvent> = pieces
        .iter()
        .map(|piece| StreamEvent::Text(chunk(choice(piece, None), no_usage_yet)))
        .collect();
    events.push(StreamEvent::Chunk(chunk(
        choice("", Some(&finish_reason)),
        no_usage_yet,
    )));
    if with_usage {
        events.push(StreamEvent::Chunk(chunk(json!([]), Some(&usage))));
    }
    events.push(StreamEvent::Done);
    Ok(MockResponse::event_stream(with_pauses(
        sse::to_steps(&events, fault),
        pause,
    )))
}
