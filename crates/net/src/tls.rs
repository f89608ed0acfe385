//! TLS for websockets. The HTTP client has its own.

use std::sync::{Arc, OnceLock};

use rustls::{ClientConfig, RootCertStore};

use super::error_cause::ErrorCause;

/// TLS can't be set up.
#[derive(Debug, thiserror::Error)]
#[error("no TLS: {0}")]
pub struct TlsError(#[source] ErrorCause);

/// The TLS configuration with the system's root certificates (or those of the file in
/// `SSL_CERT_FILE`). It is made once, so that later connections can resume earlier TLS sessions.
///
/// # Errors
///
/// [`TlsError`] if the system has no root certificates.
pub async fn websocket_tls_config() -> Result<Arc<ClientConfig>, TlsError> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let built = tokio::task::spawn_blocking(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(TlsError("the system has no certificates".into()));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError(ErrorCause::from_error(&error)))?;
        Ok(Arc::new(
            config.with_root_certificates(roots).with_no_client_auth(),
        ))
    });
    let config = built
        .await
        .map_err(|error| TlsError(ErrorCause::from_error(&error)))??;
    Ok(Arc::clone(CONFIG.get_or_init(|| config)))
}
