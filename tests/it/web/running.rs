//! `talkback web` as a process, and whoever opens its page.

use std::process::Stdio;

use reqwest::header::{HOST, ORIGIN};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder, Response};
use sandbox::Sandbox;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::support::{Talkback, sample, with_keys};

/// A running page. Dropping it ends it.
pub(crate) struct Page {
    pub(crate) sandbox: Sandbox,
    pub(crate) address: String,
    pub(crate) browser: Client,
    pub(crate) child: Child,
    pub(crate) talkback: Talkback,
}

impl Page {
    /// A page on the sandbox's providers, which hear and answer about France.
    pub(crate) async fn open() -> Self {
        Self::open_with(&[]).await
    }

    pub(crate) async fn open_with(settings: &[(&str, &str)]) -> Self {
        let (sandbox, mut talkback) = with_keys().await;
        talkback
            .set("SPEECH_PROVIDERS", "sync")
            .set("WEB_ADDRESS", "127.0.0.1:0");
        for (variable, value) in settings {
            talkback.set(variable, value);
        }
        sandbox.assemblyai().hears("What is the capital of France?");
        sandbox.openai().says_pieces(["Par", "is."]);
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
    pub(crate) fn question(&self, form: Form) -> RequestBuilder {
        self.browser
            .post(self.url("/ask"))
            .header(ORIGIN, format!("http://{}", self.address))
            .header(HOST, &self.address)
            .multipart(form)
    }

    /// Asks, and reads the answer to its end.
    pub(crate) async fn ask(&self, form: Form) -> Told {
        let response = self.question(form).send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        Told::read(&response.text().await.expect("lines"))
    }

    /// Begins to send a recording while it is being made.
    pub(crate) async fn records(&self) -> Recording<'_> {
        let form = turns(&[]).text("coming", "");
        let mut response = self.question(form).send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        let mut lines = String::new();
        while !lines.contains('\n') {
            let piece = response.chunk().await.expect("lines").expect("a line");
            lines += std::str::from_utf8(&piece).expect("text");
        }
        let told = Told::read(lines.lines().next().expect("a line"));
        let place = told.event("coming")["id"].as_str().expect("an id");
        Recording {
            page: self,
            place: place.to_owned(),
            sent: 0,
            response,
            lines,
        }
    }

    /// Asks what can't be asked; the status and the sentence.
    pub(crate) async fn is_refused(&self, form: Form) -> (u16, String) {
        let response = self.question(form).send().await.expect("an answer");
        let status = response.status().as_u16();
        let body: Value = response.json().await.expect("JSON");
        let sentence = body["error"].as_str().expect("a sentence").to_owned();
        (status, sentence)
    }
}

/// A recording on its way, and the answer that is awaited.
pub(crate) struct Recording<'a> {
    page: &'a Page,
    pub(crate) place: String,
    pub(crate) sent: usize,
    response: Response,
    lines: String,
}

impl Recording<'_> {
    /// Sends a piece; the status.
    pub(crate) async fn sends(&mut self, piece: &[u8], is_last: bool) -> u16 {
        let last = if is_last { "/last" } else { "" };
        let path = format!("/recordings/{}/{}{last}", self.place, self.sent);
        let request = self.page.browser.post(self.page.url(&path));
        let response = request.body(piece.to_vec()).send().await;
        self.sent += piece.len();
        response.expect("an answer").status().as_u16()
    }

    /// Reads the answer to its end.
    pub(crate) async fn told(mut self) -> Told {
        while let Some(piece) = self.response.chunk().await.expect("lines") {
            self.lines += std::str::from_utf8(&piece).expect("text");
        }
        Told::read(&self.lines)
    }
}

/// Starts `talkback web` and waits until it says where it is.
pub(crate) async fn launch(talkback: &Talkback) -> (Child, String) {
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
pub(crate) fn turns(said: &[(&str, &str)]) -> Form {
    let turns: Vec<Value> = said
        .iter()
        .map(|(role, text)| serde_json::json!({ "role": role, "text": text }))
        .collect();
    Form::new().text("turns", Value::Array(turns).to_string())
}

/// A sample as the page has recorded it.
pub(crate) fn recorded(name: &str) -> Form {
    let bytes = std::fs::read(sample(name)).expect("a sample");
    with_file(bytes, "recording.ogg")
}

pub(crate) fn with_file(bytes: Vec<u8>, name: &str) -> Form {
    let part = Part::bytes(bytes).file_name(name.to_owned());
    turns(&[]).part("recording", part)
}

/// What the page is told, line by line.
pub(crate) struct Told(Vec<Value>);

impl Told {
    fn read(text: &str) -> Self {
        let line = |line| serde_json::from_str(line).expect("JSON");
        Self(text.lines().map(line).collect())
    }

    /// The names of what happens, each once for as often as it comes in a row.
    pub(crate) fn story(&self) -> Vec<&str> {
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
        found.unwrap_or_else(|| panic!("no {name} in {:?}", self.story()))
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.event(name)["text"].as_str().expect("text")
    }

    /// The words of the answer as they came.
    pub(crate) fn streamed(&self) -> String {
        let partial = self.0.iter().filter(|event| event["event"] == "partial");
        partial.filter_map(|event| event["text"].as_str()).collect()
    }
}
