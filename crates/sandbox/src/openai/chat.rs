//! `POST /v1/chat/completions`.

use serde_json::{Value, json};

use super::script::{tokens, within};
use super::sse::{self, Event};
use super::{State, dialect, unix_now, validate};
use crate::answer::{Answer, Step};
use crate::exchange::Request;
use crate::fault::{Fault, StreamFault};

/// What is to be said, however it goes out.
struct Reply {
    id: String,
    created: u64,
    model: String,
    pieces: Vec<String>,
    refusal: Option<String>,
    reasoning: Option<String>,
    call: Option<String>,
    finish_reason: String,
    finish_everywhere: Option<String>,
    finish_on_thoughts: Option<String>,
    repeats_all: bool,
    usage: Value,
}

pub(super) async fn answer(state: &State, request: &Request, fault: &Fault) -> Answer {
    match try_answer(state, request, fault).await {
        Ok(answer) | Err(answer) => answer,
    }
}

async fn try_answer(state: &State, request: &Request, fault: &Fault) -> Result<Answer, Answer> {
    let common = validate::common(state, request, validate::CHAT_FIELDS)?;
    validate::chat(&common)?;
    dialect::check(state, &common)?;
    let limit = validate::limit(&common, &["max_completion_tokens", "max_tokens"])?;
    let prompt = common
        .body
        .get("messages")
        .map_or(0, |messages| tokens(&messages.to_string()));

    let (pieces, takes, pause) = {
        let mut script = state.script();
        (script.next(), script.takes, script.between_pieces)
    };
    let (pieces, whole) = within(pieces, limit);
    let written = tokens(&pieces.concat());
    let counter = &state.written;
    counter.fetch_add(written, std::sync::atomic::Ordering::Relaxed);
    let mut reply = Reply {
        id: format!(
            "chatcmpl-{:024x}",
            state.answers.load(std::sync::atomic::Ordering::Relaxed)
        ),
        created: unix_now(),
        model: common.model.clone(),
        refusal: None,
        reasoning: None,
        call: None,
        finish_everywhere: None,
        finish_on_thoughts: None,
        repeats_all: false,
        finish_reason: if whole { "stop" } else { "length" }.to_owned(),
        usage: usage(prompt, written),
        pieces,
    };
    let mut with_usage = common.include_usage || !common.stream;
    for fault in fault.stream_faults() {
        match fault {
            StreamFault::Refusal(text) => {
                reply.pieces = Vec::new();
                reply.refusal = Some(text.clone());
            }
            StreamFault::Reasoning(text) => reply.reasoning = Some(text.clone()),
            StreamFault::Finish(reason) => reply.finish_reason.clone_from(reason),
            StreamFault::Call(tool) => {
                reply.pieces = Vec::new();
                reply.call = Some(tool.clone());
                "tool_calls".clone_into(&mut reply.finish_reason);
            }
            StreamFault::FinishEverywhere(reason) => {
                reply.finish_everywhere = Some(reason.clone());
            }
            StreamFault::FinishOnThoughts(reason) => {
                reply.finish_on_thoughts = Some(reason.clone());
            }
            StreamFault::RepeatsAll => reply.repeats_all = true,
            StreamFault::NoUsage => with_usage = false,
            StreamFault::UsageUnasked => with_usage = true,
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
    if !common.stream || has(|fault| matches!(fault, StreamFault::Unstreamed)) {
        let mut whole = reply.whole(with_usage);
        if strange {
            make_strange(&mut whole);
        }
        return Ok(Answer::ok(&whole));
    }
    let mut events = reply.events(common.include_usage, with_usage);
    let as_message = has(|fault| matches!(fault, StreamFault::Message));
    for event in &mut events {
        if let Event::Text(chunk) | Event::Chunk(chunk) = event {
            if strange {
                make_strange(chunk);
            }
            if as_message && let Some(choice) = chunk["choices"][0].as_object_mut() {
                let delta = choice.remove("delta").unwrap_or_default();
                choice.insert("message".to_owned(), delta);
            }
        }
    }
    Ok(Answer::events(paced(sse::steps(&events, fault), pause)))
}

/// The same steps with a pause before each write but the first.
pub(super) fn paced(steps: Vec<Step>, pause: std::time::Duration) -> Vec<Step> {
    if pause.is_zero() {
        return steps;
    }
    let mut paced = Vec::new();
    for step in steps {
        if !paced.is_empty() && matches!(step, Step::Send(_)) {
            paced.push(Step::Wait(pause));
        }
        paced.push(step);
    }
    paced
}

pub(super) fn usage(prompt: u64, completion: u64) -> Value {
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

impl Reply {
    fn whole(&self, with_usage: bool) -> Value {
        let content = match &self.refusal {
            Some(_) => Value::Null,
            None if self.call.is_some() => Value::Null,
            None => self.pieces.concat().into(),
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
        if let Some(tool) = &self.call {
            message["tool_calls"] = call_of(tool);
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

    fn chunk(&self, usage_asked: bool, choices: &Value) -> Value {
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

    fn delta(&self, usage_asked: bool, delta: &Value, finish: Option<&str>) -> Value {
        let finish = finish.or(self.finish_everywhere.as_deref());
        let choice = json!([{
            "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish,
        }]);
        self.chunk(usage_asked, &choice)
    }

    fn events(&self, usage_asked: bool, with_usage: bool) -> Vec<Event> {
        let delta = |delta: Value| self.delta(usage_asked, &delta, None);
        let opening = json!({"role": "assistant", "content": "", "refusal": null});
        let mut events = vec![Event::Chunk(delta(opening))];
        if let Some(reasoning) = &self.reasoning {
            for piece in super::script::split(reasoning) {
                let thought = json!({"reasoning_content": piece});
                let finish = self.finish_on_thoughts.as_deref();
                events.push(Event::Chunk(self.delta(usage_asked, &thought, finish)));
            }
        }
        if let Some(refusal) = &self.refusal {
            for piece in super::script::split(refusal) {
                events.push(Event::Text(delta(json!({"refusal": piece}))));
            }
        }
        for piece in &self.pieces {
            events.push(Event::Text(delta(json!({"content": piece}))));
        }
        if let Some(tool) = &self.call {
            events.push(Event::Chunk(delta(json!({"tool_calls": call_of(tool)}))));
        }
        let last = match self.repeats_all {
            true => json!({"content": self.pieces.concat()}),
            false => json!({}),
        };
        let finish = self.delta(usage_asked, &last, Some(&self.finish_reason));
        events.push(Event::Chunk(finish));
        if with_usage {
            let mut chunk = self.chunk(usage_asked, &json!([]));
            chunk["usage"] = self.usage.clone();
            events.push(Event::Chunk(chunk));
        }
        events.push(Event::Done);
        events
    }
}

fn call_of(tool: &str) -> Value {
    json!([{
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": tool, "arguments": "{}"},
    }])
}

/// Fields nobody has heard of, at every level that is an object.
pub(super) fn make_strange(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for inner in object.values_mut() {
                make_strange(inner);
            }
            object.insert("x_future".to_owned(), json!({"nested": [1, null, "two"]}));
        }
        Value::Array(items) => items.iter_mut().for_each(make_strange),
        _ => {}
    }
}
