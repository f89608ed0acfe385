//! The services that Talkback uses, as real servers on loopback sockets.
//!
//! For tests and for trying things out without a key. The servers answer as the providers publish
//! it, refuse what the real ones refuse, and do what a test script says: what is heard, what is
//! answered, how slowly, and what goes wrong. Every request is recorded.
//!
//! ```no_run
//! # async fn story() {
//! use sandbox::{Endpoint, Fault, Sandbox};
//!
//! let sandbox = Sandbox::start().await;
//! let stt = sandbox.assemblyai();
//! stt.hears("What is the capital of France?");
//! stt.fault(Endpoint::Sync, Fault::status(429).retry_after(1).times(2));
//! sandbox.openai().says("Paris.");
//! // ... point a client at `stt.sync_url()` with `stt.key()` ...
//! let requests = sandbox.wait_for_requests(3).await;
//! assert_eq!(requests[0].path, "/v1/transcribe");
//! # }
//! ```
//!
//! In reading order: [`Sandbox`] starts and stops everything; `exchange` is what one request goes
//! through whatever the provider; [`Fault`] is what goes wrong on the way; `assemblyai`,
//! `openai`, `registry` (a package index) and `discord` are the providers. A further provider is a module
//! beside these that implements `exchange::Provider`.

mod alone;
mod answer;
mod assemblyai;
mod connection;
mod discord;
mod exchange;
mod fault;
mod gate;
mod multipart;
pub mod needs;
mod openai;
mod recorder;
mod registry;
mod sandbox;
mod server;

pub use alone::alone;
pub use assemblyai::{AssemblyAi, Endpoint, LiveSession, LiveUpload, SessionEnd, UploadEnd};
pub use discord::{
    Channel, Discord, DiscordEndpoint, ExternalAuthority, Guild, Message, OpenMic, Passed, Person,
    Response, Speech, VoiceClient, VoiceInvitation, VoiceNetwork, Webhook, opus_packets,
};
pub use fault::Fault;
pub use gate::Gate;
pub use multipart::Part;
pub use openai::{Dialect, LlmGateway, Model, OpenAi, OpenAiEndpoint};
pub use recorder::{MAX_BODIES, MAX_BODY, MAX_REQUESTS, MAX_WAIT, Outcome, Recorded, Server};
pub use registry::{Registry, RegistryEndpoint};
pub use sandbox::{Ports, Sandbox};
