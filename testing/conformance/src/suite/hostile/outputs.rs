//! What a command's channel brings.

use super::Expected::{Either, Fails, Works};
use super::{Hostile, flood};
use test_servers::scripted::{Kex, Packet};

pub(super) fn table() -> Vec<Hostile> {
    let mut table = Vec::new();
    for kind in [0, 2, 3, 0x7fff_ffff, 0xffff_ffff] {
        table.push(Hostile::new(
            format!("a packet of extended data of type {kind}"),
            Works,
            move |wire| {
                wire.begin(&Kex::default())?;
                let command = wire.command()?;
                wire.write_extended(command, kind, b"of no known kind")?;
                wire.write(command, b"works\n")?;
                wire.finish(command, 0)?;
                wire.wait()
            },
        ));
    }
    table.extend([
        // More than a window: so its room must be given back.
        Hostile::new("more extended data of type 7 than there is room for", Works, |wire| {
            wire.begin(&Kex::default())?;
            let command = wire.command()?;
            wire.write(command, b"wor")?;
            let mut room = 2_000_000_u32;
            for _ in 0..230 {
                while room < 10_000 {
                    // CHANNEL_WINDOW_ADJUST
                    let word = wire.receive_kind(93)?;
                    let more = word.get(5..9).and_then(|more| more.first_chunk());
                    room += more.map_or(0, |more| u32::from_be_bytes(*more));
                }
                wire.write_extended(command, 7, &[b'x'; 10_000])?;
                room -= 10_000;
            }
            wire.write(command, b"ks\n")?;
            wire.finish(command, 0)?;
            wire.wait()
        }),
        Hostile::new("output for a channel that isn't there", Works, |wire| {
            wire.begin(&Kex::default())?;
            let command = wire.command()?;
            wire.write(command + 1000, b"nobody's")?;
            wire.write(command, b"works\n")?;
            wire.finish(command, 0)?;
            wire.wait()
        }),
        Hostile::new("more output than there is room for", Either, |wire| {
            wire.begin(&Kex::default())?;
            let command = wire.command()?;
            wire.write(command, b"works\n")?;
            wire.flood(&Packet::new(94).number(command).string([]), 1000)?;
            wire.finish(command, 0)?;
            wire.wait()
        }),
        Hostile::new("output without end", Fails, |wire| {
            wire.begin(&Kex::default())?;
            let command = wire.command()?;
            flood(wire, &Packet::new(94).number(command).string([7; 16_384]))
        }),
        Hostile::new("output without end, one byte in each packet", Fails, |wire| {
            wire.begin(&Kex::default())?;
            let command = wire.command()?;
            flood(wire, &Packet::new(94).number(command).string([7]))
        }),
        Hostile::new("exit statuses without end", Fails, |wire| {
            wire.begin(&Kex::default())?;
            let command = wire.command()?;
            let status = Packet::new(98).number(command).string("exit-status").byte(0).number(0);
            flood(wire, &status)
        }),
        Hostile::new("announcements of its other keys without end", Fails, |wire| {
            wire.begin(&Kex::default())?;
            wire.command()?;
            let key = Packet::default().string("ssh-ed25519").string([7; 32]).0;
            let all = Packet::new(80).string("hostkeys-00@openssh.com").byte(0);
            flood(wire, &(0..500).fold(all, |all, _| all.string(&key)))
        }),
        Hostile::new("channels that it opens without end, of kinds of its own", Fails, |wire| {
            wire.begin(&Kex::default())?;
            wire.command()?;
            let kind = Packet::new(90).string("x".repeat(1000));
            flood(wire, &kind.number(0).number(1 << 20).number(32_768))
        }),
        Hostile::new("requests of thirty thousand bytes on the command's channel", Fails, |wire| {
            wire.begin(&Kex::default())?;
            let command = wire.command()?;
            let request = Packet::new(98).number(command).string("x".repeat(30_000)).byte(1);
            flood(wire, &request)
        }),
        Hostile::new("a signal's name of thirty thousand bytes", Fails, |wire| {
            wire.begin(&Kex::default())?;
            let command = wire.command()?;
            let signal = Packet::new(98).number(command).string("exit-signal").byte(0);
            wire.send(&signal.string([b'x'; 30_000]).byte(0).string("").string(""))?;
            wire.wait()
        }),
        // The exchange is signed and goes through the connection that the first key secured.
        Hostile::new("another host key when keys are agreed on anew", Either, |wire| {
            wire.begin(&Kex::default())?;
            let command = wire.command()?;
            wire.agree(&Kex::default())?;
            wire.write(command, b"works\n")?;
            wire.finish(command, 0)?;
            wire.wait()
        }),
    ]);
    table
}
