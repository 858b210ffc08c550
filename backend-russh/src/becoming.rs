//! Commands as another user of the server.

use std::sync::Arc;

use ssh_session::becoming::{Step, Talk};
use ssh_session::{AsyncProcess as _, Become, Collected, Command, Output, Phase, SshError, Stdin};

use crate::apart::spawn_blocking;
use crate::link::Link;
use crate::process::RusshProcess;

/// Starts a command as another user.
pub(crate) async fn spawn<'s>(
    link: &Arc<Link>,
    command: &Command,
    from: &Become,
) -> Result<RusshProcess<'s>, SshError> {
    let mut talk = Talk::new(from);
    let wrapped = talk.command(command)?;
    let process =
        RusshProcess::spawn_plain(link, &wrapped).await.map_err(|error| talk.not_started(error))?;
    loop {
        let chunk = match process.read().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Err(talk.ended(&link.target, process.wait().await)),
            Err(error) => return Err(talk.not_started(error)),
        };
        match talk.read(&link.target, &chunk)? {
            Step::Read => {}
            Step::Answer => {
                let (from, target) = (talk.become_user().clone(), link.target.clone());
                let asking = spawn_blocking(move || from.answer(&target));
                // A panic there, or a runtime that ends.
                let answer = tokio::select! {
                    answer = asking => answer.unwrap_or_else(|_| Err(closed(link))),
                    // Past its deadline, or where the session ends, nobody waits for an answer.
                    error = process.failed() => Err(talk.not_started(error)),
                };
                process.write(&answer?).await.map_err(|error| talk.not_started(error))?;
            }
            Step::Start => break,
        }
    }
    process.write(b"\n").await?;
    if let Stdin::Bytes(bytes) = command.input() {
        process.give(bytes.clone());
    }
    Ok(process)
}

fn closed(link: &Link) -> SshError {
    SshError::ConnectionLost {
        target: link.target.clone(),
        phase: Phase::Start,
        detail: "nobody could be asked for the password".into(),
        partial: None,
        maybe_started: false,
    }
}

/// Runs a command as another user to its end and collects what it wrote.
pub(crate) async fn exec(
    link: &Arc<Link>,
    command: &Command,
    from: &Become,
) -> Result<Output, SshError> {
    let process = spawn(link, command, from).await?;
    let mut collected = Collected::new(&link.target, command.output_limit(link.max_output));
    loop {
        let taken = match process.read().await {
            Ok(Some(chunk)) => collected.push(&chunk),
            Ok(None) => return collected.finish(process.wait().await),
            Err(error) => Err(error),
        };
        if let Err(error) = taken {
            return collected.finish(Err(error));
        }
    }
}
