//! What a script can do to the books of a keyed pool, as plain data.

use std::time::Duration;

use pool_core::ErrorKind;

use crate::script::{End, Patience, Span};

/// One step of a script. Numbers that pick something count modulo what there is to pick from, so
/// every script makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyedOp {
    /// A borrower comes for a key.
    Acquire(u8, Patience),
    /// A waiter asks whether its turn has come.
    Take(u8),
    /// All that were woken ask.
    TakeAll,
    /// A waiter goes away.
    Cancel(u8),
    /// A lease ends.
    Release(u8, Back),
    /// A borrower finds its session broken, and asks again with its old ticket.
    Replace(u8),
    /// A borrower keeps its session.
    Detach(u8),
    /// A borrower says that its session is broken, and keeps its lease.
    Mark(u8),
    /// One task is started.
    Start,
    /// All tasks are started that the books want to run now.
    StartAll,
    /// A running task ends, be it in time or late.
    Finish(u8, End),
    /// All that run end well.
    FinishAll,
    /// A key becomes known and is not used.
    Open(u8),
    /// Somebody reads the figures of a key.
    Look(u8),
    /// Somebody wants so many sessions of a key to be open.
    Warm(u8, u8),
    /// A key gets another size.
    Resize(u8, u8),
    /// All keys together get another size.
    ResizeTotal(u8),
    /// All sessions of a key are to go.
    Evict(u8),
    /// All sessions are to go.
    EvictAll,
    /// A session opened elsewhere comes to a key.
    Add(u8),
    /// The pool is closed.
    Close,
    /// Time passes, and nobody tells.
    Wait(Span),
    /// Time passes, and the books are told.
    Tick(Span),
}

/// How a lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Back {
    /// As it began.
    Clean,
    /// Its session needs a reset.
    Dirty,
    /// Its session is broken.
    Broken,
    /// The peer refused it; where sessions are not shared, it ends clean.
    Refused,
}

/// How many bytes [`KeyedOp::from_bytes`] reads.
pub const OP_BYTES: usize = 3;

impl KeyedOp {
    /// Reads an operation; any bytes are one.
    pub fn from_bytes([code, key, arg]: [u8; OP_BYTES]) -> Self {
        let kind = [ErrorKind::Transient, ErrorKind::Permanent, ErrorKind::Busy];
        match code % 64 {
            0..=13 => Self::Acquire(key, Patience::from_byte(arg)),
            14..=16 => Self::Take(arg),
            17..=20 => Self::TakeAll,
            21..=22 => Self::Cancel(arg),
            23..=28 => Self::Release(arg, Back::Clean),
            29 => Self::Release(arg, [Back::Broken, Back::Dirty][usize::from(key & 1)]),
            30 => Self::Release(arg, Back::Refused),
            31 => match key % 4 {
                0 => Self::Detach(arg),
                1 => Self::Mark(arg),
                _ => Self::Replace(arg),
            },
            32..=34 => Self::Start,
            35..=40 => Self::StartAll,
            41..=45 => Self::Finish(arg, End::Ok),
            46 if key < 200 => Self::Finish(arg, End::Fail(ErrorKind::Transient)),
            46 => Self::Finish(arg, End::Fail(kind[usize::from(key % 3)])),
            47 => Self::Finish(arg, End::Lost),
            48..=50 => Self::FinishAll,
            51 => match arg % 8 {
                0..=3 => Self::Open(key),
                4..=6 => Self::Look(key),
                _ => Self::Warm(key, arg / 8 % 4),
            },
            52 => match arg % 16 {
                0..=3 => Self::Resize(key, arg / 16 % 5),
                4..=6 => Self::ResizeTotal(key % 8),
                7..=9 => Self::Evict(key),
                10 => Self::EvictAll,
                11..=14 => Self::Add(key),
                _ if key < 24 => Self::Close,
                _ => Self::Add(key),
            },
            53..=54 => Self::Wait(Self::span(key, arg)),
            55 => Self::ResizeTotal(key % 8),
            _ => Self::Tick(Self::span(key, arg)),
        }
    }

    /// Clocks that go back are rare, so that most scripts know when what was due.
    fn span(rare: u8, arg: u8) -> Span {
        match Span::from_byte(arg) {
            Span::Back(_) if rare > 8 => Span::Ahead(Duration::from_millis(251)),
            span => span,
        }
    }
}
