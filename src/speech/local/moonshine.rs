//! The Moonshine model: up to half a minute of samples in, tokens out, by greedy decoding.

use std::borrow::Cow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use ort::memory::Allocator;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Tensor, TensorRef};

use super::tokenizer::Tokenizer;
use super::{LocalSpeechSettings, SpeechError, engine_error, onnx_runtime};

/// The token that starts a transcript.
const START_TOKEN: i64 = 1;

/// The token that ends a transcript.
const END_TOKEN: u32 = 2;

/// More tokens per second than this are not speech but a repetition loop.
const MAX_TOKENS_PER_SECOND: f32 = 6.5;

/// The token limit of even the shortest segment.
const MIN_TOKEN_LIMIT: usize = 12;

/// The encoder needs at least this many samples; shorter segments are padded with silence.
const MIN_SAMPLES: usize = 8_000;

/// A phrase repeated this often in a row is a loop.
const LOOP_REPEATS: usize = 4;

/// The longest phrase checked for loops, in tokens.
const MAX_LOOP_PHRASE_TOKENS: usize = 12;

/// Shape of an empty key/value cache: batch, heads, length, head size.
const EMPTY_KV_CACHE_SHAPE: [usize; 4] = [1, 8, 0, 36];

/// Moonshine tiny, loaded.
pub(super) struct Moonshine {
    encoder: Session,
    decoder: Session,
    tokenizer: Tokenizer,
    /// Input and output names of the decoder's key/value caches.
    kv_cache: Vec<KvCacheEntry>,
}

struct KvCacheEntry {
    input: String,
    output: String,
    /// Whether it caches the encoder's output: computed in the first step and then kept.
    is_encoder: bool,
}

impl Moonshine {
    /// Loads the model from disk. Blocks for about a quarter of a second.
    pub(super) fn load(settings: &LocalSpeechSettings) -> Result<Self, SpeechError> {
        let tokenizer = std::fs::read(&settings.tokenizer)
            .map_err(|_| missing_file_error(&settings.tokenizer))
            .and_then(Tokenizer::parse)?;
        let encoder = load_session(settings, &settings.encoder, settings.threads)?;
        // Decoding one token is too little work to share: threads would wait for each other longer
        // than one thread needs alone.
        let decoder = load_session(settings, &settings.decoder, 1)?;
        let memories = decoder
            .inputs()
            .iter()
            .filter_map(|input| input.name().strip_prefix("past_key_values."))
            .map(|name| KvCacheEntry {
                input: format!("past_key_values.{name}"),
                output: format!("present.{name}"),
                is_encoder: name.contains(".encoder."),
            })
            .collect();
        let model = Self {
            encoder,
            decoder,
            tokenizer,
            kv_cache: memories,
        };
        // An intact file may still hold another model.
        if !has_output(&model.encoder, "last_hidden_state") {
            return Err(damaged_file_error(&settings.encoder));
        }
        let mut memories = model.kv_cache.iter();
        if !has_output(&model.decoder, "logits")
            || model.kv_cache.is_empty()
            || !memories.all(|memory| has_output(&model.decoder, &memory.output))
        {
            return Err(damaged_file_error(&settings.decoder));
        }
        Ok(model)
    }

    /// Transcribes at most half a minute of samples. Empty if there is no speech.
    pub(super) fn recognize(
        &mut self,
        samples: &[f32],
        cancelled: &AtomicBool,
    ) -> Result<String, SpeechError> {
        let tokens = self
            .generate_tokens(samples, cancelled)
            .map_err(|error| inference_error(&error))?;
        Ok(self.tokenizer.decode(&tokens))
    }

