//! A gate in the middle of an answer.

use std::sync::Arc;

use tokio::sync::watch;

/// Holds answers back until the test has seen enough.
///
/// Given to [`Fault::gate`](crate::Fault::gate) and its like. The server waits at the gate, the
/// test learns so from [`wait_until_reached`](Self::wait_until_reached), looks at what the client has made of the first
/// half, and opens the gate. Nobody sleeps.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<GateState>>);

#[derive(Clone, Copy, Debug, Default)]
struct GateState {
    arrivals: usize,
    is_open: bool,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(GateState::default())))
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        self.0.send_modify(|state| state.is_open = true);
    }

    /// Waits until an answer is held back here.
    pub async fn wait_until_reached(&self) {
        self.wait_until_reached_times(1).await;
    }

    /// Waits until `times` answers have come here.
    pub async fn wait_until_reached_times(&self, times: usize) {
        let mut state = self.0.subscribe();
        // The sender lives in `self`, so the channel is open.
        let _ = state.wait_for(|state| state.arrivals >= times).await;
    }

    pub(crate) async fn wait_until_open(&self) {
        self.0.send_modify(|state| state.arrivals += 1);
        let mut state = self.0.subscribe();
        let _ = state.wait_for(|state| state.is_open).await;
    }
}
