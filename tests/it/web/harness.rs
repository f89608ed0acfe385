//! `talkback web` as a process, and whoever opens its page.

use std::process::Stdio;

use reqwest::header::{HOST, ORIGIN};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder, Response};
use sandbox::Sandbox;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::support::{TalkbackCommand, sample_path, sandbox_with_keys};

/// A running page. Dropping it ends it.
pub(crate) struct WebFixture {
    pub(crate) sandbox: Sandbox,
    pub(crate) address: String,
    pub(crate) browser: Client,
    pub(crate) child: Child,
    pub(crate) talkback: TalkbackCommand,
}

impl WebFixture {
    /// A page on the sandbox's providers, which hear and answer about France.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(crate) async fn start_with(settings: &[(&str, &str)]) -> Self {
        let (sandbox, mut talkback) = sandbox_with_keys().await;
        talkback
            .set("SPEECH_PROVIDERS", "sync")
            .set("WEB_ADDRESS", "127.0.0.1:0");
        for (variable, value) in settings {
            talkback.set(variable, value);
        }
        sandbox
            .assemblyai()
            .set_transcript("What is the capital of France?");
        sandbox.openai().set_answer_chunks(["Par", "is."]);
        let (child, address) = launch(&talkback).await;
        Self {
            sandbox,
            address,
            browser: Client::builder().no_proxy().build().expect("a client"),
            child,
            talkback,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        let request = self.browser.get(self.url(path));
        request.send().await.expect("an answer")
    }

    /// A question as the page sends it.
    pub(crate) fn question_request(&self, form: Form) -> RequestBuilder {
        self.browser
            .post(self.url("/ask"))
            .header(ORIGIN, format!("http://{}", self.address))
            .header(HOST, &self.address)
            .multipart(form)
    }

    /// Asks, and reads the answer to its end.
    pub(crate) async fn ask(&self, form: Form) -> EventStreamBody {
        let response = self.question_request(form).send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        EventStreamBody::read(&response.text().await.expect("lines"))
    }

    /// Begins to send a recording while it is being made.
    pub(crate) async fn start_recording(&self) -> StreamedRecording<'_> {
        let form = conversation_form(&[]).text("coming", "");
        let mut response = self.question_request(form).send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        let mut lines = String::new();
        while !lines.contains('\n') {
            let piece = response.chunk().await.expect("lines").expect("a line");
            lines += std::str::from_utf8(&piece).expect("text");
        }
        let told = EventStreamBody::read(lines.lines().next().expect("a line"));
        let place = told.event("coming")["id"].as_str().expect("an id");
        StreamedRecording {
            page: self,
            id: place.to_owned(),
            sent_bytes: 0,
            response,
            lines,
        }
    }

    /// Asks what can't be asked; the status and the sentence.
    pub(crate) async fn ask_rejected(&self, form: Form) -> (u16, String) {
        let response = self.question_request(form).send().await.expect("an answer");
        let status = response.status().as_u16();
        let body: Value = response.json().await.expect("JSON");
        let sentence = body["error"].as_str().expect("a sentence").to_owned();
        (status, sentence)
    }
}

/// A recording on its way, and the answer that is awaited.
pub(crate) struct StreamedRecording<'a> {
    page: &'a WebFixture,
    pub(crate) id: String,
    pub(crate) sent_bytes: usize,
    response: Response,
    lines: String,
}

impl StreamedRecording<'_> {
    /// Sends a piece; the status.
    pub(crate) async fn send_chunk(&mut self, piece: &[u8], is_last: bool) -> u16 {
        let last = if is_last { "/last" } else { "" };
        let path = format!("/recordings/{}/{}{last}", self.id, self.sent_bytes);
        let request = self.page.browser.post(self.page.url(&path));
        let response = request.body(piece.to_vec()).send().await;
        self.sent_bytes += piece.len();
        response.expect("an answer").status().as_u16()
    }

    /// Reads the answer to its end.
    pub(crate) async fn finish(mut self) -> EventStreamBody {
        while let Some(piece) = self.response.chunk().await.expect("lines") {
            self.lines += std::str::from_utf8(&piece).expect("text");
        }
        EventStreamBody::read(&self.lines)
    }
}

/// Starts `talkback web` and waits until it says where it is.
pub(crate) async fn launch(talkback: &TalkbackCommand) -> (Child, String) {
    let mut child = talkback
        .command(&["web"])
        .stderr(Stdio::inherit())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let line = lines.next_line().await.expect("read").expect("a line");
    let (_, rest) = line.split_once("http://").expect("an address");
    let (address, _) = rest.split_once('/').expect("a path");
    (child, address.to_owned())
}

/// A conversation so far.
pub(crate) fn conversation_form(said: &[(&str, &str)]) -> Form {
    let turns: Vec<Value> = said
        .iter()
        .map(|(role, text)| serde_json::json!({ "role": role, "text": text }))
        .collect();
    Form::new().text("turns", Value::Array(turns).to_string())
}

/// A sample as the page has recorded it.
pub(crate) fn recording_form(name: &str) -> Form {
    let bytes = std::fs::read(sample_path(name)).expect("a sample");
    file_form(bytes, "recording.ogg")
}

pub(crate) fn file_form(bytes: Vec<u8>, name: &str) -> Form {
    let part = Part::bytes(bytes).file_name(name.to_owned());
    conversation_form(&[]).part("recording", part)
}

/// What the page is told, line by line.
pub(crate) struct EventStreamBody(Vec<Value>);

impl EventStreamBody {
    fn read(text: &str) -> Self {
        let line = |line| serde_json::from_str(line).expect("JSON");
        Self(text.lines().map(line).collect())
    }

    /// The names of what happens, each once for as often as it comes in a row.
    pub(crate) fn event_names(&self) -> Vec<&str> {
        let mut story: Vec<&str> = Vec::new();
        for event in &self.0 {
            let name = match event["event"].as_str() {
                Some("stage") => event["stage"].as_str(),
                name => name,
            };
            let name = name.expect("a name");
            if !["progress", "alive"].contains(&name) && story.last() != Some(&name) {
                story.push(name);
            }
        }
        story
    }

    /// The first event of this name.
    pub(crate) fn event(&self, name: &str) -> &Value {
        let found = self.0.iter().find(|event| event["event"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {:?}", self.event_names()))
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.event(name)["text"].as_str().expect("text")
    }

    /// The words of the answer as they came.
    pub(crate) fn answer_text(&self) -> String {
        let partial = self.0.iter().filter(|event| event["event"] == "partial");
        partial.filter_map(|event| event["text"].as_str()).collect()
    }
}
