//! Packets encrypted with the connection's key: what Discord, or another member through it, might
//! send.

use sandbox::TestUser;

use super::{AbuseCases, SeededBytes, Victim, rtp_header};
use crate::Outcome;
use crate::marked_packets;

/// An SSRC that no user has.
const UNKNOWN_SSRC: u32 = 0x7000_0001;

/// Streams that are not announced.
const UNKNOWN_STREAMS: u32 = 5_000;

pub(super) async fn abuse_packets(cases: &AbuseCases<'_>) -> Outcome<()> {
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
        cases
            .run_case(what, async |victim| {
                for ssrc in [UNKNOWN_SSRC, victim.attacker().ssrc()] {
                    for sequence in 0..15 {
                        let header = [&rtp_header(flags, sequence, ssrc), more].concat();
                        victim.send_packet(&header, body);
                    }
                }
                Ok(())
            })
            .await?;
    }
    cases
        .run_case(
            "1000 packets of random Opus, encrypted as usual",
            async |victim| {
                let mut random = SeededBytes::new();
                for number in 0..1_000 {
                    let length = 1 + random.next_below(300);
                    let opus = random.next_bytes(length);
                    let encrypted = victim
                        .attacker()
                        .encrypt_opus_packet(&opus)
                        .unwrap_or_default();
                    send_frame(victim, victim.attacker(), number, &encrypted);
                    victim.let_drain(usize::from(number)).await;
                }
                Ok(())
            },
        )
        .await?;
    cases
        .run_case("1000 random DAVE trailers", async |victim| {
            let mut random = SeededBytes::new();
            for number in 0..1_000 {
                let length = random.next_below(60);
                let mut body = random.next_bytes(length);
                body.push(random.next() as u8);
                body.extend([0xfa, 0xfa]);
                send_frame(victim, victim.attacker(), number, &body);
                victim.let_drain(usize::from(number)).await;
            }
            Ok(())
        })
        .await?;
    cases
        .run_case("frames cut off at every length", async |victim| {
            let whole = marked_packets::marked_packet(victim.attacker().id(), 1);
            let encrypted = victim
                .attacker()
                .encrypt_opus_packet(&whole)
                .unwrap_or_default();
            for length in 0..encrypted.len() {
                send_frame(
                    victim,
                    victim.attacker(),
                    length as u16,
                    &encrypted[..length],
                );
                let tail = [&encrypted[..length], &encrypted[encrypted.len() - 3..]].concat();
                send_frame(victim, victim.attacker(), 1_000 + length as u16, &tail);
                victim.let_drain(length * 2).await;
            }
            Ok(())
        })
        .await
}

fn send_frame(victim: &Victim<'_>, from: &TestUser, number: u16, body: &[u8]) {
    // Far from the sequence numbers that the stream really has.
    let header = rtp_header(0x80, number.wrapping_add(10_000), from.ssrc());
    victim.send_packet(&header, body);
}

pub(super) async fn abuse_many_streams(cases: &AbuseCases<'_>) -> Outcome<()> {
    cases
        .run_case(
            &format!("{UNKNOWN_STREAMS} unknown streams"),
            async |victim| {
                for first in (0..UNKNOWN_STREAMS).step_by(50) {
                    let streams = first..first + 50;
                    let discord = &victim.0.discord;
                    discord.flood_with_streams(victim.id(), streams);
                    victim.let_drain(0).await;
                }
                Ok(())
            },
        )
        .await?;
    cases
        .run_case("the SSRC is announced for another member", async |victim| {
            let (attacker, ssrc) = (victim.attacker().id(), victim.talker().ssrc());
            let discord = &victim.0.discord;
            discord.announce_speaker_to(victim.id(), attacker, ssrc);
            Ok(())
        })
        .await?;
    cases
        .run_case("the SSRC is announced for an absent user", async |victim| {
            let discord = &victim.0.discord;
            discord.announce_speaker_to(victim.id(), 77, victim.talker().ssrc());
            Ok(())
        })
        .await
}
