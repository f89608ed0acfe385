//! A voice session: several people talk, one bot listens.

pub mod addressed;
