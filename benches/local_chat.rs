//! Speed of the local chat model: tokens per second, and time to the first token.
//!
//! ```text
//! cargo bench --bench local_chat -- MODEL.gguf [--threads N] [--rounds N] [--against PYTHON]
//! ```
//!
//! With `--against`, the same work is done by `llama-cpp-python` through
//! `benches/compare/llama_cpp_python.py`, run by that Python. The rounds are interleaved, so that
//! other load on the machine affects both. The medians and their ratio are printed; more than 1
//! means that we are faster. Every prompt is new, so that nothing is cached; tokens per second are
//! those after the first. Both choose the likeliest token.

use std::io::{BufRead, BufReader, Write};
use std::num::NonZeroUsize;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use futures_util::StreamExt;
use talkback::chat::local::{LocalChatModel, LocalChatSettings};
use talkback::chat::{AnswerChunk, ChatModel, ChatRole, ChatTurn, Conversation};

const CONTEXT_TOKENS: u32 = 1024;
const MAX_ANSWER_TOKENS: u32 = 96;
const SYSTEM: &str = "You are a helpful assistant. The questions are spoken, and may hold \
    recognition errors. Answer as one would aloud: briefly, in whole sentences.";

type BenchResult<T> = Result<T, Box<dyn std::error::Error>>;

/// One answer's speed.
#[derive(Clone, Copy)]
struct AnswerSpeed {
    /// Milliseconds until the first token.
    first_token_ms: f64,
    /// Tokens per second after it.
    tokens_per_second: f64,
    prompt_tokens: u64,
    answer_tokens: u64,
}

fn main() -> BenchResult<()> {
    let mut model = None;
    let mut threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let mut rounds = 9;
    let mut python = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or("a value is missing");
        match argument.as_str() {
            // Added by cargo.
            "--bench" | "--test" => {}
            "--threads" => threads = value()?.parse()?,
            "--rounds" => rounds = value()?.parse()?,
            "--against" => python = Some(value()?),
            _ => model = Some(argument),
        }
    }
    let Some(model) = model else {
        eprintln!("name a GGUF file: cargo bench --bench local_chat -- MODEL.gguf");
        return Ok(());
    };

    let mut settings = LocalChatSettings::new(&model);
    settings.context_tokens = CONTEXT_TOKENS;
    settings.max_answer_tokens = MAX_ANSWER_TOKENS;
    settings.temperature = 0.0;
    settings.repeat_penalty = 1.0;
    settings.threads = NonZeroUsize::new(threads);
    let ours = LocalChatModel::new(settings);
    let mut theirs = python
        .map(|python| LlamaCppPython::start(&python, &model, threads))
        .transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;

    let mut speeds = (Vec::new(), Vec::new());
    // The first round warms both up.
    for round in 0..=rounds {
        let question = format!(
            "{round} is my lucky number. Write a long story about a ship, its captain and the sea."
        );
        // Begins with the number too, so that no prefix is cached from the round before.
        let system = format!("Round {round}. {SYSTEM}");
        let our = runtime.block_on(measure(&ours, &system, &question))?;
        let their = theirs
            .as_mut()
            .map(|theirs| theirs.measure(&system, &question))
            .transpose()?;
        if round > 0 {
            speeds.0.push(our);
            speeds.1.extend(their);
        }
    }

    println!("{threads} threads, {rounds} rounds, medians");
    let our = report("talkback", &speeds.0);
    if !speeds.1.is_empty() {
        let their = report("llama-cpp-python", &speeds.1);
        println!(
            "ratio: {:.2} x its tokens/s, {:.2} x its speed to the first token",
            our.1 / their.1,
            their.0 / our.0
        );
    }
    Ok(())
}

fn report(name: &str, speeds: &[AnswerSpeed]) -> (f64, f64) {
    let first = median(speeds.iter().map(|speed| speed.first_token_ms).collect());
    let rate = median(speeds.iter().map(|speed| speed.tokens_per_second).collect());
    let (prompt, answer) = speeds
        .last()
        .map_or((0, 0), |speed| (speed.prompt_tokens, speed.answer_tokens));
    println!(
        "{name:17} {rate:6.1} tokens/s, first token after {first:6.1} ms ({prompt} tokens read, {answer} written)"
    );
    (first, rate)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

async fn measure(model: &LocalChatModel, system: &str, question: &str) -> BenchResult<AnswerSpeed> {
    let turn = ChatTurn {
        role: ChatRole::User,
        speaker_name: None,
        text: question.to_owned(),
    };
    let conversation = Conversation {
        system: system.to_owned(),
        turns: vec![turn],
    };
    let started = Instant::now();
    let mut answer = model.answer(&conversation).await?;
    let mut first = None;
    while let Some(chunk) = answer.next().await {
        match chunk? {
            AnswerChunk::Text(_) => {
                first.get_or_insert_with(|| started.elapsed().as_secs_f64());
            }
            AnswerChunk::Retract => {}
            AnswerChunk::End(end) => {
                let first = first.ok_or("no answer")?;
                let usage = end.usage.ok_or("no usage")?;
                let rest = started.elapsed().as_secs_f64() - first;
                #[expect(clippy::cast_precision_loss, reason = "hundreds")]
                let rate = (usage.answer_tokens - 1) as f64 / rest;
                return Ok(AnswerSpeed {
                    first_token_ms: first * 1e3,
                    tokens_per_second: rate,
                    prompt_tokens: usage.prompt_tokens,
                    answer_tokens: usage.answer_tokens,
                });
            }
        }
    }
    Err("the answer broke off".into())
}

/// `llama-cpp-python` in a child process: one line of JSON in, one line out.
struct LlamaCppPython {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl LlamaCppPython {
    fn start(python: &str, model: &str, threads: usize) -> BenchResult<Self> {
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/benches/compare/llama_cpp_python.py"
        );
        let mut process = Command::new(python)
            .args([script, model])
            .args([
                CONTEXT_TOKENS.to_string(),
                MAX_ANSWER_TOKENS.to_string(),
                threads.to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = process.stdin.take().ok_or("no pipe")?;
        let output = BufReader::new(process.stdout.take().ok_or("no pipe")?);
        Ok(Self {
            process,
            input,
            output,
        })
    }

    fn measure(&mut self, system: &str, question: &str) -> BenchResult<AnswerSpeed> {
        writeln!(
            self.input,
            "{}",
            serde_json::json!({ "system": system, "question": question })
        )?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let value: serde_json::Value = serde_json::from_str(&line)?;
        let number = |key: &str| value[key].as_f64().ok_or("a number is missing");
        let count = |key: &str| value[key].as_u64().ok_or("a count is missing");
        Ok(AnswerSpeed {
            first_token_ms: number("first_ms")?,
            tokens_per_second: number("tokens_per_second")?,
            prompt_tokens: count("prompt_tokens")?,
            answer_tokens: count("answer_tokens")?,
        })
    }
}

impl Drop for LlamaCppPython {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
