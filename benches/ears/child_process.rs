//! A listener as a process of its own, so that its CPU time and memory are its alone.
//!
//! It reads invitations, one a line, and joins each call. Whatever it is told then ends it: it says
//! how many packets it has heard and decoded, and leaves.

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

/// Set in a process that listens: to the kind of listener, and whether it decodes.
pub(crate) const LISTENER_VARIABLE: &str = "EARS_LISTENS";

/// What is told of each call that is connected.
pub(crate) const CONNECTED: &str = "connected";

/// The end of the invitations.
pub(crate) const END_OF_INVITATIONS: &str = "end";

/// Words of an invitation.
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

/// What is heard in all calls.
struct DecodeCounts {
    is_decoding: bool,
    received: AtomicUsize,
    decoded: AtomicUsize,
}

/// What is heard in one call: each person's decoder.
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

/// Listens as it is told on standard input.
pub(crate) fn run_child(how: &str) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let _on_it = runtime.enter();
    let all = Arc::new(DecodeCounts {
        is_decoding: how.ends_with("decodes"),
        received: AtomicUsize::new(0),
        decoded: AtomicUsize::new(0),
    });
    let (mut own, mut theirs) = (Vec::new(), Vec::new());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if line == END_OF_INVITATIONS {
            break;
        }
        let invited = parse_invitation(&line)?;
        if how.starts_with(ReceiverKind::Own.name()) {
            own.push(connect_receiver(&invited, ChildCall::new(&all)));
        } else {
            let call = Mutex::new(ChildCall::new(&all));
            let mut driver = driver_with_callback(move |told| match told {
                DriverReport::Packet(Some(user), _, _, opus) => call
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .decode_packet(user, opus),
                DriverReport::Connected => print_line(CONNECTED),
                DriverReport::Packet(..) | DriverReport::Ended(_) => {}
            });
            runtime.spawn(driver.connect(connection_info(&invited)?));
            theirs.push(driver);
        }
    }
    let mut told = String::new();
    std::io::stdin().read_line(&mut told)?;
    let counts: Vec<ReceiveStats> = own.iter().map(VoiceHandle::stats).collect();
    let sum = |of: fn(&ReceiveStats) -> u64| counts.iter().map(of).sum::<u64>();
    print_line(&format!(
        "{} heard, {} decoded; no speaker {}, no key {}, no room {}, overrun {}, waited {}",
        all.received.load(Ordering::Relaxed),
        all.decoded.load(Ordering::Relaxed),
        sum(|it| it.no_speaker),
        sum(|it| it.no_key),
        sum(|it| it.buffer_full),
        sum(|it| it.overrun),
        sum(|it| it.delayed),
    ));
    drop(theirs);
    runtime.shutdown_background();
    Ok(())
}

fn print_line(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody is left to be told that nobody listens.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Our own receiver.
fn connect_receiver(invited: &VoiceConnectionInfo, mut call: ChildCall) -> VoiceHandle {
    let (handle, mut heard) = connect(
        super::own_receiver::connection_info(invited),
        ConnectOptions::default(),
    );
    tokio::spawn(async move {
        while let Some(heard) = heard.recv().await {
            match heard {
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
