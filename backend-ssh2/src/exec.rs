//! Running one command to its end.

use std::sync::Arc;

use ssh_session::{Command, Output, SshError};

use crate::becoming;
use crate::command_io::{CHUNK, Stream};
use crate::link::Link;

/// Runs a command and collects what it writes.
pub(crate) fn exec(link: &Arc<Link>, command: &Command) -> Result<Output, SshError> {
    command.validate_collected()?;
    let process = becoming::start(link, command)?;
    let user = link.enter();
    let limit = command.output_limit(link.max_output).unwrap_or(usize::MAX);
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut buffer = vec![0; CHUNK];
    let ended = loop {
        let (stream, length) = match process.advance(user.op, &mut buffer) {
            Ok(Some((Stream::Stdout, length))) => (&mut stdout, length),
            Ok(Some((Stream::Stderr, length))) => (&mut stderr, length),
            Ok(None) => break process.status(),
            Err(error) => break Err(error),
        };
        let room = limit.saturating_sub(stream.len());
        stream.extend_from_slice(&buffer[..length.min(room)]);
        if length > room {
            // Dropped before its end, it is stopped.
            let (target, partial) = (link.target.clone(), Box::default());
            break Err(SshError::OutputLimit { target, limit, partial });
        }
    };
    match ended {
        Ok(status) => Ok(Output { stdout: stdout.into(), stderr: stderr.into(), status }),
        Err(error) => Err(error.with_output(stdout, stderr)),
    }
}
