//! What a hostile server, network or member sends, and whether others are heard after it.

mod datagrams;
mod gateway_messages;
mod packets;

use std::time::Duration;

use sandbox::TestUser;

use super::Outcome;
use super::call::{BenchCall, BenchServer, run_and_describe};
use super::process::Process;

/// Packets that the talker says afterwards.
const TALKER_PACKETS: u32 = 25;

/// Packets of silence that follow.
const TRAILING_SILENCE_PACKETS: usize = 5;

/// The longest that one line may take.
const CASE_TIMEOUT: Duration = Duration::from_secs(120);

/// How long what was sent has to be dealt with.
const PROCESSING_TIME: Duration = Duration::from_millis(300);

pub(crate) async fn abuse(place: &BenchServer, part: &str) -> Outcome<()> {
    println!("abuse: packets of somebody that are heard after it");
    let lines = AbuseCases {
        server: place,
        part,
    };
    datagrams::abuse_datagrams(&lines).await?;
    packets::abuse_packets(&lines).await?;
    packets::streams(&lines).await?;
    gateway_messages::abuse_gateway_messages(&lines).await?;
    gateway_messages::abuse_heartbeats(&lines).await
}

/// Where lines are measured, and which.
struct AbuseCases<'a> {
    server: &'a BenchServer,
    part: &'a str,
}

impl AbuseCases<'_> {
    /// One line for each listener, who hears Ana and Mallory before it is abused.
    async fn line(
        &self,
        what: &str,
        abuse: impl AsyncFn(&Victim<'_>) -> Outcome<()>,
    ) -> Outcome<()> {
        self.line_with(what, async |call| {
            call.listens().await?;
            for person in &call.people {
                call.says(person, 5).await;
            }
            abuse(&Victim(call)).await
        })
        .await
    }

    /// The same with one who does not listen yet.
    async fn line_with(
        &self,
        what: &str,
        abuse: impl AsyncFn(&mut BenchCall) -> Outcome<()>,
    ) -> Outcome<()> {
        if !what.contains(self.part) {
            return Ok(());
        }
        for kind in &self.server.kinds {
            let mut call = self.server.call(*kind, 2, true)?;
            let memory = Process(std::process::id());
            let mut grown = 0.0;
            let happening = async {
                call.join_everybody().await?;
                let before = memory.memory_mib();
                abuse(&mut call).await?;
                tokio::time::sleep(PROCESSING_TIME).await;
                grown = memory.memory_mib() - before;
                call.reset_counts();
                call.says(&call.people[0], TALKER_PACKETS).await;
                Outcome::Ok(())
            };
            let trouble = run_and_describe(CASE_TIMEOUT, happening).await;
            // The five of silence at the end don't count.
            let (tally, _) = call.packet_tally();
            let heard = tally.correct.saturating_sub(TRAILING_SILENCE_PACKETS);
            println!(
                "  {what:<58} {:<8} | heard {heard:>2}/{TALKER_PACKETS} | {:+.1} MiB | {}{trouble}",
                kind.name(),
                grown,
                call.loss_causes(&tally)
            );
            call.leave_all().await;
        }
        Ok(())
    }
}

/// Whom it is done to.
struct Victim<'a>(&'a BenchCall);

impl Victim<'_> {
    /// Whose packets are counted.
    fn ana(&self) -> &TestUser {
        &self.0.people[0]
    }

    /// Who is a member of the call too, and hostile.
    fn mallory(&self) -> &TestUser {
        &self.0.people[1]
    }

    fn id(&self) -> u64 {
        self.0.eve.id()
    }

    /// Sends bytes from the server's address.
    fn datagram(&self, bytes: &[u8]) {
        self.0.discord.send_datagram_to(self.id(), bytes);
    }

    /// Sends a packet under the connection's key.
    fn packet(&self, header: &[u8], body: &[u8]) {
        self.0.discord.send_packet_to(self.id(), header, body);
    }

    /// Lets the listener take what was sent: a socket's buffer is small.
    async fn let_drain(&self, sent: usize) {
        if sent.is_multiple_of(50) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The head of an RTP packet with Opus. `flags` are its first byte.
fn header(flags: u8, sequence: u16, ssrc: u32) -> Vec<u8> {
    let mut header = vec![flags, 0x78];
    header.extend(sequence.to_be_bytes());
    header.extend((u32::from(sequence) * 960).to_be_bytes());
    header.extend(ssrc.to_be_bytes());
    header
}

/// The same bytes in every run.
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

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 20) as usize % limit
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_be_bytes()[3]).collect()
    }
}
