//! Told as somebody outside would see it: one module a behaviour.

mod assemblyai;
mod assemblyai_prerecorded;
mod assemblyai_sync;
mod failover;
