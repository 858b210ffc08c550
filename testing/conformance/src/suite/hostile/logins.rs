//! While somebody logs in.

use ssh_session::Kind;

use super::Expected::{Fails, FailsBy};
use super::handshakes::drip;
use super::{Hostile, flood};
use test_servers::scripted::{Kex, Packet, Wire};

pub(super) fn table() -> Vec<Hostile> {
    vec![
        Hostile::new("nothing behind the keys", FailsBy(Kind::Timeout), |wire| {
            wire.shake_hands(&Kex::default())?;
            wire.wait()
        }),
        Hostile::new("an answer to login, one byte at a time", Fails, |wire| {
            wire.shake_hands(&Kex::default())?;
            wire.serve_login()?;
            drip(wire, &[7; 500])
        }),
        Hostile::new("banners without end", Fails, |wire| {
            wire.shake_hands(&Kex::default())?;
            wire.serve_login()?;
            flood(wire, &Packet::new(53).string("hello\r\n".repeat(1000)).string(""))
        }),
        Hostile::new("refusals without end", Fails, |wire| {
            wire.shake_hands(&Kex::default())?;
            wire.serve_login()?;
            flood(wire, &Packet::new(51).string("password").byte(0))
        }),
        Hostile::new("success in part without end", Fails, |wire| {
            wire.shake_hands(&Kex::default())?;
            wire.serve_login()?;
            flood(wire, &Packet::new(51).string("password,keyboard-interactive").byte(1))
        }),
        Hostile::new("prompts without end", Fails, |wire| {
            wire.shake_hands(&Kex::default())?;
            wire.serve_login()?;
            flood(wire, &Packet::new(60).string("n").string("i").string("").number(0))
        }),
        Hostile::new("a prompt of four thousand million questions", Fails, |wire| {
            wire.shake_hands(&Kex::default())?;
            wire.serve_login()?;
            let prompt = Packet::new(60).string("n").string("i").string("");
            wire.send(&prompt.number(u32::MAX))?;
            wire.wait()
        }),
        Hostile::new("refusals without end that name fifteen thousand methods", Fails, |wire| {
            wire.shake_hands(&Kex::default())?;
            wire.serve_login()?;
            flood(wire, &Packet::new(51).string("a,".repeat(15_000) + "password").byte(0))
        }),
        Hostile::new("prompts without end, of three thousand questions each", Fails, |wire| {
            wire.shake_hands(&Kex::default())?;
            wire.serve_login()?;
            let prompt = Packet::new(60).string("n").string("i").string("").number(3_000);
            let prompt = (0..3_000).fold(prompt, |prompt, _| prompt.string("what?").byte(0));
            flood(wire, &prompt)
        }),
        Hostile::new("a channel that never opens", Fails, |wire| {
            wire.begin(&Kex::default())?;
            wire.wait()
        }),
        Hostile::new("keys agreed on anew without end", Fails, |wire: &mut Wire| {
            let kex = Kex::default();
            wire.begin(&kex)?;
            let start = std::time::Instant::now();
            while start.elapsed() < super::flood_time() {
                wire.agree(&kex)?;
            }
            Ok(())
        }),
    ]
}