    fn generate_tokens(
        &mut self,
        samples: &[f32],
        cancelled: &AtomicBool,
    ) -> ort::Result<Vec<u32>> {
        let mut padded = Cow::Borrowed(samples);
        if samples.len() < MIN_SAMPLES {
            padded.to_mut().resize(MIN_SAMPLES, 0.0);
        }
        let heard = self.encode(&padded)?;
        // The decoder takes the mask of the samples and reduces it to one per frame itself.
        let heard_mask = Tensor::from_array(([1, padded.len()], vec![1_i64; padded.len()]))?;
        let allocator = Allocator::default();
        let mut memory: Vec<DynValue> = self
            .kv_cache
            .iter()
            .map(|_| Tensor::<f32>::new(&allocator, EMPTY_KV_CACHE_SHAPE).map(Tensor::into_dyn))
            .collect::<ort::Result<_>>()?;
        let most = (samples.len() as f32 / 16_000.0 * MAX_TOKENS_PER_SECOND) as usize;
        let most = most.max(MIN_TOKEN_LIMIT);
        let mut tokens = Vec::new();
        let mut last = START_TOKEN;
        while tokens.len() < most && !cancelled.load(Ordering::Relaxed) {
            let first = tokens.is_empty();
            let input_ids = Tensor::from_array(([1, 1], vec![last]))?;
            let use_cache = Tensor::from_array(([1], vec![!first]))?;
            let mut inputs: Vec<(&str, SessionInputValue<'_>)> =
                Vec::with_capacity(self.kv_cache.len() + 4);
            inputs.push(("input_ids", (&input_ids).into()));
            inputs.push(("encoder_hidden_states", (&heard).into()));
            inputs.push(("encoder_attention_mask", (&heard_mask).into()));
            inputs.push(("use_cache_branch", (&use_cache).into()));
            for (names, value) in self.kv_cache.iter().zip(&memory) {
                inputs.push((&names.input, value.into()));
            }
            let mut outputs = self.decoder.run(inputs)?;
            let (_, scores) = outputs["logits"].try_extract_tensor::<f32>()?;
            let next = argmax(scores);
            for (names, value) in self.kv_cache.iter().zip(&mut memory) {
                if (first || !names.is_encoder)
                    && let Some(fresh) = outputs.remove(&names.output)
                {
                    *value = fresh;
                }
            }
            drop(outputs);
            if next == END_TOKEN {
                break;
            }
            tokens.push(next);
            if let Some(length) = length_before_loop(&tokens) {
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

fn load_session(
    settings: &LocalSpeechSettings,
    path: &Path,
    threads: usize,
) -> Result<Session, SpeechError> {
    let environment = onnx_runtime::environment(settings.runtime.as_deref())?;
    if !path.exists() {
        return Err(missing_file_error(path));
    }
    let build = || -> ort::Result<Session> {
        Session::builder(&environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(threads.max(1))?
            // Spinning threads would take the cores from other work, and from each other.
            .with_intra_op_spinning(false)?
            .commit_from_file(path)
    };
    build().map_err(|error| {
        tracing::warn!(%error, path = %path.display(), "a model can't be loaded");
        damaged_file_error(path)
    })
}

fn has_output(session: &Session, name: &str) -> bool {
    session.outputs().iter().any(|output| output.name() == name)
}

fn damaged_file_error(path: &Path) -> SpeechError {
    engine_error(format!("{} is damaged", path.display()), true)
}

fn missing_file_error(path: &Path) -> SpeechError {
    engine_error(format!("{} is missing", path.display()), true)
}

fn inference_error(error: &ort::Error) -> SpeechError {
    tracing::warn!(%error, "inference failed");
    engine_error("the model failed on this recording", false)
}

fn argmax(scores: &[f32]) -> u32 {
    let mut best = (0, f32::NEG_INFINITY);
    for (token, score) in scores.iter().enumerate() {
        if *score > best.1 {
            best = (token, *score);
        }
    }
    best.0 as u32
}

/// If the tokens end in a repeated phrase, the length with the phrase kept once.
fn length_before_loop(tokens: &[u32]) -> Option<usize> {
    (1..=MAX_LOOP_PHRASE_TOKENS).find_map(|phrase| {
        let looped = phrase * LOOP_REPEATS;
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
    fn a_loop_is_cut_to_one_phrase() {
        assert_eq!(length_before_loop(&[]), None);
        assert_eq!(length_before_loop(&[1, 2, 3, 4, 5]), None);
        assert_eq!(length_before_loop(&[9, 7, 7, 7]), None);
        assert_eq!(length_before_loop(&[9, 7, 7, 7, 7]), Some(2));
        assert_eq!(
            length_before_loop(&[9, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3]),
            Some(4)
        );
    }

    #[test]
    fn the_likeliest_token_wins() {
        assert_eq!(argmax(&[0.1, f32::NAN, 3.0, 2.0]), 2);
        assert_eq!(argmax(&[]), 0);
    }
}
