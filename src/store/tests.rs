//! Tests of the ledger by topic, and their helpers.

mod cipher;
mod deletion;
mod files;
mod guilds;
mod jobs;
mod usage;

use std::path::Path;

use super::*;

const NOON: Timestamp = Timestamp(1_800_000_000_000);
const DAY: i64 = 86_400_000;
const ANA: u64 = u64::MAX - 7;
const WORDS: &str = "the quick brown heron";

async fn open(folder: &Path) -> Store {
    Store::open(folder, None).await.expect("a ledger").0
}

fn job_details(source: u64) -> JobDetails {
    JobDetails {
        source,
        guild: Some(1),
        channel: 2,
        author: ANA,
        payload: format!("payload: {WORDS}"),
        referenced: None,
    }
}

fn accepted_id(accepted: AcceptOutcome) -> JobId {
    let job = match accepted {
        AcceptOutcome::New(job) | AcceptOutcome::Duplicate(job) => Some(job),
        AcceptOutcome::Withdrawn => None,
    };
    job.expect("taken on")
}

async fn accept(store: &Store, source: u64) -> JobId {
    accepted_id(
        store
            .accept_job(&job_details(source), NOON)
            .await
            .expect("accepted"),
    )
}

fn turn(message: u64, parent: Option<u64>, role: TurnRole) -> StoredTurn {
    StoredTurn {
        message,
        parent,
        guild: Some(1),
        channel: 2,
        author: ANA,
        role,
        name: "Ana".to_owned(),
        text: format!("{WORDS} {message}"),
        at: Timestamp(NOON.0 + message.cast_signed()),
    }
}

fn usage_entry(job: JobId, generation: u32, at: Timestamp) -> UsageEntry {
    UsageEntry {
        call: None,
        account: UsageAccount::Job { job, generation },
        stage: UsageStage::Speech,
        guild: Some(1),
        author: ANA,
        day: at.day(),
        usage: Usage {
            audio_ms: 60_000,
            tokens_in: 10,
            tokens_out: 20,
            micros: 5_000,
        },
    }
}

/// The contents of all files of the ledger.
fn file_bytes(folder: &Path) -> Vec<u8> {
    std::fs::read_dir(folder)
        .expect("a folder")
        .flat_map(|file| std::fs::read(file.expect("an entry").path()).expect("readable"))
        .collect()
}

fn files_contain(folder: &Path, text: &str) -> bool {
    file_bytes(folder)
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

async fn record_usage(store: &Store, entry: &UsageEntry) {
    store.record_usage(entry).await.expect("booked");
}
