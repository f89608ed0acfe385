//! `POST /v1/chat/completions`.

use serde_json::{Value, json};

use super::answer_script::{estimate_tokens, truncate_to_tokens};
use super::sse::{self, StreamEvent};
use super::{OpenAiState, dialect, unix_now, validate};
use crate::fault::{Fault, StreamFault};
use crate::mock_response::{BodyStep, MockResponse};
use crate::request_handler::BufferedRequest;

/// What is to be said, however it goes out.
struct ChatReply {
    id: String,
    created: u64,
    model: String,
    chunks: Vec<String>,
    refusal: Option<String>,
    reasoning: Option<String>,
    tool_call: Option<String>,
    finish_reason: String,
    finish_reason_in_every_chunk: Option<String>,
    finish_reason_on_reasoning: Option<String>,
    repeat_full_answer: bool,
    usage: Value,
}

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
    let common = validate::parse_request(state, request, validate::CHAT_FIELDS)?;
    validate::check_chat(&common)?;
    dialect::check_supported(state, &common)?;
    let limit = validate::token_limit(&common, &["max_completion_tokens", "max_tokens"])?;
    let prompt = common
        .body
        .get("messages")
        .map_or(0, |messages| estimate_tokens(&messages.to_string()));

    let (pieces, takes, pause) = {
        let mut script = state.script();
        (
            script.next_chunks(),
            script.first_chunk_delay,
            script.chunk_delay,
        )
    };
    let (pieces, whole) = truncate_to_tokens(pieces, limit);
    let written = estimate_tokens(&pieces.concat());
    let counter = &state.completion_tokens;
    counter.fetch_add(written, std::sync::atomic::Ordering::Relaxed);
    let mut reply = ChatReply {
        id: format!(
            "chatcmpl-{:024x}",
            state
                .answer_counter
                .load(std::sync::atomic::Ordering::Relaxed)
        ),
        created: unix_now(),
        model: common.model.clone(),
        refusal: None,
        reasoning: None,
        tool_call: None,
        finish_reason_in_every_chunk: None,
        finish_reason_on_reasoning: None,
        repeat_full_answer: false,
        finish_reason: if whole { "stop" } else { "length" }.to_owned(),
        usage: usage_json(prompt, written),
        chunks: pieces,
    };
    let mut with_usage = common.include_usage || !common.stream;
    for fault in fault.stream_faults() {
        match fault {
            StreamFault::ModelRefusal(text) => {
                reply.chunks = Vec::new();
                reply.refusal = Some(text.clone());
            }
            StreamFault::Reasoning(text) => reply.reasoning = Some(text.clone()),
            StreamFault::FinishReason(reason) => reply.finish_reason.clone_from(reason),
            StreamFault::ToolCall(tool) => {
                reply.chunks = Vec::new();
                reply.tool_call = Some(tool.clone());
                "tool_calls".clone_into(&mut reply.finish_reason);
            }
            StreamFault::FinishReasonInEveryChunk(reason) => {
                reply.finish_reason_in_every_chunk = Some(reason.clone());
            }
            StreamFault::FinishReasonOnReasoning(reason) => {
                reply.finish_reason_on_reasoning = Some(reason.clone());
            }
            StreamFault::RepeatFullAnswer => reply.repeat_full_answer = true,
            StreamFault::OmitUsage => with_usage = false,
            StreamFault::UnrequestedUsage => with_usage = true,
            _ => {}
        }
    }
    if !takes.is_zero() {
        tokio::time::sleep(takes).await;
    }

    let strange = fault
        .stream_faults()
        .any(|fault| matches!(fault, StreamFault::UnknownFields));
    let has = |wanted: fn(&StreamFault) -> bool| fault.stream_faults().any(wanted);
    if !common.stream || has(|fault| matches!(fault, StreamFault::JsonInsteadOfStream)) {
        let mut whole = reply.completion_json(with_usage);
        if strange {
            add_unknown_fields(&mut whole);
        }
        return Ok(MockResponse::ok(&whole));
    }
    let mut events = reply.to_events(common.include_usage, with_usage);
    let as_message = has(|fault| matches!(fault, StreamFault::MessageInsteadOfDelta));
    for event in &mut events {
        if let StreamEvent::Text(chunk) | StreamEvent::Chunk(chunk) = event {
            if strange {
                add_unknown_fields(chunk);
            }
            if as_message && let Some(choice) = chunk["choices"][0].as_object_mut() {
                let delta = choice.remove("delta").unwrap_or_default();
                choice.insert("message".to_owned(), delta);
            }
        }
    }
    Ok(MockResponse::event_stream(with_pauses(
        sse::to_steps(&events, fault),
        pause,
    )))
}

