//! Arguments that are not plain text.

use std::time::Duration;

use super::shown;

/// What becomes of a host key that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StrictHostKeyChecking {
    /// `yes`: it is refused.
    Yes,
    /// `accept-new`: it is recorded.
    AcceptNew,
    /// `ask`: the user is asked. Nobody can be asked here, and so it is refused, as `ssh` does in
    /// `BatchMode`.
    Ask,
    /// `no` or `off`: it is recorded, and a changed one lets `ssh` go on without passwords. Here a
    /// changed one is refused all the same.
    No,
}

pub(super) fn strict(text: &str) -> Result<StrictHostKeyChecking, String> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "yes" | "true" => StrictHostKeyChecking::Yes,
        "no" | "false" | "off" => StrictHostKeyChecking::No,
        "ask" => StrictHostKeyChecking::Ask,
        "accept-new" => StrictHostKeyChecking::AcceptNew,
        _ => return Err(format!("{:?} is not yes, no, off, ask or accept-new", shown(text))),
    })
}

pub(super) fn flag(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err(format!("{:?} is neither yes nor no", shown(text))),
    }
}

/// `None` for `ask`.
pub(super) fn flag_or_ask(text: &str) -> Result<Option<bool>, String> {
    match text.eq_ignore_ascii_case("ask") {
        true => Ok(None),
        false => flag(text).map(Some),
    }
}

/// `PubkeyAuthentication`, which may say more about how keys are bound to a session.
pub(super) fn pubkey(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "unbound" | "host-bound" => Ok(true),
        _ => flag(text),
    }
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port @ 1..) if digits => Ok(port),
        _ => Err(format!("{:?} is not a port from 1 to 65535", shown(text))),
    }
}

pub(super) fn count(text: &str) -> Result<u32, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<i32>() {
        Ok(count) if digits => Ok(count.unsigned_abs()),
        _ => Err(format!("{:?} is not a number", shown(text))),
    }
}

/// How many bytes `RekeyLimit` says, with K, M or G for their powers of 1,024; `None` for `default`
/// and 0.
pub(crate) fn rekey_bytes(text: &str) -> Result<Option<u64>, String> {
    if text == "default" {
        return Ok(None);
    }
    let bad = || format!("{:?} is neither default nor a size such as 500M or 1G", shown(text));
    let digits = text.trim_end_matches(['k', 'K', 'm', 'M', 'g', 'G']);
    let scale: u64 = match text.strip_prefix(digits) {
        Some("") => 1,
        Some("k" | "K") => 1 << 10,
        Some("m" | "M") => 1 << 20,
        Some("g" | "G") => 1 << 30,
        _ => return Err(bad()),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    let bytes = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(scale));
    match bytes.filter(|bytes| i64::try_from(*bytes).is_ok()).ok_or_else(bad)? {
        0 => Ok(None),
        1..16 => Err(format!("{:?} is too small: 16 bytes are the least", shown(text))),
        bytes => Ok(Some(bytes)),
    }
}

/// `none` is no time at all; otherwise numbers with or without a unit, such as `90`, `1h30m`.
pub(crate) fn time(text: &str) -> Result<Option<Duration>, String> {
    if text == "none" {
        return Ok(None);
    }
    let bad = || format!("{:?} is not a time such as 90, 5m or 1h30m", shown(text));
    let mut seconds: u64 = 0;
    let mut number: Option<u64> = None;
    for c in text.chars() {
        if let Some(digit) = c.to_digit(10) {
            let tens = number.unwrap_or(0).checked_mul(10).ok_or_else(bad)?;
            number = Some(tens.checked_add(u64::from(digit)).ok_or_else(bad)?);
            continue;
        }
        let unit = match c.to_ascii_lowercase() {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return Err(bad()),
        };
        let part = number.take().ok_or_else(bad)?.checked_mul(unit).ok_or_else(bad)?;
        seconds = seconds.checked_add(part).ok_or_else(bad)?;
    }
    if text.is_empty() {
        return Err(bad());
    }
    seconds = seconds.checked_add(number.unwrap_or(0)).ok_or_else(bad)?;
    // What `ssh` counts in.
    i32::try_from(seconds).map_err(|_| bad())?;
    Ok(Some(Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{count, port, rekey_bytes, time};

    #[test]
    fn times_are_read_with_their_units() {
        let seconds = |seconds| Ok(Some(Duration::from_secs(seconds)));
        for (text, expected) in
            [("0", 0), ("90", 90), ("1m", 60), ("1h30m", 5400), ("1W2d3", 777_603)]
        {
            assert_eq!(time(text), seconds(expected), "{text}");
        }
        assert_eq!(time("none"), Ok(None));
        for text in ["", "m", "1y", "-1", "99999999999", "99999999999999999999999", "1 m", "4000w"]
        {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, bytes) in [
            ("default", None),
            ("0", None),
            ("16", Some(16)),
            ("2k", Some(2048)),
            ("1G", Some(1 << 30)),
        ] {
            assert_eq!(rekey_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "G", "none", "15", "1GG", "1T", "-1", "1.5G", "9999999999999G"] {
            assert!(rekey_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_are_digits_only() {
        assert_eq!(port("22"), Ok(22));
        for text in ["0", "+22", "65536", "", "x"] {
            assert!(port(text).is_err(), "{text}");
        }
        assert_eq!(count("3"), Ok(3));
        assert!(count("-1").is_err() && count("+1").is_err() && count("4294967295").is_err());
    }
}
