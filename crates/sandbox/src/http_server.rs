//! Accepting connections.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::connection::BreakableSocket;
use crate::recorder::Recorder;
use crate::request_handler::{MockService, handle_request};

/// The most connections at a time to one server; further ones wait in the system's queue.
const MAX_CONNECTIONS: usize = 1_024;

/// Serves one provider until dropped. Dropping it breaks all its connections.
pub(crate) async fn serve<P: MockService>(
    listener: TcpListener,
    provider: Arc<P>,
    recorder: Recorder,
) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= MAX_CONNECTIONS {
            connections.join_next().await;
            continue;
        }
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, or the client is gone already.
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            continue;
        };
        // Small writes are to arrive as they are made.
        let _ = stream.set_nodelay(true);
        let (socket, connection) = BreakableSocket::new(stream);
        let provider = Arc::clone(&provider);
        let recorder = recorder.clone();
        connections.spawn(async move {
            let service = service_fn(|request| {
                let (provider, recorder) = (&provider, &recorder);
                let connection = &connection;
                async move {
                    Ok::<_, Infallible>(
                        handle_request(&**provider, recorder, request, connection).await,
                    )
                }
            });
            // A broken connection is often just what was asked for.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .with_upgrades()
                .await;
        });
    }
}
