//! What russh is to agree on with a server.

use std::borrow::Cow;
use std::time::Duration;

use russh::client::Config;
use russh::keys::Algorithm;
use russh::{Preferred, SshId, cipher};
use ssh_session::Preferences;

/// Room for what came for a channel and was not taken in yet; commands take it in at once.
const CHANNEL_MESSAGES: usize = 100;

/// What the name of a certificate's algorithm ends with; before that is its key's.
const CERTIFICATE: &str = "-cert-v01@openssh.com";

pub(crate) fn config(preferences: &Preferences) -> Config {
    let (certificates, keys) = host_key_algorithms(preferences);
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
fn host_key_algorithms(preferences: &Preferences) -> (Vec<Algorithm>, Vec<Algorithm>) {
    let known = |name: &str| {
        let algorithm = Algorithm::new(name).ok()?;
        let is_known = Preferred::DEFAULT.key.contains(&algorithm);
        (is_known && algorithm != Algorithm::Rsa { hash: None }).then_some(algorithm)
    };
    let (certificates, keys): (Vec<_>, Vec<_>) =
        preferences.algorithms().into_iter().partition(|name| name.ends_with(CERTIFICATE));
    let certified = certificates.into_iter().filter_map(|name| name.strip_suffix(CERTIFICATE));
    (certified.filter_map(known).collect(), keys.into_iter().filter_map(known).collect())
}

#[cfg(test)]
mod tests {
    use ssh_session::Preferences;

    use super::host_key_algorithms;

    fn names(known: &str, certificates: bool) -> (Vec<String>, Vec<String>) {
        let preferences = Preferences { known: vec![known.to_owned()], certificates };
        let (certificates, keys) = host_key_algorithms(&preferences);
        (
            certificates.iter().map(russh::keys::Algorithm::to_certificate_type).collect(),
            keys.iter().map(|algorithm| algorithm.as_str().to_owned()).collect(),
        )
    }

    #[test]
    fn known_types_are_asked_for_first_and_sha1_never() {
        let (certificates, rsa) = names("ssh-rsa", false);
        assert_eq!(rsa[..3], ["rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519"]);
        assert_eq!(names("ecdsa-sha2-nistp384", false).1[0], "ecdsa-sha2-nistp384");
        assert!(rsa.iter().all(|name| !name.contains("cert") && name != "ssh-rsa"));
        assert!(certificates.is_empty(), "nobody's could be checked");
    }

    #[test]
    fn certificates_are_asked_for_where_an_authority_is_known() {
        let (certificates, keys) = names("ssh-ed25519", true);
        assert_eq!(certificates[0], "ssh-ed25519-cert-v01@openssh.com");
        assert!(certificates.contains(&"rsa-sha2-512-cert-v01@openssh.com".to_owned()));
        assert!(!certificates.contains(&"ssh-rsa-cert-v01@openssh.com".to_owned()));
        assert_eq!(keys[0], "ssh-ed25519");
    }
}
