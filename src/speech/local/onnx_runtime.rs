//! The ONNX Runtime library, loaded once per process.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;

use super::{SpeechError, engine_error};
use crate::models;

/// A process can have only one environment, and one library.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// The environment. Loads the library at `path` unless one is loaded already.
pub(super) fn environment(path: Option<&Path>) -> Result<Environment, SpeechError> {
    let mut environment = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = &*environment {
        return Ok(environment.clone());
    }
    let Some(path) = path else {
        return Err(engine_error(
            "there is no ONNX Runtime for this platform to be fetched; set ORT_DYLIB_PATH to one",
            false,
        ));
    };
    if !path.exists() {
        let reason = format!("{} is missing", path.display());
        return Err(engine_error(reason, is_fetched(path)));
    }
    // Loading a truncated library kills the process instead of failing.
    if is_fetched(path) && !has_its_size(path) {
        return Err(engine_error(format!("{} is damaged", path.display()), true));
    }
    let created = ort::init_from(path)
        .map_err(|error| engine_error(error.to_string(), is_fetched(path)))?
        .with_name("talkback")
        .with_telemetry(false)
        .build()
        .map_err(|error| engine_error(error.to_string(), false))?;
    *environment = Some(created.clone());
    Ok(created)
}

/// Whether the library is one that `models fetch` can fetch, not one of the user's own.
fn is_fetched(path: &Path) -> bool {
    models::onnx_runtime()
        .and_then(|asset| asset.files.first())
        .is_some_and(|file| path.ends_with(file.name))
}

fn has_its_size(path: &Path) -> bool {
    let expected = models::onnx_runtime()
        .and_then(|asset| asset.files.first())
        .map(|file| file.bytes);
    std::fs::metadata(path).map(|metadata| metadata.len()).ok() == expected
}

/// The version of the library, if it is loaded.
pub(super) fn loaded_version() -> Option<String> {
    let environment = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    environment.as_ref()?;
    // "ORT Build Info: git-branch=rel-1.32.0, git-commit-id=..., ...", or a branch called HEAD.
    let part = |name: &str| ort::info().split(name).nth(1)?.split(',').next();
    let branch = part("git-branch=")?;
    Some(match branch.strip_prefix("rel-") {
        Some(version) => format!("ONNX Runtime {version}"),
        None => format!("ONNX Runtime, build {}", part("git-commit-id=")?),
    })
}
