//! What a script can do to a core, as plain data.

use std::time::Duration;

use pool_core::ErrorKind;

/// One step of a script. Numbers that pick something count modulo what there is to pick from, so
/// every script makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// A borrower comes.
    Acquire(Patience),
    /// A waiter asks whether its turn has come.
    Take(u8),
    /// A waiter goes away.
    Cancel(u8),
    /// A borrower returns its session.
    Release(u8, Return),
    /// A borrower finds its session broken and asks again with its old ticket.
    Replace(u8),
    /// A borrower is refused what it wanted by its session's peer, and asks again or not.
    Refuse(u8, bool),
    /// A borrower says that its session is not to be lent again, and uses it on.
    MarkBroken(u8),
    /// A borrower keeps its session.
    Detach(u8),
    /// One task is started.
    Start,
    /// All tasks are started that the core wants to run now.
    StartAll,
    /// A running task ends, be it in time or late.
    Finish(u8, End),
    /// The pool gets another size.
    Resize(u8),
    /// All sessions of now are to go.
    EvictAll,
    /// A session opened elsewhere comes.
    Add,
    /// So many sessions are to be open.
    Warm(u8),
    /// An idle session is looked at.
    Inspect(u8),
    /// A session that was looked at comes back, to be kept or not.
    Inspected(u8, bool),
    /// The pool is closed.
    Close,
    /// Time passes, and nobody tells the core.
    Wait(Span),
    /// Time passes, and the core is told.
    Tick(Span),
    /// The core is told the time just before its next deadline.
    Peek,
    /// A call that comes too late or twice.
    Stray(u8),
    /// What the hub of a keyed pool does; nothing where the setup is of a pool of its own.
    Keyed(Keyed),
}

/// What the hub of a keyed pool does to the core of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyed {
    /// So many more connects may start.
    Allow(u8),
    /// As many as the core likes.
    AllowAll,
    /// None may start.
    Stop,
    /// The session that has been idle for longest goes, or the one with the fewest leases.
    GiveUp,
    /// A whole turn: so many connects are allowed, the time is told, all tasks are started.
    Turn(u8),
}

/// How long a borrower waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// For ever.
    Endless,
    /// Not at all.
    None,
    /// It should have come before.
    Past,
    /// That many milliseconds.
    Millis(u8),
}

/// How a session comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Return {
    /// As it went.
    Clean,
    /// In need of a reset.
    Dirty,
    /// Broken.
    Broken,
}

/// How a task ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Well.
    Ok,
    /// It failed; the kind matters to connects.
    Fail(ErrorKind),
    /// It panicked or was dropped, and its session is gone.
    Lost,
}

/// How far the clock moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// Ahead.
    Ahead(Duration),
    /// Back.
    Back(Duration),
    /// To the core's next deadline, if it has one.
    Due,
    /// One nanosecond short of the core's next deadline.
    AlmostDue,
}

const MILLISECOND: Duration = Duration::from_millis(1);

impl Op {
    /// Reads an operation from two bytes; every pair is one.
    pub fn from_bytes(code: u8, arg: u8) -> Self {
        match code % 64 {
            0..=10 => Self::Acquire(Patience::from_byte(arg)),
            11..=18 => Self::Take(arg),
            19..=20 => Self::Cancel(arg),
            21..=25 => Self::Release(arg, Return::Clean),
            26 => Self::Release(arg, Return::Broken),
            27 => Self::Release(arg, Return::Dirty),
            28 => Self::Replace(arg),
            29 | 30 => Self::Refuse(arg, arg & 64 == 0),
            31 if arg < 160 => Self::Detach(arg),
            31 => Self::MarkBroken(arg),
            32..=34 => Self::Start,
            35..=38 => Self::StartAll,
            39..=44 => Self::Finish(arg, End::Ok),
            45 => Self::Finish(arg, End::Fail(ErrorKind::Transient)),
            46 => Self::Finish(
                arg,
                End::Fail(
                    [
                        ErrorKind::Permanent,
                        ErrorKind::Busy,
                        ErrorKind::Unreachable,
                        ErrorKind::Transient,
                    ][usize::from(arg & 3)],
                ),
            ),
            47 => Self::Finish(arg, End::Lost),
            48 if arg < 96 => Self::Resize(arg % 8),
            48 if arg < 128 => Self::EvictAll,
            48 if arg < 148 => Self::Close,
            49 if arg < 80 => Self::Warm(arg % 5),
            48 | 49 => Self::Add,
            50 => Self::Inspect(arg),
            51 => Self::Inspected(arg, arg & 64 == 0),
            52..=53 => Self::Wait(Span::from_byte(arg)),
            54..=60 => Self::Tick(Span::from_byte(arg)),
            61 => Self::Keyed(Keyed::from_byte(arg)),
            62 => Self::Peek,
            _ => Self::Stray(arg),
        }
    }
}

impl Keyed {
    fn from_byte(arg: u8) -> Self {
        let places = arg / 8 % 4;
        match arg % 8 {
            0..=3 => Self::Turn(places),
            4 => Self::Allow(places),
            5 => Self::AllowAll,
            6 => Self::Stop,
            _ => Self::GiveUp,
        }
    }
}

impl Patience {
    pub(crate) fn from_byte(arg: u8) -> Self {
        match arg % 16 {
            0..=5 => Self::Endless,
            6 => Self::None,
            7 => Self::Past,
            _ => Self::Millis(arg),
        }
    }
}

impl Span {
    pub(crate) fn from_byte(arg: u8) -> Self {
        let millis = |n: u32| Self::Ahead(MILLISECOND * n);
        match arg % 24 {
            0 => Self::Ahead(Duration::ZERO),
            1 => Self::Ahead(Duration::from_nanos(1)),
            2 => millis(1),
            3 | 4 => millis(5),
            5 => millis(20),
            6 => millis(21),
            7 => millis(30),
            8 => millis(40),
            9 => millis(60),
            10 => millis(99),
            11 => millis(101),
            12 => millis(300),
            13 => millis(1_000),
            14 => millis(60_000),
            15 if arg < 24 => Self::Back(MILLISECOND),
            16 if arg < 24 => Self::Back(50 * MILLISECOND),
            16 if arg < 48 => Self::Back(10_000 * MILLISECOND),
            15 | 16 => millis(2),
            17 => Self::AlmostDue,
            _ => Self::Due,
        }
    }
}
