//! The model itself: up to half a minute of samples in, tokens out, the likeliest each time.

use std::borrow::Cow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use ort::memory::Allocator;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Tensor, TensorRef};

use super::tokenizer::Tokenizer;
use super::{Settings, SpeechError, engine_fault, runtime};

/// The token that begins a transcript.
const START: i64 = 1;

/// The token that ends it.
const END: u32 = 2;

/// More tokens than this a second are not speech but a loop.
const TOKENS_A_SECOND: f32 = 6.5;

/// Tokens that any stretch may have, however short.
const LEAST_TOKENS: usize = 12;

/// The encoder needs at least this many samples; shorter stretches get silence behind them.
const LEAST_SAMPLES: usize = 8_000;

/// A phrase that comes this often in a row is a loop.
const REPEATS: usize = 4;

/// The longest phrase that is looked for in a loop, in tokens.
const LONGEST_PHRASE: usize = 12;

/// Shape of an attention head's memory: batch, heads, length, size.
const NO_MEMORY: [usize; 4] = [1, 8, 0, 36];

/// Moonshine tiny, loaded.
pub(super) struct Moonshine {
    encoder: Session,
    decoder: Session,
    tokenizer: Tokenizer,
    /// Names of the decoder's memories: what goes in, and what comes out for it.
    memories: Vec<Memory>,
}

struct Memory {
    input: String,
    output: String,
    /// Of the encoder: computed in the first step and kept.
    kept: bool,
}

impl Moonshine {
    /// Reads the model from disk. Blocking; takes about a quarter of a second.
    pub(super) fn load(settings: &Settings) -> Result<Self, SpeechError> {
        let tokenizer = std::fs::read(&settings.tokenizer)
            .map_err(|_| missing(&settings.tokenizer))
            .and_then(Tokenizer::parse)?;
        let encoder = session(settings, &settings.encoder, settings.threads)?;
        // A token at a time is too little work to share: threads would wait for each other for
        // longer than one needs alone.
        let decoder = session(settings, &settings.decoder, 1)?;
        let memories = decoder
            .inputs()
            .iter()
            .filter_map(|input| input.name().strip_prefix("past_key_values."))
            .map(|name| Memory {
                input: format!("past_key_values.{name}"),
                output: format!("present.{name}"),
                kept: name.contains(".encoder."),
            })
            .collect();
        let model = Self {
            encoder,
            decoder,
            tokenizer,
            memories,
        };
        // A sound file may still hold another model.
        if !gives(&model.encoder, "last_hidden_state") {
            return Err(damaged(&settings.encoder));
        }
        let mut memories = model.memories.iter();
        if !gives(&model.decoder, "logits")
            || model.memories.is_empty()
            || !memories.all(|memory| gives(&model.decoder, &memory.output))
        {
            return Err(damaged(&settings.decoder));
        }
        Ok(model)
    }

    /// The words in `samples`, at most half a minute of them. Empty when nothing is said.
    pub(super) fn recognize(
        &mut self,
        samples: &[f32],
        cancelled: &AtomicBool,
    ) -> Result<String, SpeechError> {
        let tokens = self
            .tokens(samples, cancelled)
            .map_err(|error| inference(&error))?;
        Ok(self.tokenizer.text(&tokens))
    }

