//! Resources and sampling parameters of a local model.

use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Resources and sampling parameters. [`LocalChatSettings::new`] sets the defaults named on the
/// fields.
///
/// The sampling defaults are those of the SmolLM2-135M-Instruct model card (temperature 0.2,
/// top-p 0.9), with a light repeat penalty, since a model this small tends to loop without one.
/// They are mild enough for larger models too.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalChatSettings {
    /// The GGUF file; for a split model, its first part.
    pub model: PathBuf,
    /// Whether `models fetch` provides the file, so that fetching it again fixes a missing or
    /// broken file. Default: no.
    pub fetchable: bool,
    /// The most tokens of prompt and answer together; limited to what the model was trained for.
    /// Costs memory: about 90 MB at 4096 for SmolLM2-135M. Default: 4096.
    pub context_tokens: u32,
    /// The most tokens of an answer. If this exceeds half of the context, half of the context is
    /// reserved for the answer, and the answer may use what the prompt leaves. Default: 512.
    pub max_answer_tokens: u32,
    /// Sampling temperature; 0 or less always takes the most likely token. Default: 0.2.
    pub temperature: f32,
    /// Sample only from this many most likely tokens; 0 or less means all. Default: 40.
    pub top_k: i32,
    /// Sample only from the most likely tokens that together have this probability; 1 means all.
    /// Default: 0.9.
    pub top_p: f32,
    /// Exclude tokens whose probability is below this fraction of the most likely one's; 0 excludes
    /// none. Default: 0.05.
    pub min_p: f32,
    /// Penalty for repeating one of the answer's last 64 tokens; 1 means none. Default: 1.1.
    pub repeat_penalty: f32,
    /// Seed of the sampler. The same seed gives the same answer to the same conversation on the
    /// same machine and build. Default: a different one for each answer.
    pub seed: Option<u32>,
    /// CPU threads per answer. Default: the cores that this process may use, divided by
    /// [`max_concurrent`](Self::max_concurrent).
    pub threads: Option<NonZeroUsize>,
    /// Answers generated at the same time; others wait in order of arrival. Each needs a context of
    /// its own in memory. Default: 1.
    pub max_concurrent: NonZeroUsize,
}

impl LocalChatSettings {
    /// The defaults for this file.
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

/// llama.cpp's own limit on threads.
const MAX_THREADS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_divided_but_never_zero() {
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
