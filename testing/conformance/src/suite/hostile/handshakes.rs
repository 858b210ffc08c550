//! Before keys are agreed on.

use std::thread::sleep;
use std::time::Duration;

use ssh_session::Kind;

use super::Expected::{Fails, FailsBy};
use super::{Hostile, flood_time};
use test_servers::keys::{KeyKind, KeyPair};
use test_servers::scripted::{Kex, Packet, Wire};

/// Between two bytes of a server that is slow on purpose.
const DRIP: Duration = Duration::from_millis(100);

fn rsa() -> Kex {
    // Made once: it takes a process.
    static KEY: std::sync::OnceLock<KeyPair> = std::sync::OnceLock::new();
    let key = KEY.get_or_init(|| KeyPair::new(KeyKind::Rsa2048).expect("an RSA key"));
    Kex::with_key(key.private_key().clone(), "rsa-sha2-512")
}

/// Sends bytes one by one.
pub(super) fn drip(wire: &mut Wire, bytes: &[u8]) -> std::io::Result<()> {
    for byte in bytes {
        wire.send_bytes(&[*byte])?;
        sleep(DRIP);
    }
    Ok(())
}

pub(super) fn table() -> Vec<Hostile> {
    vec![
        Hostile::new("lines without end before its greeting", Fails, |wire| {
            let start = std::time::Instant::now();
            let line = "no greeting\r\n".repeat(1000);
            while start.elapsed() < flood_time() {
                wire.send_bytes(line.as_bytes())?;
            }
            Ok(())
        }),
        Hostile::new("a greeting without end", Fails, |wire| {
            wire.send_bytes(b"SSH-2.0-")?;
            let start = std::time::Instant::now();
            while start.elapsed() < flood_time() {
                wire.send_bytes(&[b'x'; 8192])?;
            }
            Ok(())
        }),
        Hostile::new("a greeting, one byte at a time", FailsBy(Kind::Timeout), |wire| {
            drip(wire, "SSH-2.0-".repeat(100).as_bytes())
        }),
        Hostile::new("nothing at all", FailsBy(Kind::Timeout), Wire::wait),
        Hostile::new("nothing behind its greeting", FailsBy(Kind::Timeout), |wire| {
            wire.greet("SSH-2.0-scripted")?;
            wire.wait()
        }),
        Hostile::new("its lists, one byte at a time", FailsBy(Kind::Timeout), |wire| {
            wire.greet("SSH-2.0-scripted")?;
            drip(wire, &[&[0, 0, 0x80, 0, 4, 20][..], &[7; 500]].concat())
        }),
        Hostile::new("nothing behind its lists", FailsBy(Kind::Timeout), |wire| {
            wire.greet("SSH-2.0-scripted")?;
            wire.exchange_lists(&Kex::default())?;
            wire.wait()
        }),
        Hostile::new("lists of nothing", Fails, |wire| {
            wire.shake_hands(&Kex { lists: Default::default(), ..Kex::default() })
        }),
        Hostile::new("signs by ssh-rsa what rsa-sha2-512 was agreed on for", Fails, |wire| {
            wire.begin(&Kex { hash: None, ..rsa() })?;
            wire.serve()
        }),
        Hostile::new("signs by rsa-sha2-256 what rsa-sha2-512 was agreed on for", Fails, |wire| {
            wire.begin(&Kex { hash: Some(ssh_key::HashAlg::Sha256), ..rsa() })?;
            wire.serve()
        }),
        Hostile::new("signs with another key than it shows", Fails, |wire| {
            let shown = KeyPair::ed25519()?.private_key().public_key().to_bytes().ok();
            wire.begin(&Kex { shown, ..Kex::default() })?;
            wire.serve()
        }),
        Hostile::new("a signature of nothing", Fails, |wire| {
            wire.begin(&Kex { signature: Some(Vec::new()), ..Kex::default() })
        }),
        Hostile::new("a signature whose name says another algorithm", Fails, |wire| {
            let signature = Packet::default().string("ssh-rsa").string([7; 64]).0;
            wire.begin(&Kex { signature: Some(signature), ..Kex::default() })
        }),
        Hostile::new("an RSA key of 65,536 bits", Fails, |wire| {
            let modulus = [&[0, 0x80][..], &[7; 8191]].concat();
            let key = Packet::default().string("ssh-rsa").string([1, 0, 1]).string(modulus).0;
            let signature = Packet::default().string("rsa-sha2-512").string([7; 8192]).0;
            let kex = Kex { shown: Some(key), signature: Some(signature), ..rsa() };
            wire.begin(&kex)
        }),
        Hostile::new("an RSA key whose exponent is as long as its modulus", Fails, |wire| {
            let modulus = [&[0, 0x80][..], &[7; 2047]].concat();
            let key = Packet::default().string("ssh-rsa").string(&modulus).string(&modulus).0;
            let signature = Packet::default().string("rsa-sha2-512").string([7; 2048]).0;
            let kex = Kex { shown: Some(key), signature: Some(signature), ..rsa() };
            wire.begin(&kex)
        }),
        Hostile::new("an RSA key of 8 bits", Fails, |wire| {
            let key = Packet::default().string("ssh-rsa").string([3]).string([0, 0xb9]).0;
            let signature = Packet::default().string("rsa-sha2-512").string([7]).0;
            let kex = Kex { shown: Some(key), signature: Some(signature), ..rsa() };
            wire.begin(&kex)
        }),
        Hostile::new("a key of no bytes", Fails, |wire| {
            wire.begin(&Kex { shown: Some(Vec::new()), ..Kex::default() })
        }),
    ]
}
