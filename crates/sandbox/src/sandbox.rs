//! All servers together, from start to drop.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio_util::sync::CancellationToken;

use crate::assemblyai::{self, AssemblyAi, Surface};
use crate::discord::{self, Discord};
use crate::http_server::serve;
use crate::openai::{self, LlmGateway, OpenAi};
use crate::package_index::{self, PackageIndex};
use crate::recorder::{RecordedRequest, Recorder};

/// The ports of a sandbox; 0 stands for any free one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ports {
    /// AssemblyAI, all three surfaces on one port. With 0 each surface has a port of its own, so
    /// that a client which mixes them up meets a 404, as it would outside.
    pub assemblyai: u16,
    /// OpenAI.
    pub openai: u16,
}

/// The key of AssemblyAI, which its LLM Gateway takes too.
const ASSEMBLYAI_KEY: &str = "sandbox-assemblyai-key";

/// The services that Talkback uses, on loopback sockets.
///
/// The servers run on a thread of their own, so that a test may block. Dropping the sandbox stops
/// them and breaks every connection that is still open.
#[derive(Debug)]
pub struct Sandbox {
    assemblyai: AssemblyAi,
    openai: OpenAi,
    llm_gateway: LlmGateway,
    package_index: PackageIndex,
    discord: Discord,
    recorder: Recorder,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Sandbox {
    /// Servers on free ports, with names and keys of their own.
    pub async fn start() -> Self {
        Self::start_blocking()
    }

    /// The same outside of async code.
    pub fn start_blocking() -> Self {
        Self::bind(Ports::default()).expect("loopback has free ports")
    }

    /// Servers on these ports of the loopback interface.
    ///
    /// # Errors
    ///
    /// If a port is taken or not allowed.
    pub async fn start_on(ports: Ports) -> io::Result<Self> {
        Self::bind(ports)
    }

    fn bind(ports: Ports) -> io::Result<Self> {
        let recorder = Recorder::new();
        let stt = Arc::new(assemblyai::AssemblyAiState::new(ASSEMBLYAI_KEY));
        let llm = Arc::new(openai::OpenAiState::new("sk-sandbox"));

        let (stt_listeners, authorities) = if ports.assemblyai == 0 {
            let (sync, sync_at) = bind_loopback(0)?;
            let (api, api_at) = bind_loopback(0)?;
            let (streaming, streaming_at) = bind_loopback(0)?;
            let listeners = vec![
                (sync, Surface::Sync),
                (api, Surface::Api),
                (streaming, Surface::Streaming),
            ];
            (listeners, [sync_at, api_at, streaming_at])
        } else {
            let (all, at) = bind_loopback(ports.assemblyai)?;
            (vec![(all, Surface::All)], [at.clone(), at.clone(), at])
        };
        let (llm_listener, llm_at) = bind_loopback(ports.openai)?;

        let assemblyai = AssemblyAi::new(Arc::clone(&stt), recorder.clone(), authorities);
        let openai = OpenAi::new(
            Arc::clone(&llm),
            recorder.clone(),
            format!("http://{llm_at}"),
        );

        let gateway = Arc::new(openai::LlmGatewayState::new(ASSEMBLYAI_KEY));
        let (gateway_listener, gateway_at) = bind_loopback(0)?;
        let llm_gateway = LlmGateway::new(
            Arc::clone(&gateway),
            recorder.clone(),
            format!("http://{gateway_at}"),
        );

        let packages = Arc::new(package_index::PackageIndexState::default());
        let (packages_listener, packages_at) = bind_loopback(0)?;
        let registry = PackageIndex::new(
            Arc::clone(&packages),
            recorder.clone(),
            format!("http://{packages_at}"),
        );

        let world = Arc::new(discord::DiscordState::new());
        let (discord, doors) = Discord::bind(Arc::clone(&world), recorder.clone(), || {
            bind_loopback(0).map(|(listener, _)| listener)
        })?;

        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        world.voice.set_runtime(runtime.handle().clone());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let remembering = recorder.clone();
        let serving = async move {
            for (listener, surface) in stt_listeners {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                let host = Arc::new(assemblyai::AssemblyAiHost::new(Arc::clone(&stt), surface));
                tokio::spawn(serve(listener, host, remembering.clone()));
            }
            let listener = tokio::net::TcpListener::from_std(llm_listener)?;
            tokio::spawn(serve(listener, llm, remembering.clone()));
            let listener = tokio::net::TcpListener::from_std(gateway_listener)?;
            tokio::spawn(serve(listener, gateway, remembering.clone()));
            let listener = tokio::net::TcpListener::from_std(packages_listener)?;
            tokio::spawn(serve(listener, packages, remembering.clone()));
            doors.serve(&world, &remembering)?;
            stopped.cancelled().await;
            Ok::<_, io::Error>(())
        };
        let thread = std::thread::Builder::new()
            .name("sandbox".to_owned())
            .spawn(move || {
                // Dropping the runtime then drops every connection.
                runtime
                    .block_on(serving)
                    .expect("the listeners are bound already");
            })?;
        Ok(Self {
            assemblyai,
            openai,
            llm_gateway,
            package_index: registry,
            discord,
            recorder,
            stop,
            thread: Some(thread),
        })
    }

    /// The AssemblyAI server.
    pub fn assemblyai(&self) -> AssemblyAi {
        self.assemblyai.clone()
    }

    /// The OpenAI server.
    pub fn openai(&self) -> OpenAi {
        self.openai.clone()
    }

    /// AssemblyAI's LLM Gateway, on a free port of its own, with AssemblyAI's key.
    pub fn llm_gateway(&self) -> LlmGateway {
        self.llm_gateway.clone()
    }

    /// The package index, on a free port of its own.
    pub fn package_index(&self) -> PackageIndex {
        self.package_index.clone()
    }

    /// Discord, on free ports of its own.
    pub fn discord(&self) -> Discord {
        self.discord.clone()
    }

    /// The `Date` that all servers send is so many seconds ahead of this machine's clock.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.recorder.set_clock_offset(seconds);
    }

    /// The requests to all servers, in the order in which their bodies were complete.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.recorder.requests(None)
    }

    /// Waits for this many requests, at most [`MAX_WAIT`](crate::MAX_WAIT), and returns all there
    /// are.
    pub async fn wait_for_requests(&self, count: usize) -> Vec<RecordedRequest> {
        self.wait_until(|requests| requests.len() >= count).await
    }

    /// Waits until `enough` says so, at most [`MAX_WAIT`](crate::MAX_WAIT), and returns all
    /// requests there are.
    pub async fn wait_until(
        &self,
        enough: impl Fn(&[RecordedRequest]) -> bool,
    ) -> Vec<RecordedRequest> {
        self.recorder.wait_until(None, enough).await
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // It only fails if the servers panicked, which their clients have noticed.
            let _ = thread.join();
        }
    }
}

fn bind_loopback(port: u16) -> io::Result<(TcpListener, String)> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    listener.set_nonblocking(true)?;
    let authority = listener.local_addr()?.to_string();
    Ok((listener, authority))
}
