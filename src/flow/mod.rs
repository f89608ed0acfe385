//! The pipeline from recording to answer, and everything that runs it: job queue, admission,
//! consent, voice sessions.
//!
//! This module knows neither Discord nor a terminal. A caller passes a [`Reply`] and gets progress
//! and results through it. Start with [`Pipeline`], then [`job_runner`] for one job and
//! [`job_scheduler`] for many.

pub mod access;
pub mod admission;
mod chat_request;
pub mod consent;
pub mod conversation_history;
pub mod fair_queue;
pub mod frontend;
pub mod guild_settings;
pub mod hallucination_filter;
pub mod job_runner;
pub mod job_scheduler;
pub mod job_spec;
pub mod paid_providers;
pub mod paid_upload;
mod pipeline;
mod pipeline_error;
pub mod poison_jobs;
mod reply;
pub mod session;
#[cfg(test)]
mod stored_format_tests;
mod streaming_feed;
pub mod usage_rules;

pub use pipeline::{
    AnswerText, CompletedAnswer, DecodedRecording, Pipeline, TranscribedRecording, user_turn,
};
pub use pipeline_error::PipelineError;
pub use reply::{PipelineNotice, PipelineStage, Reply};
