//! AssemblyAI. [`SyncTranscriber`] sends clips up to two minutes in one HTTP request each;
//! [`PrerecordedTranscriber`] handles longer ones (upload, job, poll); [`StreamingTranscriber`]
//! transcribes live speech over WebSockets.
//!
//! All send the key as `Authorization: <key>`, without `Bearer`, in a header marked sensitive.
//! Wire formats come from the published OpenAPI file of the pre-recorded API and the Sync reference
//! (`docs/api-reference/sync-api`).

mod api_client;
mod error_mapping;
mod file_upload;
mod hints;
mod hosts;
mod live_upload;
mod poll_schedule;
mod prerecorded;
mod settings;
pub mod speech_models;
mod streaming;
mod sync;
mod transcription_job;
mod wire;

pub use hosts::{Hosts, Region};
pub use poll_schedule::PollSchedule;
pub use prerecorded::PrerecordedTranscriber;
pub use settings::AssemblyAiSettings;
pub use streaming::{StreamingSettings, StreamingTranscriber};
pub use sync::SyncTranscriber;
