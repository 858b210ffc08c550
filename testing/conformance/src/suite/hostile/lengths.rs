//! Lengths that are not so.

use super::Expected::Fails;
use super::handshakes::drip;
use super::{Hostile, flood};
use test_servers::scripted::{Kex, Packet};

/// What packets say of their length, and strings within them.
const LIES: [u32; 8] = [0, 1, 5, 12, 35_001, 0x0010_0000, 0x4000_0000, 0xffff_ffff];

pub(super) fn table() -> Vec<Hostile> {
    let mut table = Vec::new();
    for lie in LIES {
        table.push(Hostile::new(
            format!("a first packet that says it has {lie} bytes"),
            Fails,
            move |wire| {
                wire.greet("SSH-2.0-scripted")?;
                wire.send_lying(&Packet::new(20).string([7; 100]), lie)?;
                flood(wire, &Packet::new(2).string([7; 1000]))
            },
        ));
        table.push(Hostile::new(
            format!("a list that says it has {lie} bytes"),
            Fails,
            move |wire| {
                wire.greet("SSH-2.0-scripted")?;
                let mut packet = Packet::new(20);
                packet.0.extend([7; 16]);
                packet = packet.number(lie);
                packet.0.extend_from_slice(b"curve25519-sha256");
                wire.send(&packet)?;
                flood(wire, &Packet::new(2).string([7; 1000]))
            },
        ));
        table.push(Hostile::new(
            format!("an encrypted packet that says it has {lie} bytes"),
            Fails,
            move |wire| {
                wire.shake_hands(&Kex::default())?;
                wire.serve_login()?;
                wire.send_lying(&Packet::new(51).string("password").byte(0), lie)?;
                flood(wire, &Packet::new(2).string([7; 1000]))
            },
        ));
        table.push(Hostile::new(
            format!("a key that says it has {lie} bytes"),
            Fails,
            move |wire| {
                wire.greet("SSH-2.0-scripted")?;
                wire.exchange_lists(&Kex::default())?;
                let mut reply = Packet::new(31).number(lie);
                reply.0.extend([7; 300]);
                wire.send(&reply)?;
                flood(wire, &Packet::new(2).string([7; 1000]))
            },
        ));
        table.push(Hostile::new(
            format!("output that says it has {lie} bytes"),
            super::Expected::Either,
            move |wire| {
                wire.begin(&Kex::default())?;
                let command = wire.command()?;
                let mut packet = Packet::new(94).number(command).number(lie);
                packet.0.extend_from_slice(b"works\n");
                wire.send(&packet)?;
                wire.write(command, b"works\n")?;
                wire.finish(command, 0)?;
                wire.wait()
            },
        ));
    }
    table.push(Hostile::new("a packet, one byte at a time, behind login", Fails, |wire| {
        wire.begin(&Kex::default())?;
        wire.command()?;
        drip(wire, &[7; 500])
    }));
    table
}
