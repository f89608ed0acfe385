//! What a process that is killed leaves behind.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use sandbox::{Endpoint, Fault, Sandbox};
use tokio::io::AsyncWriteExt;

use super::running::{Scene, question};
use crate::support::{Talkback, with_keys};

/// Bytes of a recording that stand in no other file by chance.
const TELLING: usize = 64;

/// The files in and under `folder` that hold a part of the recording.
fn holding(folder: &Path, recording: &[u8]) -> Vec<PathBuf> {
    let part = &recording[recording.len() / 2..][..TELLING];
    let mut folders = vec![folder.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path)
                && bytes.windows(TELLING).any(|it| it == part)
            {
                found.push(path);
            }
        }
    }
    found
}

/// Waits until somebody listens to the recording, which takes for ever.
async fn until_heard(sandbox: &Sandbox) {
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

fn listens_for_ever(sandbox: &Sandbox) {
    for endpoint in [Endpoint::Sync, Endpoint::Transcript] {
        sandbox.assemblyai().fault(endpoint, Fault::hang().always());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_bot_leaves_no_recording() {
    for providers in ["sync", "prerecorded"] {
        let mut scene = Scene::new().await;
        scene.set("SPEECH_PROVIDERS", providers);
        let bot = scene.start().await;
        listens_for_ever(&scene.sandbox);
        let before = scene.sandbox.assemblyai().requests().len();
        let channel = scene.ana.direct();
        scene.ana.sends_voice_note(&channel, question()).await;
        let arrived = async {
            while scene.sandbox.assemblyai().requests().len() <= before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let limit = Duration::from_secs(30);
        tokio::time::timeout(limit, arrived).await.expect("heard");
        let folder = scene.data().parent().expect("a folder").to_owned();
        assert_eq!(holding(&folder, &question()), Vec::<PathBuf>::new());
        bot.dies().await;
        assert_eq!(holding(&folder, &question()), Vec::<PathBuf>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_command_leaves_no_recording() {
    let (sandbox, mut talkback) = with_keys().await;
    talkback.set("SPEECH_PROVIDERS", "sync");
    listens_for_ever(&sandbox);
    let mut child = talkback
        .command(&["transcribe", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(&question()).await.expect("piped");
    drop(stdin);
    until_heard(&sandbox).await;
    child.kill().await.expect("it ran");
    assert_eq!(left(&talkback), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_page_leaves_no_recording() {
    let mut page = crate::web::running::Page::open().await;
    listens_for_ever(&page.sandbox);
    let before = page.sandbox.assemblyai().requests().len();
    let asked = page.question(crate::web::running::recorded("question.ogg"));
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
    assert_eq!(left(&page.talkback), Vec::<PathBuf>::new());
}

fn left(talkback: &Talkback) -> Vec<PathBuf> {
    holding(talkback.folder(), &question())
}
