//! Datagrams that are not encrypted with the connection's key.

use super::{AbuseCases, SeededBytes, rtp_header};
use crate::Outcome;

/// An SSRC that no user has.
const UNKNOWN_SSRC: u32 = 0x7000_0001;

pub(super) async fn abuse_datagrams(cases: &AbuseCases<'_>) -> Outcome<()> {
    cases
        .run_case("30 datagrams with a body of 4 bytes", async |victim| {
            for number in 0..30 {
                let ssrc = [UNKNOWN_SSRC, victim.talker().ssrc()][usize::from(number % 2)];
                let mut bytes = rtp_header(0x80, number, ssrc);
                bytes.extend([0, 0, 0, 1]);
                victim.send_datagram(&bytes);
            }
            Ok(())
        })
        .await?;
    cases
        .run_case("datagrams of every length up to 64", async |victim| {
            for flags in [0x80, 0x90, 0xb0, 0x8f] {
                let mut bytes = rtp_header(flags, 1, victim.talker().ssrc());
                bytes.resize(64, 0xff);
                for length in 0..=64 {
                    victim.send_datagram(&bytes[..length]);
                    victim.let_drain(length).await;
                }
            }
            Ok(())
        })
        .await?;
    cases
        .run_case("1000 random datagrams", async |victim| {
            let mut random = SeededBytes::new();
            for number in 0..1_000 {
                let length = random.next_below(1_400);
                victim.send_datagram(&random.next_bytes(length));
                victim.let_drain(number).await;
            }
            Ok(())
        })
        .await?;
    cases
        .run_case(
            "1000 random datagrams with a talker's header",
            async |victim| {
                let mut random = SeededBytes::new();
                for number in 0..1_000 {
                    let sequence = random.next() as u16;
                    let mut bytes = rtp_header(0x80, sequence, victim.talker().ssrc());
                    let length = random.next_below(300);
                    bytes.extend(random.next_bytes(length));
                    victim.send_datagram(&bytes);
                    victim.let_drain(number).await;
                }
                Ok(())
            },
        )
        .await
}
