//! One address, what is served there, and what keeps it safe.

use std::io;
use std::net::SocketAddr;

use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use axum::{Router, middleware};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::assets::SHARED_ASSETS;
use super::auth_layer::{self, AuthLayer, SIGN_IN_PATH};
use super::listener;

/// The most bytes of a token and its name.
const MAX_SIGN_IN_BYTES: usize = 4_096;

/// Something that is served; dropping it ends it.
pub struct HttpServer {
    address: SocketAddr,
    task: AbortOnDropHandle<()>,
}

impl HttpServer {
    /// Serves `routes` at `address`, to whoever knows the token, or without one to this machine.
    ///
    /// # Errors
    ///
    /// If the address can't be had.
    pub async fn bind(
        address: SocketAddr,
        token: Option<&SecretString>,
        routes: Router,
    ) -> io::Result<Self> {
        let tcp = TcpListener::bind(address).await?;
        let address = tcp.local_addr()?;
        let guard = AuthLayer::new(token);
        let signing_in = post(auth_layer::sign_in).layer(DefaultBodyLimit::max(MAX_SIGN_IN_BYTES));
        let mut router = Router::new().route(SIGN_IN_PATH, signing_in);
        for asset in SHARED_ASSETS {
            router = router.route(asset.path, get(async move || asset));
        }
        let router = router
            .with_state(guard.clone())
            .merge(routes)
            .layer(middleware::from_fn_with_state(guard, auth_layer::authorize));
        let serving = tokio::spawn(async move { match listener::serve(tcp, router).await {} });
        Ok(Self {
            address,
            task: AbortOnDropHandle::new(serving),
        })
    }

    /// Where it serves.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it serves no more, which is not before it is dropped unless something breaks.
    pub async fn wait_until_ended(self) {
        let _ = self.task.await;
    }
}
