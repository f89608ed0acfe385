//! The receiver decodes bit-exactly what libopus decodes.

use opus2::{Application, Bandwidth, Bitrate, Channels, Encoder};

use super::*;

/// Speech at 48 kHz.
fn speech(channels: Channels) -> Vec<f32> {
    let mut decoder = opus2::Decoder::new(48_000, channels).expect("a decoder");
    let mut block = [0.0; 5_760 * 2];
    let mut signal = Vec::new();
    for packet in sample("question") {
        let length = decoder
            .decode_float(&packet, &mut block, false)
            .expect("a packet");
        signal.extend_from_slice(&block[..length * channels as usize]);
    }
    signal
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum OpusMode {
    Silk,
    Hybrid,
    Celt,
}

/// The coding mode of a packet (RFC 6716, 3.1).
fn mode(packet: &[u8]) -> OpusMode {
    match packet[0] >> 3 {
        0..=11 => OpusMode::Silk,
        12..=15 => OpusMode::Hybrid,
        _ => OpusMode::Celt,
    }
}

#[test]
fn all_packet_kinds_decode_like_libopus() {
    let voip = Application::Voip;
    let delay = Application::LowDelay;
    let cases = [
        // Packet duration in half milliseconds, bitrate, application, bandwidth, expected mode.
        (40, 16_000, voip, Bandwidth::Wideband, OpusMode::Silk),
        (120, 12_000, voip, Bandwidth::Narrowband, OpusMode::Silk),
        (240, 16_000, voip, Bandwidth::Wideband, OpusMode::Silk),
        (20, 16_000, voip, Bandwidth::Mediumband, OpusMode::Silk),
        (40, 32_000, voip, Bandwidth::Fullband, OpusMode::Hybrid),
        (20, 32_000, voip, Bandwidth::Superwideband, OpusMode::Hybrid),
        (120, 32_000, voip, Bandwidth::Fullband, OpusMode::Hybrid),
        (5, 96_000, delay, Bandwidth::Fullband, OpusMode::Celt),
        (10, 64_000, delay, Bandwidth::Fullband, OpusMode::Celt),
        (40, 64_000, delay, Bandwidth::Fullband, OpusMode::Celt),
        (240, 128_000, delay, Bandwidth::Fullband, OpusMode::Celt),
    ];
    for channels in [Channels::Mono, Channels::Stereo] {
        let signal = speech(channels);
        for (halves, bitrate, application, bandwidth, kind) in cases {
            let mut encoder = Encoder::new(48_000, channels, application).expect("an encoder");
            let more = if channels == Channels::Stereo { 5 } else { 4 };
            encoder
                .set_bitrate(Bitrate::Bits(bitrate * more / 4))
                .expect("a bitrate");
            encoder.set_bandwidth(bandwidth).expect("a bandwidth");
            encoder
                .set_force_channels(Some(channels))
                .expect("channels");
            let ticks = halves * 24;
            let packets: Vec<Bytes> = signal
                .chunks_exact(ticks * channels as usize)
                .map(|part| encoder.encode_vec_float(part, 8_000).expect("a packet"))
                .map(Bytes::from)
                .collect();
            let name = format!("{halves}/2 ms of {kind:?}, {channels:?}, {bandwidth:?}");
            let right = packets.iter().filter(|packet| mode(packet) == kind).count();
            assert!(right * 10 > packets.len() * 9, "{name}: {right}");

            let sent: Vec<VoicePacket> = packets
                .iter()
                .enumerate()
                .map(|(index, opus)| VoicePacket {
                    sequence: index as u16,
                    timestamp: (index * ticks) as u32,
                    opus: opus.clone(),
                    received: Duration::from_micros((index as u64 + 1) * halves as u64 * 500),
                })
                .collect();
            let output = receive_then_finish(receiver_without_vad(), &sent);
            assert!(
                output.samples_from(Duration::ZERO) == decode_with_libopus(&packets),
                "{name}"
            );
            assert_eq!(output.stats.received, packets.len() as u64);
            assert_eq!(output.stats.lost + output.stats.damaged, 0, "{name}");
            assert_eq!(output.utterances()[0].start, Duration::ZERO, "{name}");
        }
    }
}

#[test]
fn packet_lengths_may_change() {
    let signal = speech(Channels::Mono);
    let mut encoder = Encoder::new(48_000, Channels::Mono, Application::Audio).expect("an encoder");
    let (mut at, mut sent, mut packets) = (0, Vec::new(), Vec::new());
    for (index, length) in [120, 960, 5_760, 240, 2_880, 480, 1_920]
        .iter()
        .cycle()
        .enumerate()
    {
        let Some(part) = signal.get(at..at + length) else {
            break;
        };
        at += length;
        let opus = Bytes::from(encoder.encode_vec_float(part, 8_000).expect("a packet"));
        packets.push(opus.clone());
        sent.push(VoicePacket {
            sequence: index as u16,
            timestamp: (at - length) as u32,
            opus,
            received: Duration::from_nanos(at as u64 * 1_000_000_000 / 48_000),
        });
    }
    let output = receive_then_finish(receiver_without_vad(), &sent);
    assert!(output.samples_from(Duration::ZERO) == decode_with_libopus(&packets));
    assert_eq!(output.stats.lost_duration, Duration::ZERO);
}
