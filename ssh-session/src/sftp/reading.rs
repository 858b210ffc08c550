//! An open file read from some place to its end, or a part of it.
//!
//! Pieces are asked for ahead, as far as the server says the file goes, and one piece beyond it: the
//! file ends where the server says so in answer to a read, whatever its size claims.

use std::collections::VecDeque;
use std::path::Path;

use bytes::Bytes;

use super::answer::{Answer, Status};
use super::asking::Doing;
use super::client::Client;
use super::handle::Handle;
use super::reply::Reply;
use super::request::Request;
use crate::SshError;

/// Pieces asked for beyond what the file claims to have, at most.
const MOST_BEYOND: usize = 16;

/// Pieces asked for ahead of one file, at most.
const MOST_AHEAD: usize = 128;

pub(super) struct Reading<'c> {
    client: &'c Client,
    handle: &'c Handle,
    path: &'c Path,
    piece: u32,
    /// Where the next piece begins.
    next: u64,
    /// Where the file should end.
    claimed: u64,
    /// Where we stop.
    stop: u64,
    /// As many pieces are asked for beyond that.
    beyond: usize,
    ahead: VecDeque<Ahead>,
    ended: bool,
}

struct Ahead {
    offset: u64,
    length: u32,
    reply: Reply,
}

impl<'c> Reading<'c> {
    /// Reads from `start` to the end, or to `stop` if that comes first.
    pub(super) fn new(
        client: &'c Client,
        handle: &'c Handle,
        path: &'c Path,
        (start, claimed, stop): (u64, u64, u64),
    ) -> Self {
        let piece = u32::try_from(client.conversation.limits().read).unwrap_or(u32::MAX);
        let (next, ahead) = (start, VecDeque::new());
        Self { client, handle, path, piece, next, claimed, stop, beyond: 1, ahead, ended: false }
    }

    /// The next piece, none at the end. Never empty.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, SshError> {
        if self.ended {
            return Ok(None);
        }
        self.ask_ahead();
        let Some(Ahead { offset, length, reply }) = self.ahead.pop_front() else {
            let Some((offset, length)) = self.next_piece() else {
                self.ended = true;
                return Ok(None);
            };
            let request = self.request(offset, length);
            let reply = self.client.send(request).await?;
            // It is asked for now, and not again.
            self.next = offset + u64::from(length);
            self.ahead.push_back(Ahead { offset, length, reply });
            return Box::pin(self.next()).await;
        };
        match reply.await? {
            Answer::Data(data) if data.is_empty() || data.len() > length as usize => {
                Err(self.client.nonsense())
            }
            Answer::Data(data) => {
                let got = data.len() as u32;
                if got < length {
                    // The rest comes before what was asked for behind it.
                    let (offset, length) = (offset + u64::from(got), length - got);
                    let request = self.request(offset, length);
                    let room = self.client.conversation.room_again(request.cost());
                    let reply = self.client.conversation.send(&request, room);
                    self.ahead.push_front(Ahead { offset, length, reply });
                }
                if offset >= self.claimed {
                    self.beyond = (self.beyond * 2).min(MOST_BEYOND);
                }
                Ok(Some(data))
            }
            Answer::Status(status) if status.code == Status::EOF => {
                self.ended = true;
                // They are under way already, and say the same: nothing is to come for nobody.
                while let Some(beyond) = self.ahead.pop_front() {
                    beyond.reply.await?;
                }
                Ok(None)
            }
            other => {
                self.client.was_done(self.path, Doing::File, other).await?;
                Err(self.client.nonsense())
            }
        }
    }

    fn ask_ahead(&mut self) {
        while self.ahead.len() < MOST_AHEAD
            && let Some((offset, length)) = self.next_piece()
        {
            let beyond = self.ahead.iter().rev().take_while(|a| a.offset >= self.claimed).count();
            if offset >= self.claimed && beyond >= self.beyond {
                return;
            }
            let request = self.request(offset, length);
            let Some(room) = self.client.conversation.room_now(request.cost()) else { return };
            let reply = self.client.conversation.send(&request, room);
            self.next = offset + u64::from(length);
            self.ahead.push_back(Ahead { offset, length, reply });
        }
    }

    /// Where the next piece is, if it is wanted.
    fn next_piece(&self) -> Option<(u64, u32)> {
        let end = if self.next < self.claimed { self.claimed } else { u64::MAX };
        let left = end.min(self.stop).checked_sub(self.next).filter(|left| *left > 0)?;
        Some((self.next, u32::try_from(left).unwrap_or(u32::MAX).min(self.piece)))
    }

    fn request(&self, offset: u64, length: u32) -> Request<'c> {
        Request::Read { handle: self.handle.bytes(), offset, length }
    }
}
