//! An inference slot: a thread with a llama.cpp context that generates one answer at a time.

use std::sync::mpsc::Receiver;
use std::time::Instant;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use tokio::sync::{mpsc, oneshot};

use super::model::{LoadedModel, PROMPT_BATCH, local_error};
use super::slot_pool::SlotLease;
use super::token_text::TokenTextDecoder;
use crate::chat::{AnswerChunk, AnswerEnd, ChatError, Conversation, FinishReason, TokenUsage};

/// How many of the answer's last tokens the repeat penalty considers.
const PENALTY_LAST_TOKENS: i32 = 64;

/// A request for an answer.
pub(super) struct AnswerJob {
    pub(super) conversation: Conversation,
    /// Receives `Ok` when the prompt has been built, or the reason why there will be no answer.
    pub(super) prompt_ready: oneshot::Sender<Result<(), ChatError>>,
    /// The answer. The reader closes it to cancel.
    pub(super) chunks: mpsc::Sender<Result<AnswerChunk, ChatError>>,
    /// Returns the slot to the pool when dropped.
    pub(super) lease: SlotLease,
}

/// Generates answers until the pool is dropped.
pub(super) fn run_slot(model: &LoadedModel, jobs: &Receiver<AnswerJob>) {
    let mut slot = None;
    while let Ok(job) = jobs.recv() {
        let AnswerJob {
            conversation,
            prompt_ready,
            chunks: pieces,
            lease,
        } = job;
        let prompt = match prepare(model, &mut slot, &conversation) {
            Ok(prompt) => prompt,
            Err(error) => {
                drop(lease);
                let _ = prompt_ready.send(Err(error));
                continue;
            }
        };
        drop(conversation);
        let Some(ready) = slot.as_mut() else { continue };
        let last = if prompt_ready.send(Ok(())).is_ok() {
            ready.generate_answer(&prompt, &pieces)
        } else {
            Err(GenerationStop::Cancelled)
        };
        let last = match last {
            Ok(end) => Some(Ok(AnswerChunk::End(end))),
            Err(GenerationStop::Cancelled) => None,
            Err(GenerationStop::Failed(error)) => {
                // The state of the context is unknown now.
                slot = None;
                Some(Err(error))
            }
        };
        // The next caller need not wait until this answer has been read.
        drop(lease);
        if let Some(last) = last {
            let _ = pieces.blocking_send(last);
        }
    }
}

fn prepare<'a>(
    model: &'a LoadedModel,
    slot: &mut Option<InferenceSlot<'a>>,
    conversation: &Conversation,
) -> Result<Vec<LlamaToken>, ChatError> {
    let prompt = model.build_prompt(conversation)?;
    if slot.is_none() {
        *slot = Some(InferenceSlot::new(model)?);
    }
    Ok(prompt)
}

/// Why generation stopped early.
enum GenerationStop {
    Cancelled,
    Failed(ChatError),
}

struct InferenceSlot<'a> {
    model: &'a LoadedModel,
    context: LlamaContext<'a>,
    batch: LlamaBatch<'a>,
    /// Tokens at the start of the context that were evaluated in full batches. The next prompt
    /// reuses them: usually it has at least the same system prompt. Partial batches are not reused,
    /// so that an answer is bit for bit the same with and without the cache.
    cached_tokens: Vec<LlamaToken>,
}

impl<'a> InferenceSlot<'a> {
    fn new(model: &'a LoadedModel) -> Result<Self, ChatError> {
        Ok(Self {
            model,
            context: model.new_context()?,
            batch: LlamaBatch::new(PROMPT_BATCH, 1),
            cached_tokens: Vec::new(),
        })
    }

    fn generate_answer(
        &mut self,
        prompt: &[LlamaToken],
        pieces: &mpsc::Sender<Result<AnswerChunk, ChatError>>,
    ) -> Result<AnswerEnd, GenerationStop> {
        let began = Instant::now();
        let reused = self.evaluate_prompt(prompt, pieces)?;
        let prompt_milliseconds = began.elapsed().as_millis();

        let room = self.model.context_tokens as usize - prompt.len();
        let limit = room.min(self.model.settings.max_answer_tokens as usize);
        let mut sampler = self.sampler();
        let mut text = TokenTextDecoder::new(&self.model.template.stop_strings);
        let mut bytes = Vec::with_capacity(64);
        let mut reason = FinishReason::Length;
        let mut answered = 0;
        while answered < limit {
            self.check_logits()?;
            let token = sampler.sample(&self.context, -1);
            answered += 1;
            if self.model.is_end_of_generation(token) || self.is_turn_marker(token) {
                reason = FinishReason::Complete;
                break;
            }
            bytes.clear();
            self.model.append_token_bytes(token, &mut bytes);
            send_text(pieces, text.push(&bytes))?;
            if text.stopped() {
                reason = FinishReason::Complete;
                break;
            }
            if answered < limit {
                self.decode(&[token], prompt.len() + answered - 1, true)?;
            }
        }
        send_text(pieces, text.finish())?;
        tracing::debug!(
            prompt_tokens = prompt.len(),
            reused_tokens = reused,
            prompt_milliseconds,
            answer_tokens = answered,
            milliseconds = began.elapsed().as_millis(),
            ?reason,
            "local answer"
        );
        let usage = TokenUsage {
            prompt_tokens: prompt.len() as u64,
            answer_tokens: answered as u64,
        };
        Ok(AnswerEnd {
            reason,
            usage: Some(usage),
        })
    }

