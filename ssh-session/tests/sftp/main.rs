//! SFTP against a server made of a few lines, whose answers come in any order, in any pieces, and
//! stop anywhere; and against servers that lie.

mod any_order;
mod hostile;
mod server;
