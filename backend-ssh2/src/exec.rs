//! Running one command to its end.

use ssh_session::{Command, Output, SshError};

use crate::body::{CHUNK, Stream};
use crate::link::Link;
use crate::process::{Ssh2Process, with_output};

/// Runs a command and collects what it writes.
pub(crate) fn exec(link: &Link, command: &Command) -> Result<Output, SshError> {
    command.validate_collected()?;
    let user = link.enter();
    let process = Ssh2Process::start(&user, command)?;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut buffer = vec![0; CHUNK];
    let ended = loop {
        match process.advance(user.op, &mut buffer) {
            Ok(Some((Stream::Stdout, length))) => stdout.extend_from_slice(&buffer[..length]),
            Ok(Some((Stream::Stderr, length))) => stderr.extend_from_slice(&buffer[..length]),
            Ok(None) => break process.status(),
            Err(error) => break Err(error),
        }
    };
    match ended {
        Ok(status) => Ok(Output { stdout: stdout.into(), stderr: stderr.into(), status }),
        Err(error) => Err(with_output(error, stdout, stderr)),
    }
}
