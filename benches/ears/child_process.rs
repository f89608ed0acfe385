//! A listener as a child process, so that its CPU time and memory can be measured alone.
//!
//! It reads invitations from standard input, one per line, and joins each call. After the last one,
//! any further line ends it: it prints how many packets it has received and decoded, and leaves.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use opus2::{Channels, Decoder};
use sandbox::VoiceConnectionInfo;
use voice_receive::{ConnectOptions, ReceiveStats, VoiceEvent, VoiceHandle, connect};

use super::Outcome;
use super::listener::ReceiverKind;
use super::songbird_receiver::{DriverReport, connection_info, driver_with_callback};

/// Set in the child process, to the kind of listener and whether it decodes.
pub(crate) const LISTENER_VARIABLE: &str = "EARS_LISTENS";

/// The line that is printed for each call that is connected.
pub(crate) const CONNECTED: &str = "connected";

/// The line after the last invitation.
pub(crate) const END_OF_INVITATIONS: &str = "end";

/// An invitation as a line.
pub(crate) fn format_invitation(it: &VoiceConnectionInfo) -> String {
    let (guild, channel, user) = (it.guild_id, it.channel_id, it.user_id);
    let (session, token, endpoint) = (&it.session_id, &it.token, &it.endpoint);
    format!("{guild} {channel} {user} {session} {token} {endpoint}")
}

fn parse_invitation(line: &str) -> Outcome<VoiceConnectionInfo> {
    let mut words = line.split_whitespace();
    let mut next = || words.next().ok_or("too few words");
    Ok(VoiceConnectionInfo {
        guild_id: next()?.parse()?,
        channel_id: next()?.parse()?,
        user_id: next()?.parse()?,
        session_id: next()?.to_owned(),
        token: next()?.to_owned(),
        endpoint: next()?.to_owned(),
    })
}

/// The counters of all calls.
struct DecodeCounts {
    is_decoding: bool,
    received: AtomicUsize,
    decoded: AtomicUsize,
}

/// One call, with a decoder for each user.
struct ChildCall {
    all: Arc<DecodeCounts>,
    decoders: HashMap<u64, Decoder>,
}

impl ChildCall {
    fn new(all: &Arc<DecodeCounts>) -> Self {
        Self {
            all: Arc::clone(all),
            decoders: HashMap::new(),
        }
    }

    fn decode_packet(&mut self, user: u64, opus: &[u8]) {
        self.all.received.fetch_add(1, Ordering::Relaxed);
        if !self.all.is_decoding {
            return;
        }
        let decoder = match self.decoders.entry(user) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => match Decoder::new(16_000, Channels::Mono) {
                Ok(decoder) => entry.insert(decoder),
                Err(_) => return,
            },
        };
        let mut block = [0.0_f32; 1_920];
        if decoder.decode_float(opus, &mut block, false).is_ok() {
            self.all.decoded.fetch_add(1, Ordering::Relaxed);
        }
        std::hint::black_box(&block);
    }
}

/// Runs the child process. `mode` is the value of [`LISTENER_VARIABLE`].
pub(crate) fn run_child(mode: &str) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let _guard = runtime.enter();
    let all = Arc::new(DecodeCounts {
        is_decoding: mode.ends_with("decodes"),
        received: AtomicUsize::new(0),
        decoded: AtomicUsize::new(0),
    });
    let (mut own_handles, mut songbird_drivers) = (Vec::new(), Vec::new());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if line == END_OF_INVITATIONS {
            break;
        }
        let invited = parse_invitation(&line)?;
        if mode.starts_with(ReceiverKind::Own.name()) {
            own_handles.push(connect_receiver(&invited, ChildCall::new(&all)));
        } else {
            let call = Mutex::new(ChildCall::new(&all));
            let mut driver = driver_with_callback(move |report| match report {
                DriverReport::Packet(Some(user), _, _, opus) => call
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .decode_packet(user, opus),
                DriverReport::Connected => print_line(CONNECTED),
                DriverReport::Packet(..) | DriverReport::Ended(_) => {}
            });
            runtime.spawn(driver.connect(connection_info(&invited)?));
            songbird_drivers.push(driver);
        }
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let counts: Vec<ReceiveStats> = own_handles.iter().map(VoiceHandle::stats).collect();
    let sum = |of: fn(&ReceiveStats) -> u64| counts.iter().map(of).sum::<u64>();
    print_line(&format!(
        "{} received, {} decoded; no speaker {}, no key {}, buffer full {}, overrun {}, delayed {}",
        all.received.load(Ordering::Relaxed),
        all.decoded.load(Ordering::Relaxed),
        sum(|it| it.no_speaker),
        sum(|it| it.no_key),
        sum(|it| it.buffer_full),
        sum(|it| it.overrun),
        sum(|it| it.delayed),
    ));
    drop(songbird_drivers);
    runtime.shutdown_background();
    Ok(())
}

fn print_line(line: &str) {
    let mut out = std::io::stdout().lock();
    // The parent process may have ended.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Joins a call with our own receiver.
fn connect_receiver(invited: &VoiceConnectionInfo, mut call: ChildCall) -> VoiceHandle {
    let (handle, mut events) = connect(
        super::own_receiver::connection_info(invited),
        ConnectOptions::default(),
    );
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            match event {
                VoiceEvent::Connected => print_line(CONNECTED),
                VoiceEvent::Packets(packets) => {
                    for it in packets {
                        call.decode_packet(it.user_id, &it.opus);
                    }
                }
                _ => {}
            }
        }
    });
    handle
}
