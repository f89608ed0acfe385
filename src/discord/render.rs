//! What a reply shows at each moment. Pure: a view goes in, messages come out.

use std::time::Duration;

use super::text;
use super::wire::{Buttons, File, MAX_CHARS, Post};
use crate::flow::Stage;
use crate::flow::front::Outcome;
use crate::flow::order::Note;
use crate::speech::Progress;
use crate::speech::subtitles::Format;
use crate::store::JobId;
use crate::words::bot as words;

/// Characters of all quotes together; what is longer comes as a file.
const QUOTES: usize = 1_000;

/// Messages of one answer; what is longer comes as a file.
const MAX_MESSAGES: usize = 4;

/// Something that is being made.
#[derive(Clone, Default)]
pub(super) struct View {
    /// Who asks.
    pub(super) name: String,
    /// What is being done.
    pub(super) stage: Option<Stage>,
    /// How long each recording plays, where that is known.
    pub(super) recordings: Vec<Option<Duration>>,
    pub(super) progress: Option<Progress>,
    pub(super) notes: Vec<Note>,
    /// What there is of the answer.
    pub(super) partial: String,
    /// Lines about what happened on the way.
    pub(super) remarks: Vec<String>,
    /// What was asked aloud, in a call.
    pub(super) spoken: Option<String>,
}

impl View {
    /// What was heard, as quotes, and whether any of it had to be cut.
    fn quotes(&self, notes: &[Note]) -> (String, bool) {
        match &self.spoken {
            Some(spoken) if notes.is_empty() => {
                let (quote, cut) = text::quote(&self.name, spoken, QUOTES);
                (quote + "\n", cut)
            }
            _ => quotes(&self.name, notes),
        }
    }
}

/// The message while the work goes on.
pub(super) fn live(view: &View) -> Post {
    let (mut content, _) = view.quotes(&view.notes);
    if view.partial.trim().is_empty() {
        let number = view.notes.len();
        let recording = view.recordings.get(number).copied().flatten();
        let place = (number + 1, view.recordings.len());
        content.push_str(&words::status(
            view.stage,
            recording,
            view.progress,
            Some(place),
        ));
    } else {
        let room = MAX_CHARS - content.chars().count();
        content.push_str(&text::streaming(&text::answer(&view.partial), room));
    }
    Post::text(content)
}

/// The messages in the end. `footers` stand under the last one. With `single`, there is one
/// message, and the rest is a file.
pub(super) fn outcome(
    view: &View,
    outcome: &Outcome,
    job: Option<JobId>,
    footers: &[String],
    single: bool,
) -> Vec<Post> {
    let notes = match outcome {
        Outcome::Answered { notes, .. }
        | Outcome::Transcribed { notes }
        | Outcome::Failed { notes, .. } => notes,
        Outcome::Superseded => &view.notes,
    };
    let mut tail: Vec<String> = view.remarks.clone();
    let body = match outcome {
        Outcome::Answered {
            answer,
            end,
            notice,
            ..
        } => {
            tail.extend(words::ending(*end).map(str::to_owned));
            tail.extend(notice.map(|notice| format!("-# {notice}")));
            match text::is_blank(&answer.0) {
                true => words::NO_WORDS.to_owned(),
                false => text::answer(answer.0.trim()),
            }
        }
        Outcome::Transcribed { .. } => String::new(),
        Outcome::Failed { failure, .. } => broken_off(view, &words::failure(failure)),
        Outcome::Superseded => broken_off(view, words::SUPERSEDED),
    };
    tail.extend(footers.iter().cloned());
    let tail = tail.join("\n");

    let (head, cut) = view.quotes(notes);
    let mut files = transcripts(notes, cut);
    let room = |head: usize| {
        MAX_CHARS
            .saturating_sub(head)
            .saturating_sub(tail.chars().count() + 1)
    };
    let most = if single { 1 } else { MAX_MESSAGES };
    let split = text::split(&body, room(head.chars().count()), room(0), most);
    if split.rest {
        files.push(File {
            name: "answer.md".to_owned(),
            text: body.clone(),
        });
    }
    let mut parts = split.parts;
    if parts.is_empty() {
        parts.push(String::new());
    }
    let last = parts.len() - 1;
    parts
        .into_iter()
        .enumerate()
        .map(|(index, part)| {
            let mut content = if index == 0 {
                format!("{head}{part}")
            } else {
                part
            };
            if index == last && !tail.is_empty() {
                if !content.is_empty() && !content.ends_with('\n') {
                    content.push('\n');
                }
                content.push_str(&tail);
            }
            Post {
                content: content.trim_end().to_owned(),
                files: if index == last {
                    std::mem::take(&mut files)
                } else {
                    Vec::new()
                },
                buttons: job.filter(|_| index == last).map(Buttons::Answer),
            }
        })
        .collect()
}

