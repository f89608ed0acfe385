//! Those who write down what is said.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::CHECK_LIMIT;
use super::report::Report;
use crate::app::App;
use crate::speech::SpeechError;
use crate::words;

/// The speech providers in the order in which they are tried. The first must work; the others
/// stand behind it. Whoever listens live must work too, since it was asked for.
pub(super) async fn check(app: &App) -> Report {
    let mut report = Report::default();
    for (index, transcriber) in app.transcribers.iter().enumerate() {
        let name = transcriber.capabilities().name;
        match timed(transcriber.probe()).await {
            Ok(took) => report.ok(name, &words::doctor::ready(took, index > 0)),
            Err(sentence) => report.graded(index == 0, name, &sentence),
        }
    }
    if let Some(live) = &app.live {
        match timed(live.probe()).await {
            Ok(took) => report.ok(live.name(), &words::doctor::live_ready(took)),
            Err(sentence) => report.broken(live.name(), &sentence),
        }
    }
    report
}

async fn timed(probe: impl Future<Output = Result<(), SpeechError>>) -> Result<Duration, String> {
    let started = Instant::now();
    match timeout(CHECK_LIMIT, probe).await {
        Ok(Ok(())) => Ok(started.elapsed()),
        Ok(Err(error)) => Err(words::speech(&error)),
        Err(_) => Err(words::no_answer_within(CHECK_LIMIT)),
    }
}
