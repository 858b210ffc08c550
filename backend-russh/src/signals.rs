//! Signals by the names of RFC 4254, 6.10.

use russh::Sig;
use ssh_session::{SshError, check_signal};

/// The signal with this name, which has no `SIG` before it.
pub(crate) fn named(name: &str) -> Result<Sig, SshError> {
    check_signal(name)?;
    Ok(match name {
        "ABRT" => Sig::ABRT,
        "ALRM" => Sig::ALRM,
        "FPE" => Sig::FPE,
        "HUP" => Sig::HUP,
        "ILL" => Sig::ILL,
        "INT" => Sig::INT,
        "KILL" => Sig::KILL,
        "PIPE" => Sig::PIPE,
        "QUIT" => Sig::QUIT,
        "SEGV" => Sig::SEGV,
        "TERM" => Sig::TERM,
        "USR1" => Sig::USR1,
        // russh has no word of its own for it.
        _ => Sig::Custom(name.to_owned()),
    })
}

/// A signal's name without `SIG`, as a server may have made it up.
pub(crate) fn name(signal: &Sig) -> &str {
    match signal {
        Sig::ABRT => "ABRT",
        Sig::ALRM => "ALRM",
        Sig::FPE => "FPE",
        Sig::HUP => "HUP",
        Sig::ILL => "ILL",
        Sig::INT => "INT",
        Sig::KILL => "KILL",
        Sig::PIPE => "PIPE",
        Sig::QUIT => "QUIT",
        Sig::SEGV => "SEGV",
        Sig::TERM => "TERM",
        Sig::USR1 => "USR1",
        Sig::Custom(name) => name,
    }
}

#[cfg(test)]
mod tests {
    use super::{name, named};

    #[test]
    fn the_names_of_the_rfc_and_no_others_are_known() {
        for known in [
            "ABRT", "ALRM", "FPE", "HUP", "ILL", "INT", "KILL", "PIPE", "QUIT", "SEGV", "TERM",
            "USR1", "USR2",
        ] {
            assert_eq!(name(&named(known).expect(known)), known);
        }
        for unknown in ["", "SIGTERM", "term", "STOP", "9"] {
            assert!(named(unknown).is_err(), "{unknown}");
        }
    }
}
