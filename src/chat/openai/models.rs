//! `GET /models`: whether the server is there, knows the model, and how long it will.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::OpenAiModel;
use super::errors::{Failed, Redaction, chat_error, check};
use crate::chat::shutdown::Day;
use crate::chat::{ChatError, Conversation, Probe};
use net::{NetError, Skew, read_json};

/// How long the list may take.
const LIMIT: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    data: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    id: String,
    /// `YYYY-MM-DD`, a time stamp with such a date before it, or seconds since 1970.
    #[serde(default)]
    shutdown_date: Value,
    /// The same at AssemblyAI's LLM Gateway; 0 where there is no end.
    #[serde(default)]
    retirement_date: Value,
}

pub(super) async fn probe(client: &OpenAiModel) -> Result<Probe, ChatError> {
    match list(client).await {
        Ok((list, skew)) => Ok(Probe {
            skew,
            ..find(&list, &client.settings.model)
        }),
        // A server without the list answers questions all the same.
        Err(Failed::Net(
            NetError::Status {
                status: StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED,
                ..
            }
            | NetError::Malformed { .. }
            | NetError::TooLarge { .. },
        )) => Ok(Probe::default()),
        Err(error) => {
            let nothing = Conversation {
                system: String::new(),
                turns: Vec::new(),
            };
            let redaction = Redaction::new(&nothing, client.settings.key.as_ref());
            Err(chat_error(error, &client.settings, &redaction))
        }
    }
}

async fn list(client: &OpenAiModel) -> Result<(List, Option<Skew>), Failed> {
    let request = client.request(Method::GET, "models").timeout(LIMIT);
    let answer = request.send().await.map_err(NetError::from)?;
    let answer = check(answer, "models").await?;
    let skew = Skew::of(answer.headers());
    Ok((read_json(answer).await?, skew))
}

fn find(list: &List, model: &str) -> Probe {
    // Ollama lists `llama3:latest` where people say `llama3`.
    let found = list
        .data
        .iter()
        .find(|entry| entry.id == model || entry.id.strip_suffix(":latest") == Some(model));
    Probe {
        shutdown_date: found
            .and_then(|entry| date(&entry.shutdown_date).or_else(|| date(&entry.retirement_date))),
        listed: (!list.data.is_empty()).then_some(found.is_some()),
        skew: None,
    }
}

fn date(value: &Value) -> Option<String> {
    if let Some(seconds) = value.as_i64() {
        return (seconds > 0).then(|| Day::from_seconds(seconds).to_string());
    }
    let text = value.as_str()?.get(..10)?;
    Day::parse(text).map(|day| day.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_found_by_its_name() {
        let list: List = serde_json::from_str(
            r#"{"object":"list","data":[
                {"id":"gpt-6-luna","shutdown_date":"2027-01-06T00:00:00Z"},
                {"id":"old","shutdown_date":1798761600},
                {"id":"claude","retirement_date":1798761600},
                {"id":"gemini","retirement_date":0},
                {"id":"llama3:latest","shutdown_date":null}]}"#,
        )
        .expect("a list");
        let date = |model| find(&list, model).shutdown_date;
        assert_eq!(date("gpt-6-luna").as_deref(), Some("2027-01-06"));
        assert_eq!(date("old").as_deref(), Some("2027-01-01"));
        assert_eq!(date("claude").as_deref(), Some("2027-01-01"));
        assert_eq!(date("gemini"), None);
        assert_eq!(date("llama3"), None);
        assert_eq!(find(&list, "llama3").listed, Some(true));
        assert_eq!(find(&list, "gpt-3").listed, Some(false));
        let empty: List = serde_json::from_str("{}").expect("tolerated");
        assert_eq!(find(&empty, "x").listed, None);
    }
}
