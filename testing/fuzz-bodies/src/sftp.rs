//! Any bytes as what an SFTP server answers.

use std::future::Future;
use std::os::unix::ffi::OsStrExt as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ssh_session::sftp::{Bounds, Client, Conversation, Entry, Inline};
use ssh_session::{SshError, Target};

/// What an honest server greets with.
const VERSION: [u8; 9] = [0, 0, 0, 5, 2, 0, 0, 0, 3];

/// A server whose answers are these bytes, whole, in pieces, or packet by packet as it is asked: no
/// panic, the same said of the whole and the pieces, and no name of a file that leads anywhere else.
///
/// # Errors
///
/// What did not hold.
pub fn run_sftp(bytes: &[u8]) -> Result<(), String> {
    let whole = answers(&[bytes], false)?;
    for place in [1, 4, bytes.len() / 2] {
        if let Some((one, other)) = bytes.split_at_checked(place)
            && answers(&[one, other], false)? != whole
        {
            return Err(format!("cut after {place}, they are something else"));
        }
    }
    let mut packets = Vec::new();
    let mut rest = bytes;
    while let Some(length) = rest.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))
        && let Some((packet, tail)) = rest.split_at_checked((length as usize).saturating_add(4))
    {
        packets.push(packet);
        rest = tail;
    }
    packets.push(rest);
    answers(&packets, true).map(drop)
}

/// What operations make of the answers, taken in all at once, or each when the ones before have
/// led to whatever they lead to.
fn answers(pieces: &[&[u8]], in_turn: bool) -> Result<String, String> {
    let target = Target::new("h", 22, "u").map_err(|error| error.to_string())?;
    let conversation = Arc::new(Conversation::new(target));
    let client = Client::new(&conversation, Arc::new(Inline), Bounds::default());
    conversation.receive(&VERSION);
    let mut context = Context::from_waker(Waker::noop());
    let mut greeting = pin!(client.greet());
    if greeting.as_mut().poll(&mut context).is_pending() {
        return Err("no greeting".into());
    }
    let mut listed = pin!(client.list("/r"));
    let mut read = pin!(client.read("/f"));
    let mut linked = pin!(client.read_link("/l"));
    let (mut list, mut content, mut link) = (None, None, None);
    let last = pieces.len();
    for (number, piece) in [&[][..]].iter().chain(pieces).enumerate() {
        conversation.receive(piece);
        if !in_turn && number != 0 && number != last {
            continue;
        }
        // Each answer may lead to a request, and the next bytes answer that.
        for _ in 0..4 {
            step(&mut list, listed.as_mut(), &mut context);
            step(&mut content, read.as_mut(), &mut context);
            step(&mut link, linked.as_mut(), &mut context);
            drop(conversation.take_output());
        }
    }
    if let Some(Ok(entries)) = &list {
        entries.iter().try_for_each(check)?;
    }
    for error in [error(&list), error(&content), error(&link)].into_iter().flatten() {
        super::fit_to_show(&error)?;
    }
    Ok(format!("{list:?} {content:?} {link:?} {}", conversation.is_over()))
}

fn step<T>(
    result: &mut Option<Result<T, SshError>>,
    operation: std::pin::Pin<&mut impl Future<Output = Result<T, SshError>>>,
    context: &mut Context<'_>,
) {
    if result.is_none()
        && let Poll::Ready(ready) = operation.poll(context)
    {
        *result = Some(ready);
    }
}

fn error<T>(result: &Option<Result<T, SshError>>) -> Option<String> {
    result.as_ref()?.as_ref().err().map(ToString::to_string)
}

fn check(entry: &Entry) -> Result<(), String> {
    let name = entry.path.as_os_str().as_bytes();
    let leads_out = name.is_empty() || name == b"." || name == b"..";
    if leads_out || name.contains(&b'/') || name.contains(&0) {
        return Err(format!("{name:?} is listed"));
    }
    Ok(())
}
