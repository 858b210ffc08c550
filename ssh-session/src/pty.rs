//! Terminals (RFC 4254, 6.2 and 8).

use crate::SshError;

/// A terminal for a command or shell (RFC 4254, 6.2). What it writes to standard error then arrives
/// as standard output, line ends as `\r\n`, and input is echoed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pty {
    /// The terminal's type, the command's `TERM`.
    pub term: String,
    /// Characters in a line.
    pub columns: u32,
    /// Lines.
    pub rows: u32,
    /// What differs from the server's own terminals, as `(TerminalMode::ECHO, 0)`: each mode with its
    /// value. None by default. The type and five bytes for each mode are 255 bytes at most.
    pub modes: Vec<(TerminalMode, u32)>,
}

/// A mode of a terminal, by its number in RFC 4254, 8, or RFC 8160. Those without a name here are
/// `TerminalMode(number)`; numbers that have no meaning there are refused. A flag's value is 1 for on
/// and 0 for off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TerminalMode(pub u8);

impl TerminalMode {
    /// The character that interrupts; 255 for none.
    pub const VINTR: Self = Self(1);
    /// The character that erases the one before it.
    pub const VERASE: Self = Self(3);
    /// The character that ends input.
    pub const VEOF: Self = Self(5);
    /// Carriage return is read as newline.
    pub const ICRNL: Self = Self(36);
    /// The characters for signals, such as `VINTR`, send them.
    pub const ISIG: Self = Self(50);
    /// Input is read by lines.
    pub const ICANON: Self = Self(51);
    /// Input is echoed.
    pub const ECHO: Self = Self(53);
    /// Output is processed.
    pub const OPOST: Self = Self(70);
    /// Newline is written as `\r\n`.
    pub const ONLCR: Self = Self(72);
    /// Bits a second, for what is read.
    pub const ISPEED: Self = Self(128);
    /// Bits a second, for what is written.
    pub const OSPEED: Self = Self(129);
}

/// An `xterm` of 80 × 24.
impl Default for Pty {
    fn default() -> Self {
        Self { term: "xterm".into(), columns: 80, rows: 24, modes: Vec::new() }
    }
}

impl Pty {
    /// What libssh2 has room for: the type and the modes with their end, in bytes. The same for all
    /// backends.
    const MOST: usize = 256;

    /// The modes as they are sent: each its number and value, then `TTY_OP_END`.
    pub fn wire_modes(&self) -> Vec<u8> {
        let mut wire = Vec::with_capacity(self.modes.len() * 5 + 1);
        for (mode, value) in &self.modes {
            wire.push(mode.0);
            wire.extend_from_slice(&value.to_be_bytes());
        }
        wire.push(0);
        wire
    }

    pub(crate) fn validate(&self) -> Result<(), SshError> {
        if self.term.contains('\0') {
            return Err(SshError::invalid("pty", "has a NUL character in its type"));
        }
        if let Some((TerminalMode(number), _)) =
            self.modes.iter().find(|(mode, _)| !mode.is_known())
        {
            let problem = format!("has the mode {number}, which RFC 4254, 8, does not know");
            return Err(SshError::invalid("pty", problem));
        }
        if self.term.len() + self.wire_modes().len() > Self::MOST {
            return Err(SshError::invalid("pty", "has a type and modes of more than 255 bytes"));
        }
        Ok(())
    }
}

impl TerminalMode {
    fn is_known(self) -> bool {
        matches!(self.0, 1..=18 | 30..=42 | 50..=62 | 70..=75 | 90..=93 | 128 | 129)
    }
}

#[cfg(test)]
mod tests {
    use super::{Pty, TerminalMode};

    #[test]
    fn modes_are_sent_with_their_values_and_an_end() {
        assert_eq!(Pty::default().wire_modes(), [0]);
        let modes = vec![(TerminalMode::ECHO, 0), (TerminalMode::OSPEED, 0x0102_0304)];
        let pty = Pty { modes, ..Pty::default() };
        assert_eq!(pty.wire_modes(), [53, 0, 0, 0, 0, 129, 1, 2, 3, 4, 0]);
        pty.validate().expect("valid");
    }

    #[test]
    fn terminals_that_no_server_could_make_sense_of_are_refused() {
        let with = |number| Pty { modes: vec![(TerminalMode(number), 1)], ..Pty::default() };
        for pty in [with(0), with(19), with(160), Pty { term: "a\0".into(), ..Pty::default() }] {
            assert!(pty.validate().is_err(), "{pty:?}");
        }
        assert!(Pty { term: "x".repeat(256), ..Pty::default() }.validate().is_err());
        assert!(
            Pty { modes: vec![(TerminalMode::ECHO, 1); 51], ..Pty::default() }.validate().is_err()
        );
    }
}
