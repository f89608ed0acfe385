//! Requests as a client makes them.

use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder, Response};
use sandbox::{AssemblyAi, OpenAi, Sandbox};
use serde_json::{Value, json};

pub(crate) const QUESTION: &[u8] = include_bytes!("../../../../samples/question.ogg");

pub(crate) fn client() -> Client {
    Client::builder()
        .no_proxy()
        .build()
        .expect("a client without TLS")
}

/// 16-bit mono PCM of this length.
pub(crate) fn pcm(sample_rate: u32, milliseconds: u32) -> Vec<u8> {
    (0..u64::from(sample_rate) * u64::from(milliseconds) / 1_000)
        .flat_map(|sample| {
            let value = if sample % 40 < 20 { 8_000_i16 } else { -8_000 };
            value.to_le_bytes()
        })
        .collect()
}

/// The same as a WAV file.
pub(crate) fn wav(sample_rate: u32, milliseconds: u32) -> Vec<u8> {
    let samples = pcm(sample_rate, milliseconds);
    let mut wav = Vec::new();
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(36 + samples.len() as u32).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend_from_slice(&sample_rate.to_le_bytes());
    wav.extend_from_slice(&(sample_rate * 2).to_le_bytes());
    wav.extend_from_slice(b"\x02\0\x10\0data");
    wav.extend_from_slice(&(samples.len() as u32).to_le_bytes());
    wav.extend_from_slice(&samples);
    wav
}

pub(crate) fn audio_part(bytes: Vec<u8>, media_type: &str) -> Part {
    Part::bytes(bytes)
        .file_name("clip.wav")
        .mime_str(media_type)
        .expect("a media type")
}

pub(crate) fn config_part(config: &Value) -> Part {
    Part::text(config.to_string())
        .mime_str("application/json")
        .expect("a media type")
}

/// A Sync request that is right in everything but perhaps the form.
pub(crate) fn sync_request(stt: &AssemblyAi, form: Form) -> RequestBuilder {
    client()
        .post(format!("{}/v1/transcribe", stt.sync_url()))
        .header("Authorization", stt.key())
        .header("X-AAI-Model", "universal-3-5-pro")
        .multipart(form)
}

pub(crate) fn one_second_form() -> Form {
    Form::new().part("audio", audio_part(wav(16_000, 1_000), "audio/wav"))
}

pub(crate) async fn send_json(request: RequestBuilder) -> (u16, Value) {
    read_json(request.send().await.expect("an answer")).await
}

pub(crate) async fn read_json(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = response.bytes().await.expect("a whole body");
    let json = serde_json::from_slice(&body)
        .unwrap_or_else(|_| json!(String::from_utf8_lossy(&body).into_owned()));
    (status, json)
}

/// A chat request for the default model.
pub(crate) fn chat_request(llm: &OpenAi, more: &Value) -> RequestBuilder {
    let mut body = json!({
        "model": "gpt-6-luna",
        "messages": [{"role": "user", "content": "Hello"}],
    });
    if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
        body.extend(more.clone());
    }
    client()
        .post(format!("{}/chat/completions", llm.url()))
        .bearer_auth(llm.key())
        .json(&body)
}

/// The payloads of a whole stream of events.
pub(crate) fn sse_payloads(stream: &str) -> Vec<String> {
    stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(str::to_owned)
        .collect()
}

/// The text that the deltas of a chat stream make up.
pub(crate) fn stream_text(stream: &str) -> String {
    sse_payloads(stream)
        .iter()
        .filter_map(|data| serde_json::from_str::<Value>(data).ok())
        .filter_map(|chunk| Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned()))
        .collect()
}

pub(crate) async fn start() -> (Sandbox, AssemblyAi, OpenAi) {
    let sandbox = Sandbox::start().await;
    let (stt, llm) = (sandbox.assemblyai(), sandbox.openai());
    (sandbox, stt, llm)
}
