//! Events on their way out, and what faults do to them.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::fault::{Fault, StreamFault};
use crate::mock_response::BodyStep;

/// One event of a stream.
#[derive(Clone, Debug)]
pub(super) enum StreamEvent {
    /// A chunk that carries a piece of the answer's text.
    Text(Value),
    /// Any other chunk.
    Chunk(Value),
    /// `[DONE]`.
    Done,
}

/// The steps in which `events` go out: each event in a write of its own.
pub(super) fn to_steps(events: &[StreamEvent], fault: &Fault) -> Vec<BodyStep> {
    let mut writer = SseWriter::new(fault);
    writer.write_preamble();
    let mut texts = 0;
    let mut begun = false;
    for event in events {
        // "After 0 pieces" is after the chunk that opens the answer.
        let before_text = matches!(event, StreamEvent::Text(_)) && !begun;
        if before_text {
            begun = true;
            if writer.apply_faults_after(0) {
                return writer.finish();
            }
        }
        match event {
            StreamEvent::Text(chunk) => {
                writer.write_event(&chunk.to_string());
                texts += 1;
                if writer.apply_faults_after(texts) {
                    return writer.finish();
                }
            }
            StreamEvent::Chunk(chunk) => writer.write_event(&chunk.to_string()),
            StreamEvent::Done
                if writer.has_fault(|fault| matches!(fault, StreamFault::OmitDone)) => {}
            StreamEvent::Done => writer.write_event("[DONE]"),
        }
    }
    writer.finish()
}

struct SseWriter<'a> {
    faults: Vec<&'a StreamFault>,
    steps: Vec<BodyStep>,
    line_end: &'static str,
}

impl<'a> SseWriter<'a> {
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

    fn has_fault(&self, wanted: impl Fn(&StreamFault) -> bool) -> bool {
        self.faults.iter().any(|fault| wanted(fault))
    }

    fn write_line(&mut self, line: &str) {
        let end = self.line_end;
        let is_short = |fault: &StreamFault| {
            matches!(
                fault,
                StreamFault::NoBlankLines | StreamFault::OmitDataField
            )
        };
        let second = if self.has_fault(is_short) { "" } else { end };
        self.send(format!("{line}{end}{second}").into());
    }

    fn write_event(&mut self, data: &str) {
        if self.has_fault(|fault| matches!(fault, StreamFault::OmitDataField)) {
            return self.write_line(data);
        }
        self.write_line(&format!("data: {data}"));
        if self.has_fault(|fault| matches!(fault, StreamFault::Comments)) {
            self.write_line(": keep-alive");
        }
    }

    fn send(&mut self, bytes: Bytes) {
        if self.has_fault(|fault| matches!(fault, StreamFault::SplitUtf8)) {
            self.split_at(&bytes, &offsets_inside_chars(&bytes));
        } else if self.has_fault(|fault| matches!(fault, StreamFault::SplitEvents)) {
            self.split_at(&bytes, &[bytes.len() / 2]);
        } else {
            self.steps.push(BodyStep::Send(bytes));
        }
    }

    fn split_at(&mut self, bytes: &Bytes, places: &[usize]) {
        let mut start = 0;
        for place in places.iter().copied().chain([bytes.len()]) {
            self.steps.push(BodyStep::Send(bytes.slice(start..place)));
            start = place;
        }
    }

    fn write_preamble(&mut self) {
        for fault in self.faults.clone() {
            match fault {
                StreamFault::ByteOrderMark => self.send("\u{feff}".into()),
                StreamFault::Comments => self.write_line(": OPENROUTER PROCESSING"),
                StreamFault::HugeLine(bytes) => {
                    let comment = format!(": {}", "x".repeat(bytes.saturating_sub(2)));
                    self.write_line(&comment);
                }
                _ => {}
            }
        }
    }

    /// What happens after this many pieces of text. True: nothing comes after it.
    fn apply_faults_after(&mut self, pieces: usize) -> bool {
        for fault in self.faults.clone() {
            match fault {
                StreamFault::EndAfter(at) if *at == pieces => return true,
                StreamFault::CloseAfter(at) if *at == pieces => {
                    self.steps.push(BodyStep::Close);
                    return true;
                }
                StreamFault::HangAfter(at) if *at == pieces => {
                    self.steps.push(BodyStep::Hang);
                    return true;
                }
                StreamFault::GateAfter(gate, at) if *at == pieces => {
                    self.steps.push(BodyStep::Gate(gate.clone()));
                }
                StreamFault::ErrorAfter(at, message) if *at == pieces => {
                    let error = json!({"error": {
                        "message": message, "type": "server_error", "param": null, "code": null,
                    }});
                    self.write_event(&error.to_string());
                    return true;
                }
                StreamFault::GarbageAfter(at) if *at == pieces => {
                    self.write_event("{\"choices\": [{");
                }
                StreamFault::Endless if pieces > 0 => {
                    let Some(BodyStep::Send(last)) = self.steps.last().cloned() else {
                        continue;
                    };
                    self.steps.push(BodyStep::RepeatForever(last));
                    return true;
                }
                _ => {}
            }
        }
        false
    }

    fn finish(mut self) -> Vec<BodyStep> {
        if self.has_fault(|fault| matches!(fault, StreamFault::NoFinalNewline))
            && let Some(BodyStep::Send(last)) = self.steps.last_mut()
        {
            let end = last.iter().rposition(|byte| !b"\r\n".contains(byte));
            last.truncate(end.map_or(0, |end| end + 1));
        }
        if !self.has_fault(|fault| matches!(fault, StreamFault::SingleWrite)) {
            return self.steps;
        }
        let mut joined: Vec<BodyStep> = Vec::new();
        let mut together = Vec::new();
        for step in self.steps {
            match step {
                BodyStep::Send(bytes) => together.extend_from_slice(&bytes),
                other => {
                    joined.push(BodyStep::Send(std::mem::take(&mut together).into()));
                    joined.push(other);
                }
            }
        }
        joined.push(BodyStep::Send(together.into()));
        joined
    }
}

/// Places inside characters of more than one byte, one in each.
fn offsets_inside_chars(bytes: &[u8]) -> Vec<usize> {
    (1..bytes.len())
        .filter(|&place| is_continuation(bytes[place]) && !is_continuation(bytes[place - 1]))
        .collect()
}

fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}
