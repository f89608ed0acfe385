//! A slot: a thread with a context of its own that makes one answer after the other.

use std::sync::mpsc::Receiver;
use std::time::Instant;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use tokio::sync::{mpsc, oneshot};

use super::model::{Model, PROMPT_BATCH, local};
use super::slots::Lease;
use super::text::TextStream;
use crate::chat::{ChatError, Conversation, End, EndReason, Piece, Usage};

/// Tokens of the answer that the repeat penalty looks back on.
const PENALTY_LAST_TOKENS: i32 = 64;

/// An answer to be made.
pub(super) struct Job {
    pub(super) conversation: Conversation,
    /// Told when the prompt is ready to be read, or why there will be no answer.
    pub(super) started: oneshot::Sender<Result<(), ChatError>>,
    /// The answer. Closed by the reader when it is not wanted any more.
    pub(super) pieces: mpsc::Sender<Result<Piece, ChatError>>,
    /// Gives the slot back when the job is done.
    pub(super) lease: Lease,
}

/// Makes answers until nobody can ask any more.
pub(super) fn serve(model: &Model, jobs: &Receiver<Job>) {
    let mut slot = None;
    while let Ok(job) = jobs.recv() {
        let Job {
            conversation,
            started,
            pieces,
            lease,
        } = job;
        let prompt = match prepare(model, &mut slot, &conversation) {
            Ok(prompt) => prompt,
            Err(error) => {
                drop(lease);
                let _ = started.send(Err(error));
                continue;
            }
        };
        drop(conversation);
        let Some(ready) = slot.as_mut() else { continue };
        let last = if started.send(Ok(())).is_ok() {
            ready.answer(&prompt, &pieces)
        } else {
            Err(Stop::Unwanted)
        };
        let last = match last {
            Ok(end) => Some(Ok(Piece::End(end))),
            Err(Stop::Unwanted) => None,
            Err(Stop::Failed(error)) => {
                // What the context holds now is anybody's guess.
                slot = None;
                Some(Err(error))
            }
        };
        // The next in line need not wait until this answer's reader has caught up.
        drop(lease);
        if let Some(last) = last {
            let _ = pieces.blocking_send(last);
        }
    }
}

fn prepare<'a>(
    model: &'a Model,
    slot: &mut Option<Slot<'a>>,
    conversation: &Conversation,
) -> Result<Vec<LlamaToken>, ChatError> {
    let prompt = model.prompt(conversation)?;
    if slot.is_none() {
        *slot = Some(Slot::new(model)?);
    }
    Ok(prompt)
}

/// Why an answer ended before its end.
enum Stop {
    Unwanted,
    Failed(ChatError),
}

struct Slot<'a> {
    model: &'a Model,
    context: LlamaContext<'a>,
    batch: LlamaBatch<'a>,
    /// The tokens at the beginning of the context that were read in whole batches. The next
    /// prompt need not read them again: at least the system prompt is the same most times. Only
    /// whole batches count, so that an answer is the same, to the bit, with and without this.
    read: Vec<LlamaToken>,
}

impl<'a> Slot<'a> {
    fn new(model: &'a Model) -> Result<Self, ChatError> {
        Ok(Self {
            model,
            context: model.new_context()?,
            batch: LlamaBatch::new(PROMPT_BATCH, 1),
            read: Vec::new(),
        })
    }

    fn answer(
        &mut self,
        prompt: &[LlamaToken],
        pieces: &mpsc::Sender<Result<Piece, ChatError>>,
    ) -> Result<End, Stop> {
        let began = Instant::now();
        let reused = self.read_prompt(prompt, pieces)?;
        let prompt_milliseconds = began.elapsed().as_millis();

        let room = self.model.context_tokens as usize - prompt.len();
        let limit = room.min(self.model.settings.max_answer_tokens as usize);
        let mut sampler = self.sampler();
        let mut text = TextStream::new(&self.model.template.stops);
        let mut bytes = Vec::with_capacity(64);
        let mut reason = EndReason::Length;
        let mut answered = 0;
        while answered < limit {
            self.check_sane()?;
            let token = sampler.sample(&self.context, -1);
            answered += 1;
            if self.model.is_end(token) || self.begins_turn(token) {
                reason = EndReason::Complete;
                break;
            }
            bytes.clear();
            self.model.append(token, &mut bytes);
            say(pieces, text.push(&bytes))?;
            if text.stopped() {
                reason = EndReason::Complete;
                break;
            }
            if answered < limit {
                self.decode(&[token], prompt.len() + answered - 1, true)?;
            }
        }
        say(pieces, text.finish())?;
        tracing::debug!(
            prompt_tokens = prompt.len(),
            reused_tokens = reused,
            prompt_milliseconds,
            answer_tokens = answered,
            milliseconds = began.elapsed().as_millis(),
            ?reason,
            "local answer"
        );
        let usage = Usage {
            prompt_tokens: prompt.len() as u64,
            answer_tokens: answered as u64,
        };
        Ok(End {
            reason,
            usage: Some(usage),
        })
    }

