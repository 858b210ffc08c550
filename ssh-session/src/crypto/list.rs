//! Lists as users write them.

use super::names::{Algorithms, is_known};
use crate::SshError;

/// A list, changed by what a user says (`ssh_config(5)`, `Ciphers`).
pub(super) fn changed(
    which: Algorithms,
    current: &[String],
    list: &str,
) -> Result<Vec<String>, SshError> {
    let list = list.trim();
    let (how, rest) = match list.as_bytes().first() {
        Some(b'+' | b'-' | b'^') => list.split_at(1),
        _ => ("", list),
    };
    let words: Vec<&str> = rest.split(',').map(str::trim).collect();
    if words.contains(&"") {
        return Err(SshError::invalid(which.field(), "has an empty name"));
    }
    let mut changed = current.to_vec();
    if how == "-" {
        changed.retain(|name| !words.iter().any(|word| matches(word, name)));
    } else {
        if let Some(unknown) = words.iter().find(|word| !is_known(which, word)) {
            let unknown = crate::printable(unknown.as_bytes());
            let problem = format!("has `{unknown}`, which is no {} known here", which.one());
            return Err(SshError::invalid(which.field(), problem));
        }
        let mut named: Vec<String> = Vec::new();
        for word in words {
            if !named.iter().any(|name| name == word) {
                named.push(word.to_owned());
            }
        }
        match how {
            "+" => {
                named.retain(|name| !changed.contains(name));
                changed.extend(named);
            }
            "^" => {
                changed.retain(|name| !named.contains(name));
                named.extend(changed);
                changed = named;
            }
            _ => changed = named,
        }
    }
    if changed.is_empty() {
        return Err(SshError::invalid(which.field(), "leaves nothing to agree on"));
    }
    Ok(changed)
}

pub(super) fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Ciphers in this order, but ChaCha20 first on processors without instructions for AES.
pub(super) fn fastest_first(mut ciphers: Vec<String>) -> Vec<String> {
    if !does_aes() {
        ciphers.sort_by_key(|name| !name.starts_with("chacha20"));
    }
    ciphers
}

fn does_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes")
        && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

/// Whether a name is meant by a word with `*` and `?` in it.
fn matches(word: &str, name: &str) -> bool {
    let (word, name) = (word.as_bytes(), name.as_bytes());
    // Where to go on from when the last `*` has to take one more character.
    let (mut w, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match word.get(w) {
            Some(b'*') => {
                star = Some((w + 1, n));
                w += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[n] => {
                w += 1;
                n += 1;
            }
            _ => match star {
                Some((behind, at)) => {
                    star = Some((behind, at + 1));
                    (w, n) = (behind, at + 1);
                }
                None => return false,
            },
        }
    }
    word[w..].iter().all(|byte| *byte == b'*')
}
