//! A gate in the middle of an answer.

use std::sync::Arc;

use tokio::sync::watch;

/// Holds answers back until the test has seen enough.
///
/// Given to [`Fault::gate`](crate::Fault::gate) and its like. The server waits at the gate, the
/// test learns so from [`reached`](Self::reached), looks at what the client has made of the first
/// half, and opens the gate. Nobody sleeps.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<State>>);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    reached: usize,
    open: bool,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(State::default())))
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        self.0.send_modify(|state| state.open = true);
    }

    /// Waits until an answer is held back here.
    pub async fn reached(&self) {
        self.reached_times(1).await;
    }

    /// Waits until `times` answers have come here.
    pub async fn reached_times(&self, times: usize) {
        let mut state = self.0.subscribe();
        // The sender lives in `self`, so the channel is open.
        let _ = state.wait_for(|state| state.reached >= times).await;
    }

    pub(crate) async fn pass(&self) {
        self.0.send_modify(|state| state.reached += 1);
        let mut state = self.0.subscribe();
        let _ = state.wait_for(|state| state.open).await;
    }
}
