//! Streams that the caller made: bytes on their way between one and the session's end of a pipe.

use ssh_session::OwnStream;
use tokio::io::copy_bidirectional;

use crate::liveness::Carrier;
use crate::pipe;

/// Carries bytes both ways until both have ended, one has failed, or the session has. The carrier is
/// dropped last.
pub(crate) async fn carry(carrier: Carrier, mut stream: OwnStream, mut end: pipe::End) {
    tokio::select! {
        biased;
        carried = copy_bidirectional(&mut stream, &mut end) => {
            if let Err(error) = carried {
                tracing::debug!(%error, "a transport's stream failed");
            }
        }
        // Where it takes nothing any more, only this says that nobody waits for it.
        () = carrier.0.is_not_waited_for() => {}
    }
}
