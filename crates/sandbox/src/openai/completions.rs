//! `POST /v1/completions`, the shape of GPT-3.

use serde_json::{Value, json};

use super::chat::{make_strange, paced, usage};
use super::errors::invalid;
use super::script::{tokens, within};
use super::sse::{self, Event};
use super::{State, unix_now, validate};
use crate::answer::Answer;
use crate::exchange::Request;
use crate::fault::{Fault, StreamFault};

/// What the specification gives as the default of `max_tokens`.
const DEFAULT_MAX_TOKENS: u64 = 16;

pub(super) async fn answer(state: &State, request: &Request, fault: &Fault) -> Answer {
    match try_answer(state, request, fault).await {
        Ok(answer) | Err(answer) => answer,
    }
}

async fn try_answer(state: &State, request: &Request, fault: &Fault) -> Result<Answer, Answer> {
    let common = validate::common(state, request, validate::COMPLETION_FIELDS)?;
    let prompt = match common.body.get("prompt") {
        Some(prompt @ (Value::String(_) | Value::Array(_))) => tokens(&prompt.to_string()),
        _ => {
            return Err(invalid(
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
        return Err(invalid(
            None,
            Some("stop"),
            "Invalid 'stop': at most 4 sequences.",
        ));
    }
    let limit = validate::limit(&common, &["max_tokens"])?.unwrap_or(DEFAULT_MAX_TOKENS);

    let (pieces, takes, pause) = {
        let mut script = state.script();
        (script.next(), script.takes, script.between_pieces)
    };
    let (pieces, whole) = within(pieces, Some(limit));
    let mut finish_reason = if whole { "stop" } else { "length" }.to_owned();
    let usage = usage(prompt, tokens(&pieces.concat()));
    let mut with_usage = common.include_usage || !common.stream;
    let mut strange = false;
    for fault in fault.stream_faults() {
        match fault {
            StreamFault::Finish(reason) => finish_reason.clone_from(reason),
            StreamFault::NoUsage => with_usage = false,
            StreamFault::UsageUnasked => with_usage = true,
            StreamFault::UnknownFields => strange = true,
            _ => {}
        }
    }
    if !takes.is_zero() {
        tokio::time::sleep(takes).await;
    }

    let number = state.answers.load(std::sync::atomic::Ordering::Relaxed);
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
            make_strange(&mut chunk);
        }
        chunk
    };
    let choice = |text: &str, finish: Option<&str>| json!([{"index": 0, "text": text, "logprobs": null, "finish_reason": finish}]);
    if !common.stream {
        let whole = choice(&pieces.concat(), Some(&finish_reason));
        return Ok(Answer::ok(&chunk(whole, with_usage.then_some(&usage))));
    }
    let no_usage_yet = common.include_usage.then_some(&Value::Null);
    let mut events: Vec<Event> = pieces
        .iter()
        .map(|piece| Event::Text(chunk(choice(piece, None), no_usage_yet)))
        .collect();
    events.push(Event::Chunk(chunk(
        choice("", Some(&finish_reason)),
        no_usage_yet,
    )));
    if with_usage {
        events.push(Event::Chunk(chunk(json!([]), Some(&usage))));
    }
    events.push(Event::Done);
    Ok(Answer::events(paced(sse::steps(&events, fault), pause)))
}
