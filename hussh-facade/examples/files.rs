//! Copies a directory to a server and back: `cargo run --example files -- HOST USER LOCAL REMOTE`.
//!
//! Logs in with the agent. What of it could not be copied is said, file by file.

use std::env;

use hussh::{Connection, Outcome, Report, Transfer};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [host, user, local, remote] = &arguments[..] else {
        return Err("give HOST USER LOCAL REMOTE".into());
    };
    let connection = Connection::builder(host, user).agent().connect()?;
    let sftp = connection.sftp()?;

    let transfer = Transfer::new().progress(|done| {
        eprint!("\r{} files, {} kB", done.files, done.bytes / 1_000);
    });
    tell("up", &sftp.upload(local, remote, &transfer)?);
    tell("down", &sftp.download(remote, format!("{local}.copy"), &transfer)?);

    for entry in sftp.list(remote)? {
        println!("{:>12} {}", entry.metadata.size.unwrap_or(0), entry.path.display());
    }
    Ok(())
}

fn tell(direction: &str, report: &Report) {
    eprintln!();
    println!("{direction}: {} files, {} bytes", report.files(), report.bytes());
    for entry in &report.entries {
        match &entry.outcome {
            Outcome::Skipped(why) => println!("  left out {}: {why}", entry.path.display()),
            Outcome::Failed(error) => println!("  failed {}: {error}", entry.path.display()),
            _ => {}
        }
    }
}