    /// Evaluates the part of the prompt that the context doesn't hold yet. Returns the number of
    /// tokens that were reused.
    fn evaluate_prompt(
        &mut self,
        prompt: &[LlamaToken],
        pieces: &mpsc::Sender<Result<AnswerChunk, ChatError>>,
    ) -> Result<usize, GenerationStop> {
        let same = self
            .cached_tokens
            .iter()
            .zip(prompt)
            .take_while(|(held, token)| held == token)
            .count();
        // The last token is always evaluated, to get the logits of the next one.
        let mut reused = same.min(prompt.len() - 1) / PROMPT_BATCH * PROMPT_BATCH;
        // Recurrent models can only forget everything, not a part.
        if !self.truncate_context(reused) {
            self.truncate_context(0);
            reused = 0;
        }
        self.cached_tokens.truncate(reused);
        let mut position = reused;
        for batch in prompt[reused..].chunks(PROMPT_BATCH) {
            if pieces.is_closed() {
                return Err(GenerationStop::Cancelled);
            }
            let last = position + batch.len() == prompt.len();
            self.decode(batch, position, last)?;
            position += batch.len();
            if batch.len() == PROMPT_BATCH {
                self.cached_tokens.extend_from_slice(batch);
            }
        }
        Ok(reused)
    }

    /// Removes everything from this position on from the context, if the model can.
    /// (`clear_kv_cache` would also overwrite the whole memory, which takes milliseconds.)
    fn truncate_context(&mut self, position: usize) -> bool {
        let position = u32::try_from(position).unwrap_or(0);
        matches!(
            self.context
                .clear_kv_cache_seq(Some(0), Some(position), None),
            Ok(true)
        )
    }

    /// Evaluates at most [`PROMPT_BATCH`] tokens; `answer_next` requests the logits after the last
    /// one.
    fn decode(
        &mut self,
        tokens: &[LlamaToken],
        position: usize,
        answer_next: bool,
    ) -> Result<(), GenerationStop> {
        self.batch.clear();
        for (i, &token) in tokens.iter().enumerate() {
            let position = i32::try_from(position + i).unwrap_or(i32::MAX);
            let wanted = answer_next && i + 1 == tokens.len();
            self.batch
                .add(token, position, &[0], wanted)
                .map_err(|error| self.failed_stop(&error.to_string()))?;
        }
        self.context
            .decode(&mut self.batch)
            .map_err(|error| self.failed_stop(&error.to_string()))
    }

    /// Detects damaged weights, with which a file still loads. They produce NaN logits or, if a
    /// download left a hole, the same logit for every token.
    fn check_logits(&self) -> Result<(), GenerationStop> {
        let logits = self.context.get_logits_ith(-1);
        let first = logits.first().copied().unwrap_or(f32::NAN);
        if logits.iter().any(|logit| logit.is_nan()) || logits.iter().all(|&logit| logit == first) {
            let settings = &self.model.settings;
            let reason = "the model computes nonsense: its weights are damaged";
            return Err(GenerationStop::Failed(local_error(
                &settings.model,
                reason,
                settings.fetchable,
            )));
        }
        Ok(())
    }

    /// Whether the token marks the start of a turn. Other control tokens are harmless: they are not
    /// shown.
    fn is_turn_marker(&self, token: LlamaToken) -> bool {
        self.model
            .control_token_text(token)
            .is_some_and(|text| self.model.template.stop_strings.contains(&text))
    }

    fn sampler(&self) -> LlamaSampler {
        let settings = &self.model.settings;
        let mut samplers = Vec::with_capacity(6);
        if settings.repeat_penalty != 1.0 {
            samplers.push(LlamaSampler::penalties(
                self.model.vocabulary_size(),
                PENALTY_LAST_TOKENS,
                settings.repeat_penalty,
                0.0,
                0.0,
            ));
        }
        if settings.temperature <= 0.0 {
            samplers.push(LlamaSampler::greedy());
        } else {
            samplers.extend([
                LlamaSampler::top_k(settings.top_k),
                LlamaSampler::top_p(settings.top_p, 1),
                LlamaSampler::min_p(settings.min_p, 1),
                LlamaSampler::temp(settings.temperature),
                LlamaSampler::dist(settings.seed.unwrap_or_else(random_seed)),
            ]);
        }
        LlamaSampler::chain(samplers, true)
    }

    fn failed_stop(&self, reason: &str) -> GenerationStop {
        GenerationStop::Failed(local_error(&self.model.settings.model, reason, false))
    }
}

fn send_text(
    pieces: &mpsc::Sender<Result<AnswerChunk, ChatError>>,
    text: String,
) -> Result<(), GenerationStop> {
    if text.is_empty() {
        // Even without new text, notice that the reader has gone.
        return if pieces.is_closed() {
            Err(GenerationStop::Cancelled)
        } else {
            Ok(())
        };
    }
    pieces
        .blocking_send(Ok(AnswerChunk::Text(text)))
        .map_err(|_| GenerationStop::Cancelled)
}

/// A different number each time.
fn random_seed() -> u32 {
    use std::hash::{BuildHasher, RandomState};
    let [a, b, c, d, ..] = RandomState::new().hash_one(()).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
