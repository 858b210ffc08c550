//! Lists as users write them.

use super::names::{Algorithms, is_known, known, only_openssh_has};
use crate::SshError;
use crate::pattern::{self, Case};

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
        changed.retain(|name| !words.iter().any(|word| pattern::matches(word, name, Case::Kept)));
    } else {
        let mut named: Vec<String> = Vec::new();
        for word in words {
            let found = meant(which, word);
            if found.is_empty() {
                let unknown = crate::printable(word.as_bytes());
                let problem = format!("has `{unknown}`, which is no {} known here", which.one());
                return Err(SshError::invalid(which.field(), problem));
            }
            for name in found {
                if !named.iter().any(|known| known == name) {
                    named.push(name.to_owned());
                }
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

/// What a word of a list stands for.
fn meant(which: Algorithms, word: &str) -> Vec<&'static str> {
    let is_meant = |name: &&&str| match which.takes_patterns() {
        true => pattern::matches(word, name, Case::Kept),
        false => **name == word,
    };
    known(which).iter().filter(is_meant).copied().collect()
}

/// A list of `ssh_config(5)` without the names that only `ssh` has. `None` where it then says
/// nothing; an error, as in "`field` `problem`", where it then leaves nothing.
pub(super) fn without_absent(which: Algorithms, list: &str) -> Result<Option<String>, String> {
    let (how, rest) = match list.as_bytes().first() {
        Some(b'+' | b'-' | b'^') => list.split_at(1),
        _ => ("", list),
    };
    if how == "-" {
        return Ok(Some(list.to_owned()));
    }
    let has = |word: &&str| is_known(which, word) || !only_openssh_has(which, word);
    let words: Vec<&str> = rest.split(',').filter(has).collect();
    match (words.is_empty(), how) {
        (false, _) => Ok(Some(format!("{how}{}", words.join(",")))),
        (true, "") => Err("names none that a library here has".to_owned()),
        (true, _) => Ok(None),
    }
}

pub(crate) fn owned(names: &[&str]) -> Vec<String> {
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
