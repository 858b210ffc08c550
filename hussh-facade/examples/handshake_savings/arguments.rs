//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use clap::Parser;
use hussh::Target;

/// Runs commands over SSH with a fresh connection each, then through a pool, and shows what the
/// pool saves. Without --sshd or --host it starts a server of its own.
#[derive(Debug, Parser)]
#[command(name = "handshake_savings")]
pub(crate) struct Arguments {
    /// How many commands each half runs
    #[arg(long, value_name = "N", default_value = "400", value_parser = count::<1, 10_000_000>)]
    pub(crate) commands: usize,

    /// The most connections the pool opens
    #[arg(long, value_name = "N", default_value = "4", value_parser = count::<1, 1000>)]
    pub(crate) connections: usize,

    /// How many threads run the commands, in both halves [default: as many as --connections]
    #[arg(long, value_name = "N", value_parser = count::<1, 1000>)]
    threads: Option<usize>,

    /// The command to run
    #[arg(long, value_name = "COMMAND", default_value = "true")]
    pub(crate) command: String,

    /// Print one JSON object instead of the table
    #[arg(long)]
    pub(crate) json: bool,

    /// Start this machine's OpenSSH server on a free port, and use that
    #[arg(long, conflicts_with = "host")]
    pub(crate) sshd: bool,

    /// Put a server of ours so many milliseconds of round trip away
    #[arg(long, value_name = "MS", default_value = "0", value_parser = count::<0, 5000>)]
    #[arg(conflicts_with = "host")]
    round_trip: usize,

    /// Use a server of your own; the password comes from HUSSH_PASSWORD or a prompt
    #[arg(long, value_name = "USER@HOST[:PORT]", value_parser = target)]
    pub(crate) host: Option<Target>,

    /// Log in to --host with this private key; its passphrase comes from HUSSH_PASSPHRASE or a
    /// prompt
    #[arg(long, value_name = "FILE", requires = "host")]
    pub(crate) identity: Option<PathBuf>,

    /// The known_hosts file for --host [default: your own]
    #[arg(long, value_name = "FILE", requires = "host")]
    pub(crate) known_hosts: Option<PathBuf>,
}

/// Why there are no arguments to go by.
pub(crate) enum Ask {
    /// The user wants to know what there is.
    Help(String),
    /// The user gave what makes no sense.
    Nonsense(anyhow::Error),
}

impl Arguments {
    pub(crate) fn read() -> Result<Self, Ask> {
        Self::try_parse().map_err(|error| {
            let text = error.render().to_string();
            if !error.use_stderr() {
                return Ask::Help(text);
            }
            // The first paragraph says what is wrong, the others how to write it.
            let what = text.split("\n\n").next().unwrap_or_default();
            let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
            Ask::Nonsense(anyhow!("{}; see --help", what.trim_start_matches("error: ")))
        })
    }

    pub(crate) fn round_trip(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.round_trip).unwrap_or(u64::MAX))
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads.unwrap_or(self.connections)
    }
}

fn count<const LEAST: usize, const MOST: usize>(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (LEAST..=MOST).contains(&count) => Ok(count),
        _ => Err(format!("must be a number from {LEAST} to {MOST}")),
    }
}

fn target(text: &str) -> Result<Target, String> {
    let (user, place) = text.rsplit_once('@').ok_or("must be user@host or user@host:port")?;
    let (host, port) = match place.rsplit_once(':') {
        // An IPv6 address, the last part of which is no port.
        Some((rest, _)) if rest.contains(':') && !rest.ends_with(']') => (place, None),
        Some((host, port)) => (host, Some(port)),
        None => (place, None),
    };
    let port = port.map_or(Ok(22), str::parse);
    let port = port.map_err(|_| "the port must be a number from 1 to 65535")?;
    Target::new(host, port, user).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn hosts_are_read_as_users_write_them() {
        for (text, host, port) in [
            ("u@h", "h", 22),
            ("u@h:2222", "h", 2222),
            ("u@[::1]", "::1", 22),
            ("u@[::1]:2222", "::1", 2222),
            ("u@fe80::1", "fe80::1", 22),
            ("u@x@10.0.0.1:22", "10.0.0.1", 22),
        ] {
            let target = target(text).expect(text);
            assert_eq!((target.host(), target.port()), (host, port), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in ["h", "@h", "u@", "u@h:", "u@h:0", "u@h:65536", "u@h:ssh", "u@-oX=y"] {
            assert!(target(text).is_err(), "{text}");
        }
    }
}
