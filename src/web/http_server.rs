//! An HTTP server at one address, with the auth layer and limits in front of its routes.

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

/// The limit on the sign-in form, in bytes.
const MAX_SIGN_IN_BYTES: usize = 4_096;

/// A running server. Dropping it stops it.
pub struct HttpServer {
    address: SocketAddr,
    task: AbortOnDropHandle<()>,
}

impl HttpServer {
    /// Serves `routes` at `address`: to anyone with the token, or to this machine only if there is
    /// none.
    ///
    /// # Errors
    ///
    /// If the address can't be bound.
    pub async fn bind(
        address: SocketAddr,
        token: Option<&SecretString>,
        routes: Router,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let auth = AuthLayer::new(token);
        let sign_in = post(auth_layer::sign_in).layer(DefaultBodyLimit::max(MAX_SIGN_IN_BYTES));
        let mut router = Router::new().route(SIGN_IN_PATH, sign_in);
        for asset in SHARED_ASSETS {
            router = router.route(asset.path, get(async move || asset));
        }
        let router = router
            .with_state(auth.clone())
            .merge(routes)
            .layer(middleware::from_fn_with_state(auth, auth_layer::authorize));
        let task =
            tokio::spawn(async move { match super::listener::serve(listener, router).await {} });
        Ok(Self {
            address,
            task: AbortOnDropHandle::new(task),
        })
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the server stops, which without an error it does only when dropped.
    pub async fn wait_until_ended(self) {
        let _ = self.task.await;
    }
}
