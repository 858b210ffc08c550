//! From a host's name to a TCP connection, to whichever address answers first.

use std::io;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use ssh_session::{Options, Phase, SshError, net};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::deadline::Deadline;

/// Looks the host up and connects to the first address that answers.
pub(crate) async fn connect(options: &Options, deadline: &Deadline) -> Result<TcpStream, SshError> {
    let target = &options.target;
    let (answer, answered) = oneshot::channel();
    net::lookup(target, move |found| {
        // Nobody waits any more if this fails.
        let _ = answer.send(found);
    });
    let addresses = deadline
        .bound(target, Phase::Resolve, answered)
        .await?
        .map_err(|_| net::resolve_error(target, io::Error::other("no thread to look it up")))??;

    let connecting = async {
        let mut attempts = FuturesUnordered::new();
        let mut untried = addresses.into_iter();
        let mut last_error = io::Error::other("no address to connect to");
        loop {
            attempts.extend(untried.next().map(TcpStream::connect));
            tokio::select! {
                attempt = attempts.next() => match attempt {
                    Some(Ok(stream)) => return Ok(stream),
                    Some(Err(error)) => last_error = error,
                    None => return Err(last_error),
                },
                () = sleep(net::HEAD_START), if untried.len() > 0 => {}
            }
        }
    };
    let stream = deadline
        .bound(target, Phase::Connect, connecting)
        .await?
        .map_err(|error| net::connect_error(target, error))?;
    net::tune(&stream, options.keepalive);
    Ok(stream)
}
