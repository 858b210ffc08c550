//! What a dial pays for known_hosts: `cargo run --release -p ssh-session --example known_hosts_time`.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use ssh_session::{
    FirstKey, HostKeyCheck, HostKeyPolicy, HostKeys, Options, PresentedKey, SshError, Target,
};

/// A key of no host.
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB6ycwp0SU5hbA0vOm8TXfCFJ2NSoEr4JGJdtCKHKUdH";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("| lines | names | first dial | same host again | another host | changed file |");
    println!("|---|---|---|---|---|---|");
    for lines in [1_000, 10_000, 50_000] {
        for hashed in [false, true] {
            let folder = std::env::temp_dir().join(format!("known_hosts-{}", std::process::id()));
            fs::create_dir_all(&folder)?;
            let path = folder.join(format!("known_hosts-{lines}-{hashed}"));
            let line = |n: usize| format!("host{n}.example.com {KEY}\n");
            fs::write(&path, (0..lines).map(line).collect::<String>())?;
            if hashed {
                Command::new("ssh-keygen").arg("-qHf").arg(&path).output()?;
            }
            // Files that changed just now are read anew.
            let old = SystemTime::now() - Duration::from_secs(60);
            fs::File::options().write(true).open(&path)?.set_modified(old)?;
            std::thread::sleep(Duration::from_millis(3_100));
            let dial = |host: usize| -> Result<Duration, SshError> {
                let target = Target::new(format!("host{host}.example.com"), 22, "u")?;
                let keys = HostKeys::new(HostKeyPolicy::Strict).files([&path]);
                let options = Options::new(target).host_keys(keys);
                let start = Instant::now();
                let check = HostKeyCheck::read(&options, &FirstKey::default())?;
                let algorithms = check.algorithms();
                let key = ssh_key::PublicKey::from_openssh(KEY).map_err(|_| unread())?;
                let blob = key.to_bytes().map_err(|_| unread())?;
                let presented = PresentedKey::from_wire(&blob).ok_or_else(unread)?;
                let _ = check.verify(&presented)?;
                assert!(!algorithms.is_empty());
                Ok(start.elapsed())
            };
            let first = dial(lines / 2)?;
            let (again, other) = (dial(lines / 2)?, dial(lines - 1)?);
            fs::write(&path, fs::read(&path)?)?;
            let changed = dial(lines / 2)?;
            let kind = if hashed { "hashed" } else { "plain" };
            println!(
                "| {lines} | {kind} | {first:.1?} | {again:.1?} | {other:.1?} | {changed:.1?} |"
            );
            fs::remove_dir_all(&folder)?;
        }
    }
    Ok(())
}

fn unread() -> SshError {
    SshError::InvalidInput { field: "key", problem: "is none".into() }
}
