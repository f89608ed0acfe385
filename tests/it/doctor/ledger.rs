//! What is wrong with the ledger, or with the disk it lies on.

use std::path::Path;

use talkback::store::Store;

use super::lines_starting_with;
use crate::bot::harness::BotFixture;
use crate::support::CommandOutput;

async fn scene_with_ledger() -> BotFixture {
    let scene = BotFixture::new().await;
    let (store, _) = Store::open(&scene.data(), None).await.expect("a ledger");
    store.close().await;
    scene
}

async fn run_doctor(scene: &BotFixture) -> CommandOutput {
    scene.run(&["doctor"]).await
}

fn folder_contents(folder: &Path) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let files = std::fs::read_dir(folder).expect("a folder");
    let mut files: Vec<_> = files
        .map(|file| {
            let file = file.expect("a file");
            let bytes = std::fs::read(file.path()).expect("readable");
            (file.file_name(), bytes)
        })
        .filter(|(_, bytes)| !bytes.is_empty())
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn doctor_does_not_modify_the_ledger() {
    let scene = scene_with_ledger().await;
    let before = folder_contents(&scene.data());

    let screen = run_doctor(&scene).await;

    assert_eq!(screen.exit_code, Some(0), "{screen:?}");
    let whole = "ok    ledger: intact, from this version, and its key is right";
    assert_eq!(lines_starting_with(&screen, "ok    ledger"), [whole]);
    let after = folder_contents(&scene.data());
    assert!(
        before.iter().all(|file| after.contains(file)),
        "something was changed"
    );
}

#[tokio::test]
async fn damaged_ledger_is_reported() {
    let scene = scene_with_ledger().await;
    let path = scene.data().join("talkback.db");
    let mut bytes = std::fs::read(&path).expect("a ledger");
    bytes[4_096..].fill(0xa5);
    std::fs::write(&path, bytes).expect("written");

    let screen = run_doctor(&scene).await;

    assert_eq!(screen.exit_code, Some(1), "{screen:?}");
    let told = "FAIL  ledger: The ledger is damaged. Restore it from your backup, or set \
                TALKBACK_DATA to an empty folder.";
    assert_eq!(lines_starting_with(&screen, "FAIL"), [told]);
}

#[tokio::test]
async fn a_key_that_is_wrong_or_gone() {
    let mut scene = scene_with_ledger().await;
    let file = scene.data().join("talkback.key");
    let right = std::fs::read_to_string(&file).expect("a key");

    std::fs::remove_file(&file).expect("removed");
    let screen = run_doctor(&scene).await;
    assert_eq!(screen.exit_code, Some(1), "{screen:?}");
    assert_eq!(
        lines_starting_with(&screen, "FAIL  ledger: The ledger is here, but").len(),
        1
    );
    assert!(!file.exists(), "a key was made");

    scene.set(
        "TALKBACK_KEY",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    );
    let screen = run_doctor(&scene).await;
    assert_eq!(screen.exit_code, Some(1), "{screen:?}");
    let told = "FAIL  ledger: The ledger was written with another key.";
    assert_eq!(lines_starting_with(&screen, told).len(), 1, "{screen:?}");

    scene.set("TALKBACK_KEY", right.trim());
    let screen = run_doctor(&scene).await;
    assert_eq!(screen.exit_code, Some(0), "{screen:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_key_that_others_can_read() {
    use std::os::unix::fs::PermissionsExt;
    let scene = scene_with_ledger().await;
    let file = scene.data().join("talkback.key");
    let mode = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&file, mode).expect("changed");

    let screen = run_doctor(&scene).await;

    assert_eq!(screen.exit_code, Some(0), "{screen:?}");
    let told = lines_starting_with(&screen, "warn  key: Other users of this machine can read ");
    assert_eq!(told.len(), 1, "{screen:?}");
    assert!(told[0].ends_with("talkback.key`."), "{told:?}");
}

#[tokio::test]
async fn full_disk_is_reported() {
    let scene = BotFixture::new().await;
    let Some(mut command) = scene.on_a_small_disk("doctor") else {
        return;
    };

    let screen = CommandOutput::from(command.output().await.expect("it starts"));

    assert_eq!(screen.exit_code, Some(1), "{screen:?}");
    let told = "FAIL  TALKBACK_DATA: The disk is almost full: ";
    assert_eq!(lines_starting_with(&screen, told).len(), 1, "{screen:?}");
}
