//! The program on its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::support::{client, send_json, sse_payloads, stream_text};

struct SandboxProcess(Child);

impl Drop for SandboxProcess {
    fn drop(&mut self) {
        // Already gone is fine too.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn other_clients_can_be_pointed_at_it() {
    let folder = std::env::temp_dir();
    let authority = folder.join(format!("sandbox-authority-{}.pem", std::process::id()));
    let child = Command::new(env!("CARGO_BIN_EXE_sandbox"))
        .args([
            "--authority",
            &authority.to_string_lossy(),
            "--says",
            "Good day.",
            "--fault",
            "chat:503x1",
            "--fault",
            "chat:no-done",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut running = SandboxProcess(child);
    let out = running.0.stdout.take().expect("a pipe");
    let mut lines = BufReader::new(out).lines().map(|line| line.expect("text"));
    let settings: Vec<(String, String)> = lines
        .by_ref()
        .take_while(|line| !line.contains("Ctrl-C"))
        .filter_map(|line| {
            let (name, value) = line.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        })
        .collect();
    let setting = |wanted: &str| {
        let found = settings.iter().find(|(name, _)| name == wanted);
        found.expect("every setting is printed").1.clone()
    };
    assert_eq!(settings.len(), 10);
    let ask = || {
        client()
            .post(format!("{}/chat/completions", setting("OPENAI_BASE_URL")))
            .bearer_auth(setting("OPENAI_API_KEY"))
            .json(&json!({
                "model": "gpt-6-luna",
                "stream": true,
                "messages": [{"role": "user", "content": "Hello"}],
            }))
    };
    assert_eq!(send_json(ask()).await.0, 503);
    let stream = ask()
        .send()
        .await
        .expect("an answer")
        .text()
        .await
        .expect("a stream");
    assert_eq!(stream_text(&stream), "Good day.");
    assert_ne!(
        sse_payloads(&stream).last().map(String::as_str),
        Some("[DONE]")
    );
    let told = lines.next().expect("a line for each request");
    assert!(told.starts_with("POST /v1/chat/completions ("), "{told}");
}

#[test]
fn a_port_that_is_taken_is_one_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_sandbox"))
        .args(["--openai-port", &port])
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.starts_with("sandbox: can't listen"), "{error}");
}
