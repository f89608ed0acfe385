//! `GET /models`: checks that the server works, knows the model, and when it will be shut down.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::OpenAiChatModel;
use super::request_error::{Redaction, RequestError, check_response, to_chat_error};
use crate::chat::model_shutdown::CalendarDay;
use crate::chat::{ChatError, ChatProbe, Conversation};
use net::{ClockSkew, NetError, read_json};

/// Time limit of the request.
const LIST_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
struct ModelList {
    #[serde(default)]
    data: Vec<ModelListEntry>,
}

#[derive(Deserialize)]
struct ModelListEntry {
    #[serde(default)]
    id: String,
    /// `YYYY-MM-DD`, a timestamp that starts with such a date, or seconds since 1970.
    #[serde(default)]
    shutdown_date: Value,
    /// The same for AssemblyAI's LLM Gateway; 0 if no shutdown is planned.
    #[serde(default)]
    retirement_date: Value,
}

pub(super) async fn probe_model_list(client: &OpenAiChatModel) -> Result<ChatProbe, ChatError> {
    match fetch_model_list(client).await {
        Ok((list, skew)) => Ok(ChatProbe {
            clock_skew: skew,
            ..probe_from_list(&list, &client.settings.model)
        }),
        // A server without a model list may still answer.
        Err(RequestError::Net(
            NetError::Status {
                status: StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED,
                ..
            }
            | NetError::Malformed { .. }
            | NetError::TooLarge { .. },
        )) => Ok(ChatProbe::default()),
        Err(error) => {
            let empty = Conversation {
                system: String::new(),
                turns: Vec::new(),
            };
            let redaction = Redaction::new(&empty, client.settings.key.as_ref());
            Err(to_chat_error(error, &client.settings, &redaction))
        }
    }
}

async fn fetch_model_list(
    client: &OpenAiChatModel,
) -> Result<(ModelList, Option<ClockSkew>), RequestError> {
    let request = client.request(Method::GET, "models").timeout(LIST_TIMEOUT);
    let response = request.send().await.map_err(NetError::from)?;
    let response = check_response(response, "models").await?;
    let skew = ClockSkew::from_headers(response.headers());
    Ok((read_json(response).await?, skew))
}

fn probe_from_list(list: &ModelList, model: &str) -> ChatProbe {
    // Ollama lists `llama3` as `llama3:latest`.
    let found = list
        .data
        .iter()
        .find(|entry| entry.id == model || entry.id.strip_suffix(":latest") == Some(model));
    ChatProbe {
        shutdown_date: found.and_then(|entry| {
            parse_shutdown_date(&entry.shutdown_date)
                .or_else(|| parse_shutdown_date(&entry.retirement_date))
        }),
        is_listed: (!list.data.is_empty()).then_some(found.is_some()),
        clock_skew: None,
    }
}

fn parse_shutdown_date(value: &Value) -> Option<String> {
    if let Some(seconds) = value.as_i64() {
        return (seconds > 0).then(|| CalendarDay::from_unix_seconds(seconds).to_string());
    }
    let text = value.as_str()?.get(..10)?;
    CalendarDay::parse(text).map(|day| day.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_found_by_its_name() {
        let list: ModelList = serde_json::from_str(
            r#"{"object":"list","data":[
                {"id":"gpt-6-luna","shutdown_date":"2027-01-06T00:00:00Z"},
                {"id":"old","shutdown_date":1798761600},
                {"id":"claude","retirement_date":1798761600},
                {"id":"gemini","retirement_date":0},
                {"id":"llama3:latest","shutdown_date":null}]}"#,
        )
        .expect("a list");
        let date = |model| probe_from_list(&list, model).shutdown_date;
        assert_eq!(date("gpt-6-luna").as_deref(), Some("2027-01-06"));
        assert_eq!(date("old").as_deref(), Some("2027-01-01"));
        assert_eq!(date("claude").as_deref(), Some("2027-01-01"));
        assert_eq!(date("gemini"), None);
        assert_eq!(date("llama3"), None);
        assert_eq!(probe_from_list(&list, "llama3").is_listed, Some(true));
        assert_eq!(probe_from_list(&list, "gpt-3").is_listed, Some(false));
        let empty: ModelList = serde_json::from_str("{}").expect("tolerated");
        assert_eq!(probe_from_list(&empty, "x").is_listed, None);
    }
}
