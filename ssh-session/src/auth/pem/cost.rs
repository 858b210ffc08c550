//! What it costs to try a passphrase.

use super::der::{INTEGER, OBJECT, OCTET_STRING, SEQUENCE, any, tagged};

/// The most rounds of PBKDF2, or of what was before it: some seconds, which cannot be stopped once
/// they are begun. OpenSSL's default is 2,048, and 600,000 is a lot.
const MAX_ROUNDS: u64 = 10_000_000;

/// The most memory of scrypt (RFC 7914), in bytes: 128 × N × r. OpenSSL's default takes 16 MiB.
const MAX_MEMORY: u64 = 256 << 20;

/// The most parallelization of scrypt, which multiplies its time.
const MAX_PARALLEL: u64 = 16;

/// `scrypt` (RFC 7914, 7).
const SCRYPT: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x04, 0x0b];

/// As deep may parameters be within each other.
const DEEPEST: usize = 8;

/// Checks that trying a passphrase for an `EncryptedPrivateKeyInfo` (RFC 5958) has a bound.
///
/// # Errors
///
/// In words, where it has not.
pub(super) fn check(mut encrypted: &[u8]) -> Result<(), String> {
    let algorithm = tagged(&mut encrypted, SEQUENCE)
        .and_then(|mut info| tagged(&mut info, SEQUENCE))
        .ok_or("it is no private key in PEM")?;
    walk(algorithm, DEEPEST)
}

/// Looks at every number that goes into a key, whatever the scheme is called.
fn walk(mut rest: &[u8], depth: usize) -> Result<(), String> {
    let mut is_scrypt = false;
    while !rest.is_empty() {
        let malformed = "how it is encrypted is malformed";
        match any(&mut rest).ok_or(malformed)? {
            (OBJECT, name) => is_scrypt = name == SCRYPT,
            (SEQUENCE, parameters) if is_scrypt => scrypt(parameters).ok_or(malformed)??,
            (SEQUENCE, inner) => {
                walk(inner, depth.checked_sub(1).ok_or(malformed)?)?;
            }
            (INTEGER, number) if number_of(number) > MAX_ROUNDS => {
                return Err(too_much(&format!("more than {MAX_ROUNDS} rounds")));
            }
            _ => {}
        }
    }
    Ok(())
}

fn scrypt(mut parameters: &[u8]) -> Option<Result<(), String>> {
    tagged(&mut parameters, OCTET_STRING)?;
    let mut number = || tagged(&mut parameters, INTEGER).map(number_of);
    let (cost, block, parallel) = (number()?, number()?, number()?);
    let memory = cost.saturating_mul(block).saturating_mul(128);
    Some(match (memory > MAX_MEMORY, parallel > MAX_PARALLEL) {
        (true, _) => Err(too_much(&format!("more than {} MiB of memory", MAX_MEMORY >> 20))),
        (_, true) => Err(too_much("too much time")),
        _ => Ok(()),
    })
}

fn too_much(what: &str) -> String {
    format!("its passphrase takes {what} to try (ssh-keygen -p -a 100 changes that)")
}

/// A number of up to 64 bits; a larger one, or a negative one, is as good as the largest.
fn number_of(bytes: &[u8]) -> u64 {
    let is_negative = bytes.first().is_some_and(|first| *first >= 0x80);
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let digits = &bytes[start..];
    if is_negative || digits.len() > 8 {
        return u64::MAX;
    }
    digits.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::{SCRYPT, check};

    fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).expect("short");
        if length < 0x80 {
            return [&[tag, length], content].concat();
        }
        [&[tag, 0x81, length], content].concat()
    }

    fn number(number: u32) -> Vec<u8> {
        tagged(2, &[&[0][..], &number.to_be_bytes()].concat())
    }

    /// A scheme with another one in it, as PBES2 has its derivation.
    fn encrypted(name: &[u8], parameters: &[u8]) -> Vec<u8> {
        let derivation = tagged(0x30, &[tagged(6, name), tagged(0x30, parameters)].concat());
        let scheme = [tagged(6, b"pbes2"), tagged(0x30, &derivation)].concat();
        tagged(0x30, &[tagged(0x30, &scheme), tagged(4, b"secret")].concat())
    }

    #[test]
    fn rounds_and_memory_without_end_are_refused_before_any_is_done() {
        let rounds = |count| encrypted(b"pbkdf2", &[tagged(4, b"salt"), number(count)].concat());
        assert_eq!(check(&rounds(2_048)), Ok(()));
        assert_eq!(check(&rounds(10_000_000)), Ok(()));
        for count in [10_000_001, 1 << 31, u32::MAX] {
            assert!(check(&rounds(count)).expect_err("too many").contains("rounds"));
        }
        let scrypt = |n, r, p| {
            let numbers = [number(n), number(r), number(p)].concat();
            check(&encrypted(SCRYPT, &[tagged(4, b"salt"), numbers].concat()))
        };
        assert_eq!(scrypt(1 << 14, 8, 1), Ok(()));
        assert!(scrypt(1 << 24, 8, 1).expect_err("too much").contains("memory"));
        assert!(scrypt(1 << 14, u32::MAX, 1).is_err() && scrypt(1 << 14, 8, 1_000).is_err());
        assert!(check(&encrypted(SCRYPT, b"")).is_err());
    }

    #[test]
    fn what_is_malformed_or_too_deep_is_an_error() {
        let mut deep = number(1);
        for _ in 0..20 {
            deep = tagged(0x30, &deep);
        }
        let deep = tagged(0x30, &tagged(0x30, &deep));
        for wrong in [&b""[..], b"\x30", b"\x30\x80", b"\x30\x03\x30\x05x", &deep] {
            assert!(check(wrong).is_err(), "{wrong:?}");
        }
    }
}