    /// Evaluates the prompt, as far as the context does not hold it already. Returns how many
    /// tokens it held.
    fn read_prompt(
        &mut self,
        prompt: &[LlamaToken],
        pieces: &mpsc::Sender<Result<Piece, ChatError>>,
    ) -> Result<usize, Stop> {
        let same = self
            .read
            .iter()
            .zip(prompt)
            .take_while(|(held, token)| held == token)
            .count();
        // The last token is always read, since what follows it is wanted.
        let mut reused = same.min(prompt.len() - 1) / PROMPT_BATCH * PROMPT_BATCH;
        // Models with a running state can't forget a part, but everything.
        if !self.forget_from(reused) {
            self.forget_from(0);
            reused = 0;
        }
        self.read.truncate(reused);
        let mut position = reused;
        for batch in prompt[reused..].chunks(PROMPT_BATCH) {
            if pieces.is_closed() {
                return Err(Stop::Unwanted);
            }
            let last = position + batch.len() == prompt.len();
            self.decode(batch, position, last)?;
            position += batch.len();
            if batch.len() == PROMPT_BATCH {
                self.read.extend_from_slice(batch);
            }
        }
        Ok(reused)
    }

    /// Takes what stands at this position and after it out of the context, if the model can.
    /// (`clear_kv_cache` would overwrite the whole memory as well, which takes milliseconds.)
    fn forget_from(&mut self, position: usize) -> bool {
        let position = u32::try_from(position).unwrap_or(0);
        matches!(
            self.context
                .clear_kv_cache_seq(Some(0), Some(position), None),
            Ok(true)
        )
    }

    /// Evaluates at most [`PROMPT_BATCH`] tokens; `answer_next` if what follows the last one is
    /// wanted.
    fn decode(
        &mut self,
        tokens: &[LlamaToken],
        position: usize,
        answer_next: bool,
    ) -> Result<(), Stop> {
        self.batch.clear();
        for (i, &token) in tokens.iter().enumerate() {
            let position = i32::try_from(position + i).unwrap_or(i32::MAX);
            let wanted = answer_next && i + 1 == tokens.len();
            self.batch
                .add(token, position, &[0], wanted)
                .map_err(|error| self.failed(&error.to_string()))?;
        }
        self.context
            .decode(&mut self.batch)
            .map_err(|error| self.failed(&error.to_string()))
    }

    /// A file with damaged weights loads like any other. What comes out are no numbers, or, where
    /// a download left a hole, the same one for every token.
    fn check_sane(&self) -> Result<(), Stop> {
        let logits = self.context.get_logits_ith(-1);
        let first = logits.first().copied().unwrap_or(f32::NAN);
        if logits.iter().any(|logit| logit.is_nan()) || logits.iter().all(|&logit| logit == first) {
            let settings = &self.model.settings;
            let reason = "the model computes nonsense: its weights are damaged";
            return Err(Stop::Failed(local(
                &settings.model,
                reason,
                settings.fetchable,
            )));
        }
        Ok(())
    }

    /// Whether the token marks the beginning of somebody's turn. Other control tokens do no
    /// harm: they are not shown.
    fn begins_turn(&self, token: LlamaToken) -> bool {
        self.model
            .control(token)
            .is_some_and(|text| self.model.template.stops.contains(&text))
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
                LlamaSampler::dist(settings.seed.unwrap_or_else(any_seed)),
            ]);
        }
        LlamaSampler::chain(samplers, true)
    }

    fn failed(&self, reason: &str) -> Stop {
        Stop::Failed(local(&self.model.settings.model, reason, false))
    }
}

fn say(pieces: &mpsc::Sender<Result<Piece, ChatError>>, text: String) -> Result<(), Stop> {
    if text.is_empty() {
        // A held-back piece is no reason to overlook that nobody listens.
        return if pieces.is_closed() {
            Err(Stop::Unwanted)
        } else {
            Ok(())
        };
    }
    pieces
        .blocking_send(Ok(Piece::Text(text)))
        .map_err(|_| Stop::Unwanted)
}

/// Another number each time.
fn any_seed() -> u32 {
    use std::hash::{BuildHasher, RandomState};
    let [a, b, c, d, ..] = RandomState::new().hash_one(()).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
