//! A package index with files: the JSON form of the Simple Repository API (PEP 691), and byte
//! ranges of the files (RFC 9110, section 14).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::{Method, StatusCode};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::fault::{Fault, FaultQueue};
use crate::mock_response::MockResponse;
use crate::recorder::{RecordedRequest, Recorder, Server, hex_sha256};
use crate::request_handler::{BufferedRequest, MockService};

const INDEX_CONTENT_TYPE: &str = "application/vnd.pypi.simple.v1+json";

/// Where a fault of the registry strikes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum PackageIndexEndpoint {
    /// `GET /simple/{package}/`.
    Index,
    /// `GET /files/{file}`.
    File,
}

/// The package index of a sandbox; empty at first. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PackageIndex {
    state: Arc<PackageIndexState>,
    recorder: Recorder,
    origin: String,
}

#[derive(Debug, Default)]
pub(crate) struct PackageIndexState {
    published: Mutex<PublishedFiles>,
    faults: FaultQueue<PackageIndexEndpoint>,
}

#[derive(Debug, Default)]
struct PublishedFiles {
    origin: String,
    files: BTreeMap<String, PublishedFile>,
    ranges_disabled: bool,
}

#[derive(Debug)]
struct PublishedFile {
    package: String,
    bytes: Bytes,
    /// The address in the index, if it is not the file's own.
    url_override: Option<String>,
}

impl PackageIndexState {
    fn published(&self) -> MutexGuard<'_, PublishedFiles> {
        self.published
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl PackageIndex {
    pub(crate) fn new(state: Arc<PackageIndexState>, recorder: Recorder, origin: String) -> Self {
        state.published().origin.clone_from(&origin);
        Self {
            state,
            recorder,
            origin,
        }
    }

    /// The address of the index.
    pub fn url(&self) -> String {
        format!("{}/simple", self.origin)
    }

    /// Puts a file of a package on the shelf, in place of what has the same name.
    pub fn publish(&self, package: &str, file: &str, bytes: impl Into<Bytes>) {
        let published = PublishedFile {
            package: package.to_owned(),
            bytes: bytes.into(),
            url_override: None,
        };
        self.state
            .published()
            .files
            .insert(file.to_owned(), published);
    }

    /// The index names this address for a file that has been published.
    pub fn set_file_url(&self, file: &str, address: &str) {
        if let Some(published) = self.state.published().files.get_mut(file) {
            published.url_override = Some(address.to_owned());
        }
    }

    /// Files come whole, whatever range is asked for. Servers may do so.
    pub fn disable_ranges(&self) {
        self.state.published().ranges_disabled = true;
    }

    /// Queues a fault.
    pub fn add_fault(&self, endpoint: PackageIndexEndpoint, fault: Fault) {
        self.state.faults.add(endpoint, fault);
    }

    /// Takes all faults back.
    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.recorder.requests(Some(Server::PackageIndex))
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
        self.recorder
            .wait_until(Some(Server::PackageIndex), enough)
            .await
    }
}

impl MockService for PackageIndexState {
    type Endpoint = PackageIndexEndpoint;

    const SERVER: Server = Server::PackageIndex;

    fn route(&self, method: &Method, path: &str) -> Result<PackageIndexEndpoint, StatusCode> {
        let endpoint = if path.starts_with("/simple/") {
            PackageIndexEndpoint::Index
        } else if path.starts_with("/files/") {
            PackageIndexEndpoint::File
        } else {
            return Err(StatusCode::NOT_FOUND);
        };
        if *method == Method::GET {
            Ok(endpoint)
        } else {
            Err(StatusCode::METHOD_NOT_ALLOWED)
        }
    }

    fn faults(&self) -> &FaultQueue<PackageIndexEndpoint> {
        &self.faults
    }

    fn error_response(
        &self,
        _endpoint: Option<PackageIndexEndpoint>,
        status: StatusCode,
        _code: Option<&str>,
        message: Option<&str>,
    ) -> MockResponse {
        let reason = message.or(status.canonical_reason()).unwrap_or_default();
        let page = format!("<html><body><h1>{reason}</h1></body></html>");
        MockResponse::new(status, "text/html", page.into())
    }

    async fn respond(
        &self,
        endpoint: PackageIndexEndpoint,
        request: BufferedRequest,
        _: &Fault,
    ) -> MockResponse {
        let answer = match endpoint {
            PackageIndexEndpoint::Index => self.index_response(&request),
            PackageIndexEndpoint::File => self.file_response(&request),
        };
        answer.unwrap_or_else(|status| self.error_response(Some(endpoint), status, None, None))
    }
}

impl PackageIndexState {
    fn index_response(&self, request: &BufferedRequest) -> Result<MockResponse, StatusCode> {
        let package = request.path().trim_start_matches("/simple/");
        let package = package.strip_suffix('/').ok_or(StatusCode::NOT_FOUND)?;
        let shelf = self.published();
        let files: Vec<Value> = shelf
            .files
            .iter()
            .filter(|(_, published)| published.package == package)
            .map(|(name, published)| {
                let own = || format!("{}/files/{name}", shelf.origin);
                json!({
                    "filename": name,
                    "url": published.url_override.clone().unwrap_or_else(own),
                    "hashes": {"sha256": hex_sha256(&published.bytes)},
                    "size": published.bytes.len(),
                    "requires-python": null,
                    "yanked": false,
                })
            })
            .collect();
        if files.is_empty() {
            return Err(StatusCode::NOT_FOUND);
        }
        if !request
            .header("accept")
            .is_some_and(|accept| accept.contains(INDEX_CONTENT_TYPE))
        {
            // The older form of the same, for those who don't ask for JSON.
            let page = "<!DOCTYPE html><html><body></body></html>";
            return Ok(MockResponse::new(StatusCode::OK, "text/html", page.into()));
        }
        let page = json!({"meta": {"api-version": "1.1"}, "name": package, "files": files});
        Ok(MockResponse::ok(&page).header("content-type", INDEX_CONTENT_TYPE))
    }

    fn file_response(&self, request: &BufferedRequest) -> Result<MockResponse, StatusCode> {
        const KIND: &str = "application/octet-stream";
        let shelf = self.published();
        let name = request.path().trim_start_matches("/files/");
        let published = shelf.files.get(name).ok_or(StatusCode::NOT_FOUND)?;
        let whole = published.bytes.clone();
        let from: Option<usize> = request.header("range").and_then(|range| {
            range
                .strip_prefix("bytes=")?
                .strip_suffix('-')?
                .parse()
                .ok()
        });
        let length = whole.len();
        Ok(match from {
            Some(from) if !shelf.ranges_disabled && from < length => {
                let range = format!("bytes {from}-{}/{length}", length - 1);
                MockResponse::new(StatusCode::PARTIAL_CONTENT, KIND, whole.slice(from..))
                    .header("content-range", &range)
            }
            Some(_) if !shelf.ranges_disabled => {
                MockResponse::new(StatusCode::RANGE_NOT_SATISFIABLE, KIND, Bytes::new())
                    .header("content-range", &format!("bytes */{length}"))
            }
            _ => MockResponse::new(StatusCode::OK, KIND, whole),
        })
    }
}
