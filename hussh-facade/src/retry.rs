//! Whether a pool sends a command once more: never one that may have started.

use std::time::Instant;

use ssh_session::{Command, Kind};

use crate::Error;

/// How often a command may be refused a channel. Each refusal tells the pool that a connection
/// carries fewer commands than it thought, or that one still holds slots of commands given up. After
/// the last it waits where it is, if it may, until other commands of its connection have ended.
const REFUSALS: u32 = 10;

/// One command's way through a pool.
pub(crate) struct Attempts<'a> {
    command: &'a Command,
    lost: bool,
    refused: u32,
    /// Time that went by while the command was on a connection; borrowing does not count.
    started: Option<Instant>,
    /// The time that goes by for whoever waits: a runtime's may be another than the system's.
    now: fn() -> Instant,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(command: &'a Command, now: fn() -> Instant) -> Self {
        Self { command, lost: false, refused: 0, started: None, now }
    }

    /// The command, with what is left of its deadline since it was first sent. It does not wait for
    /// other commands of its connection: where it is refused a channel, the pool learns of it, and may
    /// have a connection with room, or open one.
    pub(crate) fn next(&mut self) -> Command {
        let now = (self.now)();
        let started = *self.started.get_or_insert(now);
        let command = self.command.clone();
        let command = match self.command.time_limit() {
            Some(limit) if self.lost || self.refused > 0 => {
                command.timeout(limit.saturating_sub(now.saturating_duration_since(started)))
            }
            _ => command,
        };
        match self.refused < REFUSALS {
            true => command.wait_for_channel(false),
            false => command,
        }
    }

    /// Whether to try on another connection after this error.
    pub(crate) fn should_retry(&mut self, error: &Error) -> bool {
        match error.kind() {
            _ if error.may_have_started() => false,
            // It died between the check and the command.
            Some(Kind::ConnectionLost) => !std::mem::replace(&mut self.lost, true),
            Some(Kind::ChannelRefused) => {
                self.refused += 1;
                self.refused <= REFUSALS
            }
            _ => false,
        }
    }
}
