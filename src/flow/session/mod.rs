//! A voice session: several people talk, one bot listens.

pub mod addressed;
pub mod files;
pub mod report;
pub mod summary;