/// The same steps with a pause before each write but the first.
pub(super) fn with_pauses(steps: Vec<BodyStep>, pause: std::time::Duration) -> Vec<BodyStep> {
    if pause.is_zero() {
        return steps;
    }
    let mut paced = Vec::new();
    for step in steps {
        if !paced.is_empty() && matches!(step, BodyStep::Send(_)) {
            paced.push(BodyStep::Wait(pause));
        }
        paced.push(step);
    }
    paced
}

pub(super) fn usage_json(prompt: u64, completion: u64) -> Value {
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    })
}

impl ChatReply {
    fn completion_json(&self, with_usage: bool) -> Value {
        let content = match &self.refusal {
            Some(_) => Value::Null,
            None if self.tool_call.is_some() => Value::Null,
            None => self.chunks.concat().into(),
        };
        let mut message = json!({
            "role": "assistant",
            "content": content,
            "refusal": self.refusal,
            "annotations": [],
        });
        if let Some(reasoning) = &self.reasoning {
            message["reasoning_content"] = reasoning.as_str().into();
        }
        if let Some(tool) = &self.tool_call {
            message["tool_calls"] = tool_call_json(tool);
        }
        let mut whole = json!({
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [{
                "index": 0,
                "message": message,
                "logprobs": null,
                "finish_reason": self.finish_reason,
            }],
            "service_tier": "default",
        });
        if with_usage {
            whole["usage"] = self.usage.clone();
        }
        whole
    }

    fn chunk_json(&self, usage_asked: bool, choices: &Value) -> Value {
        let mut chunk = json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "service_tier": "default",
            "choices": choices,
            // Sent so that the size of a chunk does not give the text away.
            "obfuscation": "x7Qk",
        });
        if usage_asked {
            chunk["usage"] = Value::Null;
        }
        chunk
    }

    fn delta_chunk(&self, usage_asked: bool, delta: &Value, finish: Option<&str>) -> Value {
        let finish = finish.or(self.finish_reason_in_every_chunk.as_deref());
        let choice = json!([{
            "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish,
        }]);
        self.chunk_json(usage_asked, &choice)
    }

    fn to_events(&self, usage_asked: bool, with_usage: bool) -> Vec<StreamEvent> {
        let delta = |delta: Value| self.delta_chunk(usage_asked, &delta, None);
        let opening = json!({"role": "assistant", "content": "", "refusal": null});
        let mut events = vec![StreamEvent::Chunk(delta(opening))];
        if let Some(reasoning) = &self.reasoning {
            for piece in super::answer_script::split_before_blanks(reasoning) {
                let thought = json!({"reasoning_content": piece});
                let finish = self.finish_reason_on_reasoning.as_deref();
                events.push(StreamEvent::Chunk(self.delta_chunk(
                    usage_asked,
                    &thought,
                    finish,
                )));
            }
        }
        if let Some(refusal) = &self.refusal {
            for piece in super::answer_script::split_before_blanks(refusal) {
                events.push(StreamEvent::Text(delta(json!({"refusal": piece}))));
            }
        }
        for piece in &self.chunks {
            events.push(StreamEvent::Text(delta(json!({"content": piece}))));
        }
        if let Some(tool) = &self.tool_call {
            events.push(StreamEvent::Chunk(delta(
                json!({"tool_calls": tool_call_json(tool)}),
            )));
        }
        let last = match self.repeat_full_answer {
            true => json!({"content": self.chunks.concat()}),
            false => json!({}),
        };
        let finish = self.delta_chunk(usage_asked, &last, Some(&self.finish_reason));
        events.push(StreamEvent::Chunk(finish));
        if with_usage {
            let mut chunk = self.chunk_json(usage_asked, &json!([]));
            chunk["usage"] = self.usage.clone();
            events.push(StreamEvent::Chunk(chunk));
        }
        events.push(StreamEvent::Done);
        events
    }
}

fn tool_call_json(tool: &str) -> Value {
    json!([{
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": tool, "arguments": "{}"},
    }])
}

/// Fields nobody has heard of, at every level that is an object.
pub(super) fn add_unknown_fields(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for inner in object.values_mut() {
                add_unknown_fields(inner);
            }
            object.insert("x_future".to_owned(), json!({"nested": [1, null, "two"]}));
        }
        Value::Array(items) => items.iter_mut().for_each(add_unknown_fields),
        _ => {}
    }
}
