//! From the bytes of a body to the data of its events.

use bytes::Bytes;
use eventsource_stream::{EventStreamError, Eventsource};
use futures_util::{Stream, StreamExt};

use super::guard::Guard;
use crate::net::NetError;

/// Why the events stopped.
#[derive(Debug)]
pub enum Cut {
    /// The connection broke.
    Broken(NetError),
    /// The stream is not one of events, or larger than any answer.
    Senseless(&'static str),
}

/// The data of the events in a body, whatever pieces it comes in. Lines, events and the whole
/// are bounded before a parser sees them.
pub fn event_data(
    body: impl Stream<Item = Result<Bytes, NetError>>,
) -> impl Stream<Item = Result<String, Cut>> {
    let mut guard = Guard::default();
    let bounded = body.map(move |chunk| {
        let chunk = chunk.map_err(Cut::Broken)?;
        if guard.admits(&chunk) {
            Ok(chunk)
        } else {
            Err(Cut::Senseless("a line, an event or the stream has no end"))
        }
    });
    bounded.eventsource().map(|event| match event {
        Ok(event) => Ok(event.data),
        Err(EventStreamError::Transport(cut)) => Err(cut),
        Err(EventStreamError::Utf8(_)) => Err(Cut::Senseless("not UTF-8")),
        Err(EventStreamError::Parser(_)) => Err(Cut::Senseless("not an event stream")),
    })
}
