//! The services that Talkback uses, as real servers on loopback sockets.
//!
//! For tests and for trying things out without a key. The servers answer as the providers publish
//! it, refuse what the real ones refuse, and do what a test script says: what is heard, what is
//! answered, how slowly, and what goes wrong. Every request is recorded.
//!
//! ```no_run
//! # async fn story() {
//! use sandbox::{AssemblyAiEndpoint, Fault, Sandbox};
//!
//! let sandbox = Sandbox::start().await;
//! let stt = sandbox.assemblyai();
//! stt.set_transcript("What is the capital of France?");
//! stt.add_fault(AssemblyAiEndpoint::Sync, Fault::status(429).retry_after(1).times(2));
//! sandbox.openai().says("Paris.");
//! // ... point a client at `stt.sync_url()` with `stt.key()` ...
//! let requests = sandbox.wait_for_requests(3).await;
//! assert_eq!(requests[0].path, "/v1/transcribe");
//! # }
//! ```
//!
//! In reading order: [`Sandbox`] starts and stops everything; `request_handler` is what every request
//! passes, whatever the service; [`Fault`] is what goes wrong on the way; `assemblyai`, `openai`,
//! `package_index` and `discord` are the services. A further one is a module beside these that
//! implements `request_handler::MockService`.

mod assemblyai;
mod connection;
mod discord;
mod fault;
mod gate;
mod http_server;
mod mock_response;
mod multipart;
mod openai;
mod package_index;
mod recorder;
mod request_handler;
pub mod requirements;
mod sandbox;
mod subprocess;

pub use assemblyai::{
    AssemblyAi, AssemblyAiEndpoint, StreamingSession, StreamingSessionEnd, SyncLiveUpload,
    SyncLiveUploadEnd,
};
pub use discord::{
    Channel, Discord, DiscordEndpoint, ExternalSender, ForwardedPacket, Guild, InteractionResponse,
    Message, OngoingSpeech, OpenMic, TestUser, VoiceClient, VoiceConnectionInfo, VoiceNetwork,
    Webhook, opus_packets,
};
pub use fault::Fault;
pub use gate::Gate;
pub use multipart::FormPart;
pub use openai::{Dialect, ListedModel, LlmGateway, OpenAi, OpenAiEndpoint};
pub use package_index::{PackageIndex, PackageIndexEndpoint};
pub use recorder::{
    MAX_BODY_BYTES, MAX_RECORDED_REQUESTS, MAX_TOTAL_BODY_BYTES, MAX_WAIT, RecordedRequest,
    ResponseOutcome, Server,
};
pub use sandbox::{Ports, Sandbox};
pub use subprocess::run_in_subprocess;
