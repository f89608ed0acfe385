//! One address, what is served there, and what keeps it safe.

use std::io;
use std::net::SocketAddr;

use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use axum::{Router, middleware};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::assets::COMMON;
use super::guard::{self, Guard, SIGN_IN_PATH};
use super::listener;

/// The most bytes of a token and its name.
const MAX_SIGN_IN: usize = 4_096;

/// Something that is served; dropping it ends it.
pub struct Site {
    address: SocketAddr,
    serving: AbortOnDropHandle<()>,
}

impl Site {
    /// Serves `routes` at `address`, to whoever knows the token, or without one to this machine.
    ///
    /// # Errors
    ///
    /// If the address can't be had.
    pub async fn open(
        address: SocketAddr,
        token: Option<&SecretString>,
        routes: Router,
    ) -> io::Result<Self> {
        let tcp = TcpListener::bind(address).await?;
        let address = tcp.local_addr()?;
        let guard = Guard::new(token);
        let signing_in = post(guard::sign_in).layer(DefaultBodyLimit::max(MAX_SIGN_IN));
        let mut router = Router::new().route(SIGN_IN_PATH, signing_in);
        for asset in COMMON {
            router = router.route(asset.path, get(async move || asset));
        }
        let router = router
            .with_state(guard.clone())
            .merge(routes)
            .layer(middleware::from_fn_with_state(guard, guard::guard));
        let serving = tokio::spawn(async move { match listener::serve(tcp, router).await {} });
        Ok(Self {
            address,
            serving: AbortOnDropHandle::new(serving),
        })
    }

    /// Where it serves.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it serves no more, which is not before it is dropped unless something breaks.
    pub async fn ended(self) {
        let _ = self.serving.await;
    }
}
