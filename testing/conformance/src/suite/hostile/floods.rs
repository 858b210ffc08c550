//! Packets that nobody asked for, without end, of each type.

use super::Expected::Fails;
use super::{Hostile, flood};
use test_servers::scripted::{Kex, Packet};

/// Types, with what a client might take for one of its own.
const TYPES: [(u8, &str); 24] = [
    (2, "IGNORE"),
    (3, "UNIMPLEMENTED"),
    (4, "DEBUG"),
    (6, "SERVICE_ACCEPT"),
    (7, "EXT_INFO"),
    (21, "NEWKEYS"),
    (31, "KEX_ECDH_REPLY"),
    (51, "USERAUTH_FAILURE"),
    (52, "USERAUTH_SUCCESS"),
    (53, "USERAUTH_BANNER"),
    (60, "USERAUTH_INFO_REQUEST"),
    (80, "GLOBAL_REQUEST"),
    (81, "REQUEST_SUCCESS"),
    (82, "REQUEST_FAILURE"),
    (90, "CHANNEL_OPEN"),
    (91, "CHANNEL_OPEN_CONFIRMATION"),
    (92, "CHANNEL_OPEN_FAILURE"),
    (93, "CHANNEL_WINDOW_ADJUST"),
    (96, "CHANNEL_EOF"),
    (97, "CHANNEL_CLOSE"),
    (98, "CHANNEL_REQUEST"),
    (99, "CHANNEL_SUCCESS"),
    (100, "CHANNEL_FAILURE"),
    (192, "a type of its own"),
];

/// A packet of a type, about a channel that there may be.
fn packet(kind: u8, length: usize) -> Packet {
    let packet = Packet::new(kind);
    match kind {
        2 => packet.string(vec![7; length]),
        4 => packet.byte(0).string(vec![7; length]).string(""),
        6 => packet.string("ssh-userauth"),
        7 => packet.number(1).string("server-sig-algs").string(vec![7; length]),
        51 => packet.string("password").byte(0),
        53 => packet.string(vec![b'x'; length]).string(""),
        60 => packet.string("n").string("i").string("").number(0),
        80 => packet.string("keepalive@openssh.com").byte(1),
        90 => packet.string("session").number(0).number(1 << 20).number(32_768),
        91 => packet.number(5).number(5).number(1 << 20).number(32_768),
        92 => packet.number(5).number(1).string("no").string(""),
        93 => packet.number(0).number(1),
        96 | 97 | 99 | 100 => packet.number(7),
        98 => packet.number(7).string("x").byte(1),
        21 | 52 => packet,
        _ => packet.number(0).string(vec![7; length]),
    }
}

pub(super) fn table() -> Vec<Hostile> {
    let mut table = Vec::new();
    for (kind, name) in TYPES {
        // Before login, an answer to it among them is none.
        table.push(Hostile::new(format!("{name} ({kind}) without end before login"), Fails, {
            move |wire| {
                wire.shake_hands(&Kex::default())?;
                flood(wire, &packet(kind, 1000))
            }
        }));
        table.push(Hostile::new(format!("{name} ({kind}) without end behind login"), Fails, {
            move |wire| {
                wire.begin(&Kex::default())?;
                wire.command()?;
                flood(wire, &packet(kind, 1000))
            }
        }));
    }
    table
}
