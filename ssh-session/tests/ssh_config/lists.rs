//! Lists of algorithms beside those of `ssh`, which has other defaults, and knows other names.

use std::process::Command;
use std::sync::LazyLock;

use ssh_session::{Algorithms, Crypto};

use crate::readings::Values;

/// The keywords, and what `ssh -Q` calls them.
const LISTS: [(&str, Algorithms, &str); 4] = [
    ("ciphers", Algorithms::Ciphers, "cipher"),
    ("kexalgorithms", Algorithms::KeyExchange, "kex"),
    ("macs", Algorithms::Macs, "mac"),
    ("pubkeyacceptedalgorithms", Algorithms::UserKeys, "PubkeyAcceptedAlgorithms"),
];

/// What `ssh` says without any configuration.
static DEFAULTS: LazyLock<String> = LazyLock::new(|| ssh(&["-G", "-F", "/dev/null", "h"]));

fn ssh(arguments: &[&str]) -> String {
    let output = Command::new("ssh").args(arguments).output().expect("ssh runs");
    String::from_utf8(output.stdout).expect("text")
}

fn split(list: &str) -> Vec<&str> {
    list.split(',').filter(|name| !name.is_empty()).collect()
}

/// Both without these lists, once it is clear that they agree:
///
/// * what we would offer, `ssh` would, as far as it knows it;
/// * what `ssh` would offer and we know, we would, unless only its default has it;
/// * where a configuration names each, the order is the same.
pub(crate) fn compared(mut ours: Values, mut theirs: Values, what: &str) -> (Values, Values) {
    for (keyword, which, query) in LISTS {
        let (our, their) = (ours.remove(keyword), theirs.remove(keyword));
        let (our, their) = (our.expect("a list").join(","), their.expect("a list").join(","));
        let (our, their) = (split(&our), split(&their));
        let known = ssh(&["-Q", query]);
        let known: Vec<&str> = known.lines().collect();
        let default = DEFAULTS.lines().find_map(|line| line.strip_prefix(&format!("{keyword} ")));
        let default = split(default.expect("it prints its default"));
        let (usual, all) = (Crypto::default(), Crypto::compatible());
        for name in our.iter().filter(|name| known.contains(name)) {
            assert!(their.contains(name), "{keyword}: we offer {name}, ssh does not: {what}");
        }
        for name in their.iter().filter(|name| all.has(which, name)) {
            let only_theirs = default.contains(name) && !usual.has(which, name);
            let named = our.contains(name);
            assert!(named || only_theirs, "{keyword}: ssh offers {name}, we do not: {what}");
        }
        // Not a part of its default in that one's order, which is not ours.
        let places: Vec<_> =
            their.iter().map(|name| default.iter().position(|known| known == name)).collect();
        let is_part = places.is_sorted() && places.iter().all(Option::is_some);
        if !is_part && their.len() <= 3 {
            let theirs: Vec<_> = their.into_iter().filter(|name| all.has(which, name)).collect();
            assert_eq!(our, theirs, "{keyword}: {what}");
        }
    }
    (ours, theirs)
}
