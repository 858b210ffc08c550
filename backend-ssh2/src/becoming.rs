//! Commands as another user of the server.

use std::sync::Arc;

use ssh_session::becoming::{Talk, settle};
use ssh_session::{Become, Command, Process as _, SshError, Stdin};

use crate::link::Link;
use crate::process::Ssh2Process;

/// Starts a command, as another user where it says so.
pub(crate) fn start<'s>(link: &Arc<Link>, command: &Command) -> Result<Ssh2Process<'s>, SshError> {
    match command.becoming() {
        Some(from) => start_as(link, command, from),
        None => Ssh2Process::start(link, link.enter().op, command, false),
    }
}

fn start_as<'s>(
    link: &Arc<Link>,
    command: &Command,
    from: &Become,
) -> Result<Ssh2Process<'s>, SshError> {
    let mut talk = Talk::new(from);
    let wrapped = talk.command(command)?;
    let process = Ssh2Process::start(link, link.enter().op, &wrapped, false)
        .map_err(|error| talk.not_started(error))?;
    let process = settle(process, &mut talk, &link.target)?;
    process.write(b"\n")?;
    if let Stdin::Bytes(bytes) = command.input() {
        process.give(bytes.clone());
    }
    Ok(process)
}
