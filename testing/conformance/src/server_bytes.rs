//! Any bytes as what a server sends: the body of the fuzz target `server_bytes`.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::suite::Subject;
use ssh_session::{
    Auth, Command, HostKeyPolicy, HostKeys, Options, Session as _, SshError, Target,
};
use test_servers::scripted::{Kex, Packet, ScriptedServer, Wire};

use crate::{BlockingRussh, Ssh2};

/// How long a connection, or a command, may take. A server whose bytes have come to their end hangs
/// up, so nothing takes as long.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a connection goes on with a server that hangs up without a word: such a one counts as busy,
/// and is dialled again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Has both libraries connect to a server that sends this, and run a command there. The first byte
/// says from where on: the very first byte, behind the greeting, as packets in clear, as packets
/// behind the keys, as packets while a command runs.
///
/// # Errors
///
/// Where a session does not come to an end in time. It may be an error, or not.
///
/// # Panics
///
/// Where no server can be started.
pub fn server_bytes(bytes: &[u8]) -> Result<(), String> {
    let Some((stage, bytes)) = bytes.split_first() else { return Ok(()) };
    let (stage, bytes) = (stage % 5, Arc::<[u8]>::from(bytes));
    let server = ScriptedServer::start(move |wire| play(wire, stage, &bytes)).expect("a server");
    let address = server.addr();
    let target = Target::new("127.0.0.1", address.port(), "u").expect("a target");
    let mut options = Options::new(target)
        .auth(Auth::password("p"))
        .host_keys(HostKeys::new(HostKeyPolicy::DangerAcceptAny));
    options.connect_timeout = CONNECT_TIMEOUT;
    meet(&Ssh2, &options)?;
    meet(&BlockingRussh, &options)
}

fn meet(subject: &impl Subject, options: &Options) -> Result<(), String> {
    let start = Instant::now();
    let met = subject.connect(options).and_then(|session| {
        session.exec(&Command::new("true").timeout(PATIENCE).max_output(1 << 20))
    });
    let elapsed = start.elapsed();
    let in_time = elapsed < PATIENCE && !matches!(met, Err(SshError::Timeout { .. }));
    let said = |error: &SshError| error.to_string();
    let said = met.as_ref().map_or_else(said, |output| format!("{output:?}"));
    if in_time { Ok(()) } else { Err(format!("{}: {elapsed:?}: {said}", subject.name())) }
}

fn play(wire: &mut Wire, stage: u8, bytes: &[u8]) -> io::Result<()> {
    let kex = Kex::default();
    match stage {
        0 => return wire.send_bytes(bytes),
        1 => {
            wire.greet(&kex.greeting)?;
            return wire.send_bytes(bytes);
        }
        2 => wire.greet(&kex.greeting)?,
        3 => wire.shake_hands(&kex)?,
        _ => {
            wire.begin(&kex)?;
            wire.command()?;
        }
    }
    let mut rest = bytes;
    while let Some((length, behind)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).clamp(1, 32_768).min(behind.len());
        let (payload, behind) = behind.split_at(length);
        wire.send(&Packet(payload.to_vec()))?;
        rest = behind;
    }
    Ok(())
}
