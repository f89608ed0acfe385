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
use sandbox::VoiceInvitation;
use voice_receive::{Counts, Handle, Heard, Options, connect};

use super::Outcome;
use super::listener::Kind;
use super::theirs::{Told, driver_with, info};

/// Set in a process that listens: to the kind of listener, and whether it decodes.
pub(crate) const LISTENS: &str = "EARS_LISTENS";

/// What is told of each call that is connected.
pub(crate) const CONNECTED: &str = "connected";

/// The end of the invitations.
pub(crate) const END: &str = "end";

/// Words of an invitation.
pub(crate) fn told(it: &VoiceInvitation) -> String {
    let (guild, channel, user) = (it.guild_id, it.channel_id, it.user_id);
    let (session, token, endpoint) = (&it.session_id, &it.token, &it.endpoint);
    format!("{guild} {channel} {user} {session} {token} {endpoint}")
}

fn understood(line: &str) -> Outcome<VoiceInvitation> {
    let mut words = line.split_whitespace();
    let mut next = || words.next().ok_or("too few words");
    Ok(VoiceInvitation {
        guild_id: next()?.parse()?,
        channel_id: next()?.parse()?,
        user_id: next()?.parse()?,
        session_id: next()?.to_owned(),
        token: next()?.to_owned(),
        endpoint: next()?.to_owned(),
    })
}

/// What is heard in all calls.
struct Decoding {
    decodes: bool,
    heard: AtomicUsize,
    decoded: AtomicUsize,
}

/// What is heard in one call: each person's decoder.
struct Call {
    all: Arc<Decoding>,
    decoders: HashMap<u64, Decoder>,
}

impl Call {
    fn new(all: &Arc<Decoding>) -> Self {
        Self {
            all: Arc::clone(all),
            decoders: HashMap::new(),
        }
    }

    fn hears(&mut self, user: u64, opus: &[u8]) {
        self.all.heard.fetch_add(1, Ordering::Relaxed);
        if !self.all.decodes {
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
pub(crate) fn listen(how: &str) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let _on_it = runtime.enter();
    let all = Arc::new(Decoding {
        decodes: how.ends_with("decodes"),
        heard: AtomicUsize::new(0),
        decoded: AtomicUsize::new(0),
    });
    let (mut own, mut theirs) = (Vec::new(), Vec::new());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if line == END {
            break;
        }
        let invited = understood(&line)?;
        if how.starts_with(Kind::Own.name()) {
            own.push(hears(&invited, Call::new(&all)));
        } else {
            let call = Mutex::new(Call::new(&all));
            let mut driver = driver_with(move |told| match told {
                Told::Packet(Some(user), _, _, opus) => call
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .hears(user, opus),
                Told::Connected => tells(CONNECTED),
                Told::Packet(..) | Told::Ended(_) => {}
            });
            runtime.spawn(driver.connect(info(&invited)?));
            theirs.push(driver);
        }
    }
    let mut told = String::new();
    std::io::stdin().read_line(&mut told)?;
    let counts: Vec<Counts> = own.iter().map(Handle::counts).collect();
    let sum = |of: fn(&Counts) -> u64| counts.iter().map(of).sum::<u64>();
    tells(&format!(
        "{} heard, {} decoded; no speaker {}, no key {}, no room {}, overrun {}, waited {}",
        all.heard.load(Ordering::Relaxed),
        all.decoded.load(Ordering::Relaxed),
        sum(|it| it.no_speaker),
        sum(|it| it.no_key),
        sum(|it| it.no_room),
        sum(|it| it.overrun),
        sum(|it| it.waited),
    ));
    drop(theirs);
    runtime.shutdown_background();
    Ok(())
}

fn tells(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody is left to be told that nobody listens.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Our own receiver.
fn hears(invited: &VoiceInvitation, mut call: Call) -> Handle {
    let (handle, mut heard) = connect(super::own::info(invited), Options::default());
    tokio::spawn(async move {
        while let Some(heard) = heard.recv().await {
            match heard {
                Heard::Connected => tells(CONNECTED),
                Heard::Packets(packets) => {
                    for it in packets {
                        call.hears(it.user, &it.opus);
                    }
                }
                _ => {}
            }
        }
    });
    handle
}
