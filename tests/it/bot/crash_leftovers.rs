//! What a process that is killed leaves behind.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use sandbox::{AssemblyAiEndpoint, Fault, Sandbox};
use tokio::io::AsyncWriteExt;

use super::harness::{BotFixture, question_recording};
use crate::support::{TalkbackCommand, sandbox_with_keys};

/// Bytes of a recording that stand in no other file by chance.
const MIN_MATCH_BYTES: usize = 64;

/// The files in and under `folder` that hold a part of the recording.
fn files_containing(folder: &Path, recording: &[u8]) -> Vec<PathBuf> {
    let part = &recording[recording.len() / 2..][..MIN_MATCH_BYTES];
    let mut folders = vec![folder.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path)
                && bytes.windows(MIN_MATCH_BYTES).any(|it| it == part)
            {
                found.push(path);
            }
        }
    }
    found
}

/// Waits until somebody listens to the recording, which takes for ever.
async fn wait_for_transcription(sandbox: &Sandbox) {
    let heard = async {
        loop {
            let requests = sandbox.assemblyai().requests();
            if requests
                .iter()
                .any(|it| it.method == "POST" && it.path.contains("transcri"))
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let limit = Duration::from_secs(30);
    tokio::time::timeout(limit, heard).await.expect("heard");
}

fn hang_transcription(sandbox: &Sandbox) {
    for endpoint in [AssemblyAiEndpoint::Sync, AssemblyAiEndpoint::Transcript] {
        sandbox
            .assemblyai()
            .add_fault(endpoint, Fault::hang().always());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_bot_leaves_no_recording() {
    for providers in ["sync", "prerecorded"] {
        let mut scene = BotFixture::new().await;
        scene.set("SPEECH_PROVIDERS", providers);
        let bot = scene.start().await;
        hang_transcription(&scene.sandbox);
        let before = scene.sandbox.assemblyai().requests().len();
        let channel = scene.ana.dm_channel();
        scene
            .ana
            .send_voice_message(&channel, question_recording())
            .await;
        let arrived = async {
            while scene.sandbox.assemblyai().requests().len() <= before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let limit = Duration::from_secs(30);
        tokio::time::timeout(limit, arrived).await.expect("heard");
        let folder = scene.data().parent().expect("a folder").to_owned();
        assert_eq!(
            files_containing(&folder, &question_recording()),
            Vec::<PathBuf>::new()
        );
        bot.kill().await;
        assert_eq!(
            files_containing(&folder, &question_recording()),
            Vec::<PathBuf>::new()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_command_leaves_no_recording() {
    let (sandbox, mut talkback) = sandbox_with_keys().await;
    talkback.set("SPEECH_PROVIDERS", "sync");
    hang_transcription(&sandbox);
    let mut child = talkback
        .command(&["transcribe", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(&question_recording()).await.expect("piped");
    drop(stdin);
    wait_for_transcription(&sandbox).await;
    child.kill().await.expect("it ran");
    assert_eq!(leftover_files(&talkback), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_page_leaves_no_recording() {
    let mut page = crate::web::harness::WebFixture::start().await;
    hang_transcription(&page.sandbox);
    let before = page.sandbox.assemblyai().requests().len();
    let asked = page.question_request(crate::web::harness::recording_form("question.ogg"));
    let asking = tokio::spawn(asked.send());
    let arrived = async {
        while page.sandbox.assemblyai().requests().len() <= before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let limit = Duration::from_secs(30);
    tokio::time::timeout(limit, arrived).await.expect("heard");
    page.child.kill().await.expect("it ran");
    asking.abort();
    assert_eq!(leftover_files(&page.talkback), Vec::<PathBuf>::new());
}

fn leftover_files(talkback: &TalkbackCommand) -> Vec<PathBuf> {
    files_containing(talkback.folder(), &question_recording())
}
