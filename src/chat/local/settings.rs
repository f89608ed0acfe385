//! What a local model may use, and how it chooses its words.

use std::num::NonZeroUsize;
use std::path::PathBuf;

/// How a GGUF is run. [`Settings::new`] gives the defaults named on the fields.
///
/// The sampling defaults are those of the SmolLM2-135M-Instruct model card (temperature 0.2,
/// top-p 0.9), with a light repeat penalty, since a model this small tends to loop without one.
/// They are mild enough for larger models too.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalChatSettings {
    /// The GGUF file. Of a split model, its first part.
    pub model: PathBuf,
    /// Whether the file is one that `models fetch` brings, so that fetching again mends it when
    /// it is missing or broken. Default: no.
    pub fetchable: bool,
    /// Tokens that question and answer may take together; never more than the model was trained
    /// for. Costs memory: about 90 MB at 4096 for SmolLM2-135M. Default: 4096.
    pub context_tokens: u32,
    /// Tokens an answer may have. Where this is more than half of the context, half of the
    /// context is kept for the answer, and the answer may grow into what the question leaves.
    /// Default: 512.
    pub max_answer_tokens: u32,
    /// How freely words are chosen; 0 or less always takes the likeliest. Default: 0.2.
    pub temperature: f32,
    /// Only the `top_k` likeliest tokens are chosen from; 0 or less means all. Default: 40.
    pub top_k: i32,
    /// Only the likeliest tokens that make up this share are chosen from; 1 means all.
    /// Default: 0.9.
    pub top_p: f32,
    /// Tokens less likely than this share of the likeliest one are left out; 0 means none.
    /// Default: 0.05.
    pub min_p: f32,
    /// How much a token of the answer's last 64 loses when it comes again; 1 means nothing.
    /// Default: 1.1.
    pub repeat_penalty: f32,
    /// Where the choice of words starts from. The same seed gives the same answer to the same
    /// conversation, on the same machine and build. Default: another one for each answer.
    pub seed: Option<u32>,
    /// CPU threads for one answer. Default: the cores this process may use, shared out among
    /// [`Settings::parallel`] answers.
    pub threads: Option<NonZeroUsize>,
    /// Answers made at the same time; the others wait in order of arrival. Each has a context
    /// of its own in memory. Default: 1.
    pub max_concurrent: NonZeroUsize,
}

impl LocalChatSettings {
    /// The defaults, for this file.
    #[must_use]
    pub fn new(model: impl Into<PathBuf>) -> Self {
        Self {
            model: model.into(),
            fetchable: false,
            context_tokens: 4096,
            max_answer_tokens: 512,
            temperature: 0.2,
            top_k: 40,
            top_p: 0.9,
            min_p: 0.05,
            repeat_penalty: 1.1,
            seed: None,
            threads: None,
            max_concurrent: NonZeroUsize::MIN,
        }
    }

    /// CPU threads for one answer.
    pub(super) fn threads(&self) -> i32 {
        let threads = self.threads.map_or_else(
            || super::cpu_cores::usable_cores() / self.max_concurrent,
            NonZeroUsize::get,
        );
        i32::try_from(threads.clamp(1, MAX_THREADS)).unwrap_or(1)
    }
}

/// llama.cpp's own bound on threads.
const MAX_THREADS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_shared_out_but_never_none() {
        let mut settings = LocalChatSettings::new("model.gguf");
        assert!(settings.threads() >= 1);
        settings.max_concurrent = NonZeroUsize::MAX;
        assert_eq!(settings.threads(), 1);
        settings.threads = NonZeroUsize::new(3);
        assert_eq!(settings.threads(), 3);
        settings.threads = Some(NonZeroUsize::MAX);
        assert_eq!(settings.threads(), 512);
    }
}
