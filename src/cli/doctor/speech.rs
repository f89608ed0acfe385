//! The speech providers.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::CHECK_TIMEOUT;
use super::report::DoctorReport;
use crate::app::App;
use crate::speech::SpeechError;
use crate::ui_text;

/// Checks the speech providers in order. The first must work; the others are fallbacks. The live
/// transcriber must work too, since the settings ask for it.
pub(super) async fn check(app: &App) -> DoctorReport {
    let mut report = DoctorReport::default();
    for (index, transcriber) in app.transcribers.iter().enumerate() {
        let name = transcriber.capabilities().name;
        match time_probe(transcriber.probe()).await {
            Ok(took) => report.ok(
                name,
                &ui_text::doctor::speech_provider_ready(took, index > 0),
            ),
            Err(sentence) => report.fail_or_warn(index == 0, name, &sentence),
        }
    }
    if let Some(live) = &app.live_transcriber {
        match time_probe(live.probe()).await {
            Ok(took) => report.ok(live.name(), &ui_text::doctor::streaming_ready(took)),
            Err(sentence) => report.fail(live.name(), &sentence),
        }
    }
    report
}

async fn time_probe(
    probe: impl Future<Output = Result<(), SpeechError>>,
) -> Result<Duration, String> {
    let started = Instant::now();
    match timeout(CHECK_TIMEOUT, probe).await {
        Ok(Ok(())) => Ok(started.elapsed()),
        Ok(Err(error)) => Err(ui_text::speech_error(&error)),
        Err(_) => Err(ui_text::check_timed_out(CHECK_TIMEOUT)),
    }
}
