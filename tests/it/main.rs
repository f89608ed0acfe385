//! Told as somebody outside would see it: one module a behaviour.

mod failover;
