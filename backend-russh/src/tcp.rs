//! From a host's name to a TCP connection, to whichever address answers first.

use std::io;
use std::net::SocketAddr;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use ssh_session::{Options, Phase, SshError, Target, net};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::deadline::Deadline;

/// All addresses of a host.
pub(crate) async fn lookup(
    target: &Target,
    deadline: &Deadline,
) -> Result<Vec<SocketAddr>, SshError> {
    let (answer, answered) = oneshot::channel();
    net::lookup(target, move |found| {
        // Nobody waits any more if this fails.
        let _ = answer.send(found);
    });
    let found = deadline.bound(target, Phase::Resolve, answered).await?;
    found.map_err(|_| net::resolve_error(target, io::Error::other("no thread to look it up")))?
}

/// Connects to the first address that answers.
pub(crate) async fn connect(
    options: &Options,
    addresses: Vec<SocketAddr>,
    deadline: &Deadline,
) -> Result<TcpStream, SshError> {
    let target = &options.target;
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
