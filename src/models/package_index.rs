//! Looks up a wheel's URL in the package index: the JSON form of the Simple Repository API (PEP
//! 691).

use std::time::Duration;

use reqwest::header::ACCEPT;
use serde::Deserialize;
use url::{Host, Url};

use super::{ModelError, PythonWheel};
use net::{self, NetError, RetryPolicy, with_retries};

const JSON: &str = "application/vnd.pypi.simple.v1+json";

/// Time limit of the index's response.
const INDEX_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct ProjectPage {
    files: Vec<ProjectFile>,
}

#[derive(Deserialize)]
struct ProjectFile {
    filename: String,
    url: String,
}

/// The URL of `wheel`. The checksum from the index is ignored: only the catalogue's counts.
pub(super) async fn find_wheel_url(
    http: &reqwest::Client,
    index: &Url,
    wheel: &PythonWheel,
    retry: &RetryPolicy,
) -> Result<Url, ModelError> {
    let mut page = index.clone();
    let base = page.path().trim_end_matches('/').to_owned();
    page.set_path(&format!("{base}/{}/", wheel.package));
    let project: ProjectPage = with_retries(retry, NetError::retry_advice, || async {
        let request = http
            .get(page.clone())
            .header(ACCEPT, JSON)
            .timeout(INDEX_TIMEOUT);
        net::read_json(net::check_status(request.send().await?).await?).await
    })
    .await
    .map_err(ModelError::Net)?;
    project
        .files
        .iter()
        .find(|entry| entry.filename == wheel.file_name)
        .and_then(|entry| page.join(&entry.url).ok())
        .filter(is_fetchable)
        .ok_or(ModelError::NotListed {
            file: wheel.file_name,
        })
}

/// Accepts HTTPS, and HTTP on this machine for tests and local mirrors.
fn is_fetchable(url: &Url) -> bool {
    let is_local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_or_local_urls_are_fetched() {
        for (url, accepted) in [
            ("https://files.example.org/a.whl", true),
            ("http://127.0.0.1:9/a.whl", true),
            ("http://[::1]:9/a.whl", true),
            ("http://localhost/a.whl", true),
            ("http://example.org/a.whl", false),
            ("file:///etc/passwd", false),
        ] {
            let parsed = Url::parse(url).expect("a URL");
            assert_eq!(is_fetchable(&parsed), accepted, "{url}");
        }
    }
}