/// What there is of an answer that broke off, and why there is no more.
fn broken_off(view: &View, sentence: &str) -> String {
    let partial = text::answer(view.partial.trim());
    if partial.is_empty() {
        return sentence.to_owned();
    }
    format!("{}\n\n{sentence}", text::streaming(&partial, 20_000))
}

/// What was heard, as quotes, and whether any of it had to be cut.
fn quotes(name: &str, notes: &[Note]) -> (String, bool) {
    let mut all = String::new();
    let mut cut = false;
    let each = QUOTES / notes.len().max(1);
    for note in notes {
        let (quote, shorter) = text::quote(name, &note.text, each);
        all.push_str(&quote);
        all.push('\n');
        cut |= shorter;
    }
    (all, cut)
}

/// The transcripts that were asked for as files, or that did not fit.
fn transcripts(notes: &[Note], cut: bool) -> Vec<File> {
    let stem = |note: &Note| match note.name.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem.to_owned(),
        _ => note.name.clone(),
    };
    notes
        .iter()
        .filter_map(|note| {
            let (extension, text) = match &note.file {
                // It is in the message already.
                Some((Format::Text, _)) | None if !cut => return None,
                Some((format, file)) => (format.extension(), file.clone()),
                None => (Format::Text.extension(), note.text.clone()),
            };
            Some(File {
                name: format!("{}.{extension}", stem(note)),
                text,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::chat::{ChatError, EndReason};
    use crate::flow::front::JobFailure;
    use crate::flow::{Answer, Failure};

    fn note(text: &str) -> Note {
        Note {
            name: "voice-message.ogg".to_owned(),
            text: text.to_owned(),
            millis: 3_000,
            file: None,
        }
    }

    fn view() -> View {
        View {
            name: "Ana".to_owned(),
            recordings: vec![Some(Duration::from_secs(3)), None],
            ..View::default()
        }
    }

    fn shown(posts: &[Post]) -> String {
        let mut all = String::new();
        for post in posts {
            let files: Vec<&str> = post.files.iter().map(|it| it.name.as_str()).collect();
            let buttons = if post.buttons.is_some() {
                " [buttons]"
            } else {
                ""
            };
            let content = ::net::shorten(&post.content, 300);
            let _ = writeln!(all, "{content}\n  {files:?}{buttons}\n");
        }
        all
    }

    #[test]
    fn a_message_grows() {
        let mut all = vec![live(&view())];
        let mut grown = View {
            stage: Some(Stage::Transcribing),
            progress: Some(Progress::Queued),
            ..view()
        };
        all.push(live(&grown));
        grown.notes.push(note("What is\nthis?"));
        grown.progress = None;
        all.push(live(&grown));
        grown.stage = Some(Stage::Answering);
        grown.notes.push(note("And that?"));
        all.push(live(&grown));
        grown.partial.push_str("It is a bird, and");
        all.push(live(&grown));
        insta::assert_snapshot!(shown(&all));
    }

    #[test]
    fn an_outcome_takes_its_place() {
        let answered = |text: &str, end| Outcome::Answered {
            notes: vec![note("Why?")],
            answer: Answer(text.to_owned()),
            end,
            notice: Some("Only a demonstration."),
        };
        let job = Some(JobId(7));
        let footer = ["-# First time here.".to_owned()];
        let mut all = String::new();
        let mut show = |posts: Vec<Post>| all.push_str(&shown(&posts));
        let whole = answered("Because.", EndReason::Complete);
        show(outcome(&view(), &whole, job, &footer, false));
        let cut = answered(&"A sentence. ".repeat(1_000), EndReason::Length);
        show(outcome(&view(), &cut, job, &[], false));
        show(outcome(&view(), &cut, None, &[], true));
        let broken = Outcome::Failed {
            notes: vec![note("Why?")],
            failure: JobFailure::Flow(Failure::Chat(ChatError::BrokeOff {
                reason: "cut".into(),
            })),
        };
        let half = View {
            partial: "Because of".to_owned(),
            ..view()
        };
        show(outcome(&half, &broken, job, &[], false));
        let mut srt = note(&"word ".repeat(400));
        srt.file = Some((Format::Srt, "1".to_owned()));
        let files = Outcome::Transcribed {
            notes: vec![srt, note("short")],
        };
        show(outcome(&view(), &files, None, &[], true));
        insta::assert_snapshot!(all);
    }
}
