//! Names of hosts and how a line's patterns match them.

use base64ct::{Base64, Encoding as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

pub(super) const DEFAULT_PORT: u16 = 22;

/// The name a host has in the files: in small letters, with the port if it isn't 22.
pub(super) fn of(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == DEFAULT_PORT { host } else { format!("[{host}]:{port}") }
}

/// The names of one line.
pub(super) enum Names<'a> {
    /// `|1|salt|hash`: one name, hashed.
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
    /// Patterns between commas.
    Patterns(&'a str),
}

impl<'a> Names<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, &'static str> {
        let Some(hashed) = text.strip_prefix('|') else { return Ok(Self::Patterns(text)) };
        let decoded = hashed.strip_prefix("1|").and_then(|rest| rest.split_once('|')).and_then(
            |(salt, hash)| Some((Base64::decode_vec(salt).ok()?, Base64::decode_vec(hash).ok()?)),
        );
        match decoded {
            Some((salt, hash)) if hash.len() == 20 => Ok(Self::Hashed { salt, hash }),
            _ => Err("malformed hashed name"),
        }
    }

    pub(super) fn is_about(&self, name: &str) -> bool {
        match self {
            Self::Hashed { salt, hash } => {
                let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(salt) else { return false };
                mac.update(name.as_bytes());
                mac.verify_slice(hash).is_ok()
            }
            Self::Patterns(patterns) => {
                let mut about = false;
                for pattern in patterns.split(',') {
                    match pattern.strip_prefix('!') {
                        Some(negated) if matches(negated, name) => return false,
                        Some(_) => {}
                        None => about |= matches(pattern, name),
                    }
                }
                about
            }
        }
    }
}

/// Whether a pattern with `*` and `?` matches the whole name, which is in small letters.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where to go on after the last `*`: the pattern behind it, and the name's first byte that
    // the `*` has not taken yet. Backtracking to the last one only keeps this quadratic.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                p += 1;
                star = Some((p, n));
            }
            Some(c) if *c == b'?' || c.to_ascii_lowercase() == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match &mut star {
                Some((after, taken)) => {
                    *taken += 1;
                    (p, n) = (*after, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::{Names, matches};

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, expected) in [
            ("*", "a", true),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "example.com", false),
            ("A?c", "abc", true),
            ("a?c", "ac", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("", "", true),
            ("a**", "a", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn a_negation_overrules() {
        let about = |patterns, name| Names::parse(patterns).expect("patterns").is_about(name);
        assert!(about("*.x,!a.x", "b.x"));
        assert!(!about("*.x,!a.x", "a.x"));
        assert!(!about("!a.x,*.x", "a.x"));
        assert!(!about("!a.x", "b.x"), "a negation alone matches nothing");
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = "*a".repeat(200);
        assert!(!matches(&pattern, &"b".repeat(255)));
    }
}
