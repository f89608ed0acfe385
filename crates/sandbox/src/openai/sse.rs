//! Events on their way out, and what faults do to them.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::answer::Step;
use crate::fault::{Fault, StreamFault};

/// One event of a stream.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A chunk that carries a piece of the answer's text.
    Text(Value),
    /// Any other chunk.
    Chunk(Value),
    /// `[DONE]`.
    Done,
}

/// The steps in which `events` go out: each event in a write of its own.
pub(super) fn steps(events: &[Event], fault: &Fault) -> Vec<Step> {
    let mut writer = Writer::new(fault);
    writer.before_all();
    let mut texts = 0;
    let mut begun = false;
    for event in events {
        // "After 0 pieces" is after the chunk that opens the answer.
        let before_text = matches!(event, Event::Text(_)) && !begun;
        if before_text {
            begun = true;
            if writer.after_text(0) {
                return writer.finish();
            }
        }
        match event {
            Event::Text(chunk) => {
                writer.event(&chunk.to_string());
                texts += 1;
                if writer.after_text(texts) {
                    return writer.finish();
                }
            }
            Event::Chunk(chunk) => writer.event(&chunk.to_string()),
            Event::Done if writer.has(|fault| matches!(fault, StreamFault::NoDone)) => {}
            Event::Done => writer.event("[DONE]"),
        }
    }
    writer.finish()
}

struct Writer<'a> {
    faults: Vec<&'a StreamFault>,
    steps: Vec<Step>,
    line_end: &'static str,
}

impl<'a> Writer<'a> {
    fn new(fault: &'a Fault) -> Self {
        let faults: Vec<_> = fault.stream_faults().collect();
        let line_end = faults.iter().find_map(|fault| match fault {
            StreamFault::Crlf => Some("\r\n"),
            StreamFault::Cr => Some("\r"),
            _ => None,
        });
        Self {
            faults,
            steps: Vec::new(),
            line_end: line_end.unwrap_or("\n"),
        }
    }

    fn has(&self, wanted: impl Fn(&StreamFault) -> bool) -> bool {
        self.faults.iter().any(|fault| wanted(fault))
    }

    fn line(&mut self, line: &str) {
        let end = self.line_end;
        let is_short =
            |fault: &StreamFault| matches!(fault, StreamFault::OneLineEnd | StreamFault::NoField);
        let second = if self.has(is_short) { "" } else { end };
        self.send(format!("{line}{end}{second}").into());
    }

    fn event(&mut self, data: &str) {
        if self.has(|fault| matches!(fault, StreamFault::NoField)) {
            return self.line(data);
        }
        self.line(&format!("data: {data}"));
        if self.has(|fault| matches!(fault, StreamFault::Comments)) {
            self.line(": keep-alive");
        }
    }

    fn send(&mut self, bytes: Bytes) {
        if self.has(|fault| matches!(fault, StreamFault::SplitUtf8)) {
            self.split_at(&bytes, &inside_characters(&bytes));
        } else if self.has(|fault| matches!(fault, StreamFault::SplitEvents)) {
            self.split_at(&bytes, &[bytes.len() / 2]);
        } else {
            self.steps.push(Step::Send(bytes));
        }
    }

    fn split_at(&mut self, bytes: &Bytes, places: &[usize]) {
        let mut start = 0;
        for place in places.iter().copied().chain([bytes.len()]) {
            self.steps.push(Step::Send(bytes.slice(start..place)));
            start = place;
        }
    }

    fn before_all(&mut self) {
        for fault in self.faults.clone() {
            match fault {
                StreamFault::ByteOrderMark => self.send("\u{feff}".into()),
                StreamFault::Comments => self.line(": OPENROUTER PROCESSING"),
                StreamFault::HugeLine(bytes) => {
                    let comment = format!(": {}", "x".repeat(bytes.saturating_sub(2)));
                    self.line(&comment);
                }
                _ => {}
            }
        }
    }

    /// What happens after this many pieces of text. True: nothing comes after it.
    fn after_text(&mut self, pieces: usize) -> bool {
        for fault in self.faults.clone() {
            match fault {
                StreamFault::EndAfter(at) if *at == pieces => return true,
                StreamFault::CutAfter(at) if *at == pieces => {
                    self.steps.push(Step::Cut);
                    return true;
                }
                StreamFault::HangAfter(at) if *at == pieces => {
                    self.steps.push(Step::Hang);
                    return true;
                }
                StreamFault::GateAfter(gate, at) if *at == pieces => {
                    self.steps.push(Step::Gate(gate.clone()));
                }
                StreamFault::ErrorAfter(at, message) if *at == pieces => {
                    let error = json!({"error": {
                        "message": message, "type": "server_error", "param": null, "code": null,
                    }});
                    self.event(&error.to_string());
                    return true;
                }
                StreamFault::GarbageAfter(at) if *at == pieces => self.event("{\"choices\": [{"),
                StreamFault::Endless if pieces > 0 => {
                    let Some(Step::Send(last)) = self.steps.last().cloned() else {
                        continue;
                    };
                    self.steps.push(Step::Forever(last));
                    return true;
                }
                _ => {}
            }
        }
        false
    }

    fn finish(mut self) -> Vec<Step> {
        if self.has(|fault| matches!(fault, StreamFault::NoLastLineEnd))
            && let Some(Step::Send(last)) = self.steps.last_mut()
        {
            let end = last.iter().rposition(|byte| !b"\r\n".contains(byte));
            last.truncate(end.map_or(0, |end| end + 1));
        }
        if !self.has(|fault| matches!(fault, StreamFault::OneWrite)) {
            return self.steps;
        }
        let mut joined: Vec<Step> = Vec::new();
        let mut together = Vec::new();
        for step in self.steps {
            match step {
                Step::Send(bytes) => together.extend_from_slice(&bytes),
                other => {
                    joined.push(Step::Send(std::mem::take(&mut together).into()));
                    joined.push(other);
                }
            }
        }
        joined.push(Step::Send(together.into()));
        joined
    }
}

/// Places inside characters of more than one byte, one in each.
fn inside_characters(bytes: &[u8]) -> Vec<usize> {
    (1..bytes.len())
        .filter(|&place| is_continuation(bytes[place]) && !is_continuation(bytes[place - 1]))
        .collect()
}

fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}
