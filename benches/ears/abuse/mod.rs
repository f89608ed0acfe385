//! What a hostile server, network or member may send, and whether others are still received
//! afterwards.

mod datagrams;
mod gateway_messages;
mod packets;

use std::time::Duration;

use sandbox::TestUser;

use super::Outcome;
use super::call::{BenchCall, BenchServer, run_and_describe};
use super::process::Process;

/// Packets that the talker sends afterwards.
const TALKER_PACKETS: u32 = 25;

/// Packets of silence that follow.
const TRAILING_SILENCE_PACKETS: usize = 5;

/// The time limit of one case.
const CASE_TIMEOUT: Duration = Duration::from_secs(120);

/// How long the listener has to process what was sent.
const PROCESSING_TIME: Duration = Duration::from_millis(300);

pub(crate) async fn bench_abuse(server: &BenchServer, part: &str) -> Outcome<()> {
    println!("abuse: packets of another user that are received afterwards");
    let cases = AbuseCases { server, part };
    datagrams::abuse_datagrams(&cases).await?;
    packets::abuse_packets(&cases).await?;
    packets::abuse_many_streams(&cases).await?;
    gateway_messages::abuse_gateway_messages(&cases).await?;
    gateway_messages::abuse_heartbeats(&cases).await
}

/// The server, and which cases to run: those whose name contains `part`.
struct AbuseCases<'a> {
    server: &'a BenchServer,
    part: &'a str,
}

impl AbuseCases<'_> {
    /// Runs the case for each listener, which has received both users before, and prints a line for
    /// each.
    async fn run_case(
        &self,
        what: &str,
        abuse: impl AsyncFn(&Victim<'_>) -> Outcome<()>,
    ) -> Outcome<()> {
        self.run_case_unconnected(what, async |call| {
            call.join_listener_with_keys().await?;
            for person in &call.people {
                call.say(person, 5).await;
            }
            abuse(&Victim(call)).await
        })
        .await
    }

    /// The same with a listener that has not joined yet.
    async fn run_case_unconnected(
        &self,
        what: &str,
        abuse: impl AsyncFn(&mut BenchCall) -> Outcome<()>,
    ) -> Outcome<()> {
        if !what.contains(self.part) {
            return Ok(());
        }
        for kind in &self.server.kinds {
            let mut call = self.server.new_call(*kind, 2, true)?;
            let memory = Process(std::process::id());
            let mut grown = 0.0;
            let case = async {
                call.join_everybody().await?;
                let before = memory.memory_mib();
                abuse(&mut call).await?;
                tokio::time::sleep(PROCESSING_TIME).await;
                grown = memory.memory_mib() - before;
                call.reset_counts();
                call.say(&call.people[0], TALKER_PACKETS).await;
                Outcome::Ok(())
            };
            let failure = run_and_describe(CASE_TIMEOUT, case).await;
            // The packets of silence at the end don't count.
            let (tally, _) = call.packet_tally();
            let heard = tally.correct.saturating_sub(TRAILING_SILENCE_PACKETS);
            println!(
                "  {what:<58} {:<8} | heard {heard:>2}/{TALKER_PACKETS} | {:+.1} MiB | {}{failure}",
                kind.name(),
                grown,
                call.loss_causes(&tally)
            );
            call.leave_all().await;
        }
        Ok(())
    }
}

/// The call of the listener under test.
struct Victim<'a>(&'a BenchCall);

impl Victim<'_> {
    /// The user whose packets are counted.
    fn talker(&self) -> &TestUser {
        &self.0.people[0]
    }

    /// A hostile member of the call.
    fn attacker(&self) -> &TestUser {
        &self.0.people[1]
    }

    fn id(&self) -> u64 {
        self.0.listening_user.id()
    }

    /// Sends bytes from the server's address.
    fn send_datagram(&self, bytes: &[u8]) {
        self.0.discord.send_datagram_to(self.id(), bytes);
    }

    /// Sends a packet encrypted with the connection's key.
    fn send_packet(&self, header: &[u8], body: &[u8]) {
        self.0.discord.send_packet_to(self.id(), header, body);
    }

    /// Pauses now and then, so that the socket's buffer does not overflow.
    async fn let_drain(&self, sent: usize) {
        if sent.is_multiple_of(50) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The header of an RTP packet with Opus. `flags` is its first byte.
fn rtp_header(flags: u8, sequence: u16, ssrc: u32) -> Vec<u8> {
    let mut header = vec![flags, 0x78];
    header.extend(sequence.to_be_bytes());
    header.extend((u32::from(sequence) * 960).to_be_bytes());
    header.extend(ssrc.to_be_bytes());
    header
}

/// Pseudorandom bytes, the same in every run.
struct SeededBytes(u64);

impl SeededBytes {
    fn new() -> Self {
        Self(0x2545_f491_4f6c_dd1d)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn next_below(&mut self, limit: usize) -> usize {
        (self.next() >> 20) as usize % limit
    }

    fn next_bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_be_bytes()[3]).collect()
    }
}
