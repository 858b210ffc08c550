//! What russh is to agree on with a server.

use std::borrow::Cow;
use std::time::Duration;

use russh::client::Config;
use russh::keys::Algorithm;
use russh::{Preferred, SshId, cipher};

/// Room for what came for a channel and was not taken in yet; commands take it in at once.
const CHANNEL_MESSAGES: usize = 100;

/// What the name of a certificate's algorithm ends with; before that is its key's.
const CERTIFICATE: &str = "-cert-v01@openssh.com";

/// `host_keys` are the algorithms to ask for, best first.
pub(crate) fn config(host_keys: &[String]) -> Config {
    let (certificates, keys) = host_key_algorithms(host_keys);
    let mut preferred = Preferred::DEFAULT;
    preferred.key = Cow::Owned(keys);
    preferred.host_key_certificates = Cow::Owned(certificates);
    // ring does AES-GCM half as fast again as ChaCha20 where the processor helps.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    {
        preferred.cipher = Cow::Borrowed(&[
            cipher::AES_256_GCM,
            cipher::CHACHA20_POLY1305,
            cipher::AES_256_CTR,
            cipher::AES_192_CTR,
            cipher::AES_128_CTR,
        ]);
    }
    Config {
        client_id: SshId::Standard(Cow::Borrowed(concat!(
            "SSH-2.0-hussh_",
            env!("CARGO_PKG_VERSION")
        ))),
        channel_buffer_size: CHANNEL_MESSAGES,
        preferred,
        // Heartbeats are ours, see `heartbeat.rs`: russh's pause while it writes, and its
        // inactivity timer would end slow logins.
        inactivity_timeout: None::<Duration>,
        keepalive_interval: None,
        ..Config::default()
    }
}

/// Certificates and bare keys to ask for, each best first, as far as russh knows them; none with
/// SHA-1.
fn host_key_algorithms(names: &[String]) -> (Vec<Algorithm>, Vec<Algorithm>) {
    let known = |name: &str| {
        let algorithm = Algorithm::new(name).ok()?;
        let is_known = Preferred::DEFAULT.key.contains(&algorithm);
        (is_known && algorithm != Algorithm::Rsa { hash: None }).then_some(algorithm)
    };
    let (certificates, keys): (Vec<_>, Vec<_>) =
        names.iter().map(String::as_str).partition(|name| name.ends_with(CERTIFICATE));
    let certified = certificates.into_iter().filter_map(|name| name.strip_suffix(CERTIFICATE));
    (certified.filter_map(known).collect(), keys.into_iter().filter_map(known).collect())
}

#[cfg(test)]
mod tests {
    use ssh_session::HostKeyAlgorithms;

    use super::host_key_algorithms;

    fn names(list: &str) -> (Vec<String>, Vec<String>) {
        let asked = HostKeyAlgorithms::parse(list).expect("a list");
        let (certificates, keys) = host_key_algorithms(asked.names());
        (
            certificates.iter().map(russh::keys::Algorithm::to_certificate_type).collect(),
            keys.iter().map(|algorithm| algorithm.as_str().to_owned()).collect(),
        )
    }

    #[test]
    fn the_order_is_kept_and_sha1_is_never_asked_for() {
        let (certificates, keys) = names("^rsa-sha2-512,ssh-rsa,ssh-rsa-cert-v01@openssh.com");
        assert_eq!(keys[..2], ["rsa-sha2-512", "ssh-ed25519"]);
        assert_eq!(certificates[0], "ssh-ed25519-cert-v01@openssh.com");
        assert!(certificates.contains(&"rsa-sha2-512-cert-v01@openssh.com".to_owned()));
        assert!(!certificates.contains(&"ssh-rsa-cert-v01@openssh.com".to_owned()));
        assert!(keys.iter().all(|name| !name.contains("cert") && name != "ssh-rsa"));
        assert_eq!(names("ssh-ed25519"), (Vec::new(), vec!["ssh-ed25519".to_owned()]));
    }
}