    fn tokens(&mut self, samples: &[f32], cancelled: &AtomicBool) -> ort::Result<Vec<u32>> {
        let mut padded = Cow::Borrowed(samples);
        if samples.len() < LEAST_SAMPLES {
            padded.to_mut().resize(LEAST_SAMPLES, 0.0);
        }
        let heard = self.encode(&padded)?;
        // The decoder takes the mask of the samples, and thins it out to one of frames itself.
        let heard_mask = Tensor::from_array(([1, padded.len()], vec![1_i64; padded.len()]))?;
        let allocator = Allocator::default();
        let mut memory: Vec<DynValue> = self
            .memories
            .iter()
            .map(|_| Tensor::<f32>::new(&allocator, NO_MEMORY).map(Tensor::into_dyn))
            .collect::<ort::Result<_>>()?;
        let most = (samples.len() as f32 / 16_000.0 * TOKENS_A_SECOND) as usize;
        let most = most.max(LEAST_TOKENS);
        let mut tokens = Vec::new();
        let mut last = START;
        while tokens.len() < most && !cancelled.load(Ordering::Relaxed) {
            let first = tokens.is_empty();
            let input_ids = Tensor::from_array(([1, 1], vec![last]))?;
            let use_cache = Tensor::from_array(([1], vec![!first]))?;
            let mut inputs: Vec<(&str, SessionInputValue<'_>)> =
                Vec::with_capacity(self.memories.len() + 4);
            inputs.push(("input_ids", (&input_ids).into()));
            inputs.push(("encoder_hidden_states", (&heard).into()));
            inputs.push(("encoder_attention_mask", (&heard_mask).into()));
            inputs.push(("use_cache_branch", (&use_cache).into()));
            for (names, value) in self.memories.iter().zip(&memory) {
                inputs.push((&names.input, value.into()));
            }
            let mut outputs = self.decoder.run(inputs)?;
            let (_, scores) = outputs["logits"].try_extract_tensor::<f32>()?;
            let next = likeliest(scores);
            for (names, value) in self.memories.iter().zip(&mut memory) {
                if (first || !names.kept)
                    && let Some(fresh) = outputs.remove(&names.output)
                {
                    *value = fresh;
                }
            }
            drop(outputs);
            if next == END {
                break;
            }
            tokens.push(next);
            if let Some(length) = loop_at_end(&tokens) {
                tokens.truncate(length);
                break;
            }
            last = i64::from(next);
        }
        Ok(tokens)
    }

    fn encode(&mut self, samples: &[f32]) -> ort::Result<DynValue> {
        let audio = TensorRef::from_array_view(([1, samples.len()], samples))?;
        let mask = Tensor::from_array(([1, samples.len()], vec![1_i64; samples.len()]))?;
        let wants_mask = self
            .encoder
            .inputs()
            .iter()
            .any(|input| input.name() == "attention_mask");
        let mut inputs: Vec<(&str, SessionInputValue<'_>)> = vec![("input_values", audio.into())];
        if wants_mask {
            inputs.push(("attention_mask", mask.into()));
        }
        let mut outputs = self.encoder.run(inputs)?;
        outputs
            .remove("last_hidden_state")
            .ok_or_else(|| ort::Error::new("the encoder gives no last_hidden_state"))
    }
}

fn session(settings: &Settings, path: &Path, threads: usize) -> Result<Session, SpeechError> {
    let environment = runtime::environment(settings.runtime.as_deref())?;
    if !path.exists() {
        return Err(missing(path));
    }
    let build = || -> ort::Result<Session> {
        Session::builder(&environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(threads.max(1))?
            // Threads that wait by spinning take the cores from everybody else, and from each other.
            .with_intra_op_spinning(false)?
            .commit_from_file(path)
    };
    build().map_err(|error| {
        tracing::warn!(%error, path = %path.display(), "a model can't be loaded");
        damaged(path)
    })
}

fn gives(session: &Session, name: &str) -> bool {
    session.outputs().iter().any(|output| output.name() == name)
}

fn damaged(path: &Path) -> SpeechError {
    engine_fault(format!("{} is damaged", path.display()), true)
}

fn missing(path: &Path) -> SpeechError {
    engine_fault(format!("{} is missing", path.display()), true)
}

fn inference(error: &ort::Error) -> SpeechError {
    tracing::warn!(%error, "inference failed");
    engine_fault("the model failed on this recording", false)
}

fn likeliest(scores: &[f32]) -> u32 {
    let mut best = (0, f32::NEG_INFINITY);
    for (token, score) in scores.iter().enumerate() {
        if *score > best.1 {
            best = (token, *score);
        }
    }
    best.0 as u32
}

/// If the tokens end in the same phrase over and over: the length with the phrase once.
fn loop_at_end(tokens: &[u32]) -> Option<usize> {
    (1..=LONGEST_PHRASE).find_map(|phrase| {
        let looped = phrase * REPEATS;
        let tail = tokens.get(tokens.len().checked_sub(looped)?..)?;
        let (pattern, rest) = tail.split_at(phrase);
        rest.chunks_exact(phrase)
            .all(|part| part == pattern)
            .then_some(tokens.len() - looped + phrase)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_cut_to_one_turn() {
        assert_eq!(loop_at_end(&[]), None);
        assert_eq!(loop_at_end(&[1, 2, 3, 4, 5]), None);
        assert_eq!(loop_at_end(&[9, 7, 7, 7]), None);
        assert_eq!(loop_at_end(&[9, 7, 7, 7, 7]), Some(2));
        assert_eq!(
            loop_at_end(&[9, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3]),
            Some(4)
        );
    }

    #[test]
    fn the_likeliest_token_wins() {
        assert_eq!(likeliest(&[0.1, f32::NAN, 3.0, 2.0]), 2);
        assert_eq!(likeliest(&[]), 0);
    }
}
