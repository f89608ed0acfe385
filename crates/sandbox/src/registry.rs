//! A package index with files: the JSON form of the Simple Repository API (PEP 691), and byte
//! ranges of the files (RFC 9110, section 14).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::{Method, StatusCode};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::exchange::{Provider, Request};
use crate::fault::{Fault, Faults};
use crate::recorder::{Recorded, Recorder, Server, hex_sha256};

const JSON: &str = "application/vnd.pypi.simple.v1+json";

/// Where a fault of the registry strikes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum RegistryEndpoint {
    /// `GET /simple/{package}/`.
    Index,
    /// `GET /files/{file}`.
    File,
}

/// The package index of a sandbox; empty at first. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Registry {
    state: Arc<State>,
    recorder: Recorder,
    origin: String,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    shelf: Mutex<Shelf>,
    faults: Faults<RegistryEndpoint>,
}

#[derive(Debug, Default)]
struct Shelf {
    origin: String,
    files: BTreeMap<String, Published>,
    ignores_ranges: bool,
}

#[derive(Debug)]
struct Published {
    package: String,
    bytes: Bytes,
    /// The address in the index, if it is not the file's own.
    elsewhere: Option<String>,
}

impl State {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    pub(crate) fn new(state: Arc<State>, recorder: Recorder, origin: String) -> Self {
        state.shelf().origin.clone_from(&origin);
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
        let published = Published {
            package: package.to_owned(),
            bytes: bytes.into(),
            elsewhere: None,
        };
        self.state.shelf().files.insert(file.to_owned(), published);
    }

    /// The index names this address for a file that has been published.
    pub fn links(&self, file: &str, address: &str) {
        if let Some(published) = self.state.shelf().files.get_mut(file) {
            published.elsewhere = Some(address.to_owned());
        }
    }

    /// Files come whole, whatever range is asked for. Servers may do so.
    pub fn ignores_ranges(&self) {
        self.state.shelf().ignores_ranges = true;
    }

    /// Queues a fault.
    pub fn fault(&self, endpoint: RegistryEndpoint, fault: Fault) {
        self.state.faults.add(endpoint, fault);
    }

    /// Takes all faults back.
    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.recorder.requests(Some(Server::Registry))
    }

    /// Waits for this many requests, at most [`MAX_WAIT`](crate::MAX_WAIT), and returns all there
    /// are.
    pub async fn wait_for_requests(&self, count: usize) -> Vec<Recorded> {
        self.wait_until(|requests| requests.len() >= count).await
    }

    /// Waits until `enough` says so, at most [`MAX_WAIT`](crate::MAX_WAIT), and returns all
    /// requests there are.
    pub async fn wait_until(&self, enough: impl Fn(&[Recorded]) -> bool) -> Vec<Recorded> {
        self.recorder
            .wait_until(Some(Server::Registry), enough)
            .await
    }
}

impl Provider for State {
    type Endpoint = RegistryEndpoint;

    const SERVER: Server = Server::Registry;

    fn route(&self, method: &Method, path: &str) -> Result<RegistryEndpoint, StatusCode> {
        let endpoint = if path.starts_with("/simple/") {
            RegistryEndpoint::Index
        } else if path.starts_with("/files/") {
            RegistryEndpoint::File
        } else {
            return Err(StatusCode::NOT_FOUND);
        };
        if *method == Method::GET {
            Ok(endpoint)
        } else {
            Err(StatusCode::METHOD_NOT_ALLOWED)
        }
    }

    fn faults(&self) -> &Faults<RegistryEndpoint> {
        &self.faults
    }

    fn error(
        &self,
        _endpoint: Option<RegistryEndpoint>,
        status: StatusCode,
        _code: Option<&str>,
        message: Option<&str>,
    ) -> Answer {
        let reason = message.or(status.canonical_reason()).unwrap_or_default();
        let page = format!("<html><body><h1>{reason}</h1></body></html>");
        Answer::new(status, "text/html", page.into())
    }

    async fn answer(&self, endpoint: RegistryEndpoint, request: Request, _: &Fault) -> Answer {
        let answer = match endpoint {
            RegistryEndpoint::Index => self.index(&request),
            RegistryEndpoint::File => self.file(&request),
        };
        answer.unwrap_or_else(|status| self.error(Some(endpoint), status, None, None))
    }
}

impl State {
    fn index(&self, request: &Request) -> Result<Answer, StatusCode> {
        let package = request.path().trim_start_matches("/simple/");
        let package = package.strip_suffix('/').ok_or(StatusCode::NOT_FOUND)?;
        let shelf = self.shelf();
        let files: Vec<Value> = shelf
            .files
            .iter()
            .filter(|(_, published)| published.package == package)
            .map(|(name, published)| {
                let own = || format!("{}/files/{name}", shelf.origin);
                json!({
                    "filename": name,
                    "url": published.elsewhere.clone().unwrap_or_else(own),
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
            .is_some_and(|accept| accept.contains(JSON))
        {
            // The older form of the same, for those who don't ask for JSON.
            let page = "<!DOCTYPE html><html><body></body></html>";
            return Ok(Answer::new(StatusCode::OK, "text/html", page.into()));
        }
        let page = json!({"meta": {"api-version": "1.1"}, "name": package, "files": files});
        Ok(Answer::ok(&page).header("content-type", JSON))
    }

    fn file(&self, request: &Request) -> Result<Answer, StatusCode> {
        const KIND: &str = "application/octet-stream";
        let shelf = self.shelf();
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
            Some(from) if !shelf.ignores_ranges && from < length => {
                let range = format!("bytes {from}-{}/{length}", length - 1);
                Answer::new(StatusCode::PARTIAL_CONTENT, KIND, whole.slice(from..))
                    .header("content-range", &range)
            }
            Some(_) if !shelf.ignores_ranges => {
                Answer::new(StatusCode::RANGE_NOT_SATISFIABLE, KIND, Bytes::new())
                    .header("content-range", &format!("bytes */{length}"))
            }
            _ => Answer::new(StatusCode::OK, KIND, whole),
        })
    }
}
