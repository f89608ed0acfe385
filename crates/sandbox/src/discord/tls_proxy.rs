//! The other ways in: TLS under Discord's own names, and a proxy that leads there.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Where sessions begin.
const GATEWAY_HOST: &str = "gateway.discord.gg";

/// Where a session that began there goes on.
pub(super) const RESUME_GATEWAY_HOST: &str = "gateway-us-east1-b.discord.gg";

/// The names that the certificate is for.
const DISCORD_HOSTS: [&str; 6] = [
    "discord.com",
    GATEWAY_HOST,
    RESUME_GATEWAY_HOST,
    "cdn.discordapp.com",
    "media.discordapp.net",
    "localhost",
];

/// The longest head of a request to the proxy.
const MAX_PROXY_HEAD: usize = 8 * 1024;

/// A certificate, and the authority that vouches for it.
pub(super) struct TlsCertificate {
    /// The authority's certificate, PEM.
    pub(super) authority_pem: String,
    config: Arc<ServerConfig>,
}

impl TlsCertificate {
    pub(super) fn new() -> Self {
        let authority_key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        // With one name for both, OpenSSL takes the certificate for its own issuer.
        params.distinguished_name = distinguished_name("sandbox authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&authority_key).expect("a certificate");
        let pem = authority.pem();
        let issuer = Issuer::new(params, authority_key);

        let key = KeyPair::generate().expect("a key");
        let names = DISCORD_HOSTS.map(str::to_owned).to_vec();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name = distinguished_name("sandbox");
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("key and certificate fit");
        Self {
            authority_pem: pem,
            config: Arc::new(config),
        }
    }
}

fn distinguished_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// What is behind TLS.
#[derive(Clone, Copy, Debug)]
pub(super) struct TlsBackends {
    pub(super) rest: SocketAddr,
    pub(super) gateway: SocketAddr,
}

impl TlsBackends {
    /// Where whoever asks for this name is led.
    fn backend_for(self, name: Option<&str>) -> SocketAddr {
        match name {
            Some(GATEWAY_HOST | RESUME_GATEWAY_HOST) => self.gateway,
            _ => self.rest,
        }
    }
}

/// Takes TLS off and passes on what is inside.
pub(super) async fn serve_tls(
    listener: TcpListener,
    certificate: Arc<ServerConfig>,
    behind: TlsBackends,
) {
    let acceptor = TlsAcceptor::from(certificate);
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        let acceptor = acceptor.clone();
        connections.spawn(async move {
            let mut inside = acceptor.accept(stream).await?;
            let to = behind.backend_for(inside.get_ref().1.server_name());
            let mut behind = TcpStream::connect(to).await?;
            behind.set_nodelay(true)?;
            copy_bidirectional(&mut inside, &mut behind).await
        });
    }
}

/// A proxy that leads to Discord's names here and to loopback, and nowhere else: with `CONNECT`, and
/// without for plain HTTP to loopback.
pub(super) async fn serve_proxy(listener: TcpListener, tls: SocketAddr) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        connections.spawn(tunnel(stream, tls));
    }
}

async fn tunnel(mut stream: TcpStream, tls: SocketAddr) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > MAX_PROXY_HEAD {
            return Ok(());
        }
        head.push(stream.read_u8().await?);
    }
    let text = String::from_utf8_lossy(&head);
    let mut words = text.split_whitespace();
    let (method, target) = (words.next(), words.next().unwrap_or_default());
    let plain = target
        .strip_prefix("http://")
        .or_else(|| target.strip_prefix("ws://"));
    let target = match plain {
        Some(plain) => plain.split(['/', '?']).next().unwrap_or_default(),
        None => target,
    };
    let host = target.rsplit_once(':').map_or(target, |(host, _)| host);
    let to = match host {
        _ if plain.is_none() && method != Some("CONNECT") => None,
        "127.0.0.1" | "localhost" => target.replace("localhost", "127.0.0.1").parse().ok(),
        host if plain.is_none() && DISCORD_HOSTS.contains(&host) => Some(tls),
        _ => None,
    };
    let Some(to) = to else {
        return stream
            .write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
            .await;
    };
    let mut behind = TcpStream::connect(to).await?;
    behind.set_nodelay(true)?;
    if plain.is_some() {
        // Servers take the whole address as they take the path.
        behind.write_all(&head).await?;
    } else {
        stream
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .await?;
    }
    copy_bidirectional(&mut stream, &mut behind).await?;
    Ok(())
}

impl TlsCertificate {
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}
