//! The ONNX Runtime library, loaded once a process.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;

use super::{SpeechError, engine_fault};

/// There can be one environment in a process, and one library.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// The environment; the library at `path` is loaded unless one is loaded already.
pub(super) fn environment(path: Option<&Path>) -> Result<Environment, SpeechError> {
    let mut environment = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = &*environment {
        return Ok(environment.clone());
    }
    let Some(path) = path else {
        return Err(engine_fault(
            "there is no ONNX Runtime for this platform to be fetched; set ORT_DYLIB_PATH to one",
            false,
        ));
    };
    if !path.exists() {
        return Err(engine_fault(format!("{} is missing", path.display()), true));
    }
    let created = ort::init_from(path)
        .map_err(|error| engine_fault(error.to_string(), false))?
        .with_name("talkback")
        .with_telemetry(false)
        .build()
        .map_err(|error| engine_fault(error.to_string(), false))?;
    *environment = Some(created.clone());
    Ok(created)
}

/// The build of the library, if it is loaded.
pub(super) fn loaded_version() -> Option<String> {
    let environment = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    environment.as_ref()?;
    // "ORT Build Info: git-branch=rel-1.32.0, git-commit-id=..., ..."
    let branch = ort::info().split("git-branch=").nth(1)?.split(',').next()?;
    Some(format!(
        "ONNX Runtime {}",
        branch.trim_start_matches("rel-")
    ))
}
