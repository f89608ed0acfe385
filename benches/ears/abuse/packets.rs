//! Packets under the connection's key: what Discord, or another member by way of it, might send.

use sandbox::TestUser;

use super::{AbuseCases, SeededBytes, Victim, header};
use crate::Outcome;
use crate::said;

/// A stream of nobody.
const NOBODY: u32 = 0x7000_0001;

/// Streams that nobody has announced.
const STREAMS: u32 = 5_000;

pub(super) async fn abuse_packets(lines: &AbuseCases<'_>) -> Outcome<()> {
    let shapes: [(&str, u8, &[u8], &[u8]); 6] = [
        ("padding bit and no body", 0xa0, &[], &[]),
        ("more padding than body", 0xa0, &[], &[1, 2, 200]),
        ("padding of 0", 0xa0, &[], &[1, 2, 0]),
        (
            "an extension longer than the packet",
            0x90,
            &[0xbe, 0xde, 0xff, 0xff],
            &[1, 2, 3, 4],
        ),
        (
            "an extension, padding and no body",
            0xb0,
            &[0xbe, 0xde, 0, 1],
            &[],
        ),
        ("15 sources and no body", 0x8f, &[0; 60], &[]),
    ];
    for (what, flags, more, body) in shapes {
        lines
            .line(what, async |victim| {
                for ssrc in [NOBODY, victim.mallory().ssrc()] {
                    for sequence in 0..15 {
                        let header = [&header(flags, sequence, ssrc), more].concat();
                        victim.packet(&header, body);
                    }
                }
                Ok(())
            })
            .await?;
    }
    lines
        .line(
            "1000 packets of random Opus, encrypted as usual",
            async |victim| {
                let mut random = SeededBytes::new();
                for number in 0..1_000 {
                    let length = 1 + random.below(300);
                    let opus = random.bytes(length);
                    let sealed = victim
                        .mallory()
                        .encrypt_opus_packet(&opus)
                        .unwrap_or_default();
                    send(victim, victim.mallory(), number, &sealed);
                    victim.let_drain(usize::from(number)).await;
                }
                Ok(())
            },
        )
        .await?;
    lines
        .line("1000 random DAVE trailers", async |victim| {
            let mut random = SeededBytes::new();
            for number in 0..1_000 {
                let length = random.below(60);
                let mut body = random.bytes(length);
                body.push(random.next() as u8);
                body.extend([0xfa, 0xfa]);
                send(victim, victim.mallory(), number, &body);
                victim.let_drain(usize::from(number)).await;
            }
            Ok(())
        })
        .await?;
    lines
        .line("frames cut off at every length", async |victim| {
            let whole = said::packet(victim.mallory().id(), 1);
            let sealed = victim
                .mallory()
                .encrypt_opus_packet(&whole)
                .unwrap_or_default();
            for length in 0..sealed.len() {
                send(victim, victim.mallory(), length as u16, &sealed[..length]);
                let tail = [&sealed[..length], &sealed[sealed.len() - 3..]].concat();
                send(victim, victim.mallory(), 1_000 + length as u16, &tail);
                victim.let_drain(length * 2).await;
            }
            Ok(())
        })
        .await
}

fn send(victim: &Victim<'_>, from: &TestUser, number: u16, body: &[u8]) {
    // Not where the stream really is.
    let header = header(0x80, number.wrapping_add(10_000), from.ssrc());
    victim.packet(&header, body);
}

pub(super) async fn streams(lines: &AbuseCases<'_>) -> Outcome<()> {
    lines
        .line(&format!("{STREAMS} streams of nobody"), async |victim| {
            for first in (0..STREAMS).step_by(50) {
                let streams = first..first + 50;
                let discord = &victim.0.discord;
                discord.flood_with_streams(victim.id(), streams);
                victim.let_drain(0).await;
            }
            Ok(())
        })
        .await?;
    lines
        .line(
            "another member is said to speak with the stream",
            async |victim| {
                let (mallory, ssrc) = (victim.mallory().id(), victim.ana().ssrc());
                let discord = &victim.0.discord;
                discord.announce_speaker_to(victim.id(), mallory, ssrc);
                Ok(())
            },
        )
        .await?;
    lines
        .line(
            "one who is not there is said to speak with it",
            async |victim| {
                let discord = &victim.0.discord;
                discord.announce_speaker_to(victim.id(), 77, victim.ana().ssrc());
                Ok(())
            },
        )
        .await
}
