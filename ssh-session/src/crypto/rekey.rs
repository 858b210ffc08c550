//! How long one set of keys is used.

use std::str::FromStr;
use std::time::Duration;

use crate::SshError;
use crate::ssh_config::{rekey_bytes, time};

/// After how much, and after how long, keys are agreed on anew, whichever comes first: `RekeyLimit`
/// of `ssh_config(5)`.
///
/// libssh2 agrees on keys anew only where a server asks for that, so a session over it that is to
/// keep a limit is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RekeyLimit {
    /// Bytes in either direction; `None`, the default, leaves it to the library: 1 GiB with russh,
    /// which is also the most.
    pub bytes: Option<u64>,
    /// `None`, the default, leaves it to the library: an hour with russh.
    pub time: Option<Duration>,
}

/// As `ssh_config(5)` has it: bytes, as in `1G` or `512K`, or `default`, and, with a blank between
/// them, a time such as `1h`, or `none`.
impl FromStr for RekeyLimit {
    type Err = SshError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |problem| SshError::invalid("rekey_limit", format!("is wrong: {problem}"));
        let mut words = text.split_whitespace();
        let (bytes, behind) = (words.next().unwrap_or_default(), words.next().unwrap_or("none"));
        if words.next().is_some() {
            return Err(invalid("it has more than two words".into()));
        }
        let bytes = rekey_bytes(bytes).map_err(invalid)?;
        let time = time(behind).map_err(invalid)?.filter(|time| !time.is_zero());
        Ok(Self { bytes, time })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::RekeyLimit;

    #[test]
    fn limits_are_read_as_in_ssh_config() {
        let hour = Some(Duration::from_secs(3600));
        for (text, bytes, time) in [
            ("1G 1h", Some(1 << 30), hour),
            ("default 1h", None, hour),
            ("64k", Some(65_536), None),
            ("default none", None, None),
        ] {
            assert_eq!(text.parse::<RekeyLimit>().ok(), Some(RekeyLimit { bytes, time }), "{text}");
        }
        for text in ["", "none", "1G 1h 1", "x", "1G soon"] {
            let error = text.parse::<RekeyLimit>().expect_err(text).to_string();
            assert!(error.contains("rekey_limit"), "{error}");
        }
    }
}
