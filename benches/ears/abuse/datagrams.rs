//! Datagrams that are under no key.

use super::{AbuseCases, SeededBytes, header};
use crate::Outcome;

/// A stream of nobody.
const NOBODY: u32 = 0x7000_0001;

pub(super) async fn abuse_datagrams(lines: &AbuseCases<'_>) -> Outcome<()> {
    lines
        .line("30 datagrams with a body of 4 bytes", async |victim| {
            for number in 0..30 {
                let ssrc = [NOBODY, victim.ana().ssrc()][usize::from(number % 2)];
                let mut bytes = header(0x80, number, ssrc);
                bytes.extend([0, 0, 0, 1]);
                victim.datagram(&bytes);
            }
            Ok(())
        })
        .await?;
    lines
        .line("datagrams of every length up to 64", async |victim| {
            for flags in [0x80, 0x90, 0xb0, 0x8f] {
                let mut bytes = header(flags, 1, victim.ana().ssrc());
                bytes.resize(64, 0xff);
                for length in 0..=64 {
                    victim.datagram(&bytes[..length]);
                    victim.let_drain(length).await;
                }
            }
            Ok(())
        })
        .await?;
    lines
        .line("1000 random datagrams", async |victim| {
            let mut random = SeededBytes::new();
            for number in 0..1_000 {
                let length = random.below(1_400);
                victim.datagram(&random.bytes(length));
                victim.let_drain(number).await;
            }
            Ok(())
        })
        .await?;
    lines
        .line(
            "1000 random datagrams with a talker's header",
            async |victim| {
                let mut random = SeededBytes::new();
                for number in 0..1_000 {
                    let sequence = random.next() as u16;
                    let mut bytes = header(0x80, sequence, victim.ana().ssrc());
                    let length = random.below(300);
                    bytes.extend(random.bytes(length));
                    victim.datagram(&bytes);
                    victim.let_drain(number).await;
                }
                Ok(())
            },
        )
        .await
}
