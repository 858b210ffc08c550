//! Files on the server: SFTP, version 3, with OpenSSH's extensions
//! (draft-ietf-secsh-filexfer-02; OpenSSH's file `PROTOCOL`, section 4).
//!
//! [`Client`] has the operations: async functions that ask and await answers and know no runtime, so
//! that threads and tasks run the same ones. Below it, [`Conversation`] knows which answer is to
//! which question, and nothing of the channel. [`Channel`] is the one for threads: whoever waits
//! for an answer reads and writes for all. For tasks that is a task's work, in the backend.

mod answer;
mod asking;
mod attributes;
mod bounds;
mod channel;
mod client;
mod conversation;
mod files;
mod handle;
mod list;
pub(crate) mod offload;
mod open;
mod place;
mod reading;
mod reply;
mod request;
mod tail;
pub(crate) mod transfer;
mod verbs;
mod wire;

pub use attributes::{FileKind, Metadata};
pub use bounds::Bounds;
pub use channel::{Channel, open};
pub use client::{Client, FileSystem};
pub use conversation::Conversation;
pub use list::Entry;
pub use offload::{Inline, Offload, Work};
pub use open::{OpenFile, OpenOptions};
pub use place::Place;
pub use tail::{Ask, Follower, Look, TailFile, TailFrom, TailOptions, TailRead, TailStep, Tailed};
pub use transfer::{Links, Outcome, Progress, Report, Transfer, Transferred};
pub use wire::{MAX_PACKET, Malformed, Packets};
