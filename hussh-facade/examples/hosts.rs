//! Runs a command on hosts of your `ssh_config`, the way `ssh` goes there, a thread for each.
//!
//! ```sh
//! cargo run --example hosts -- uptime web1 web2 admin@db
//! ```

use std::env;
use std::process::ExitCode;
use std::thread;

use hussh::{ConnectionPool, Error, Output, SshConfig};

fn main() -> Result<ExitCode, Error> {
    let mut arguments = env::args().skip(1);
    let (Some(command), hosts) = (arguments.next(), arguments.collect::<Vec<_>>()) else {
        eprintln!("usage: hosts COMMAND HOST…");
        return Ok(ExitCode::FAILURE);
    };
    let config = SshConfig::user()?;
    let results: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> =
            hosts.iter().map(|host| scope.spawn(|| run(host, &config, &command))).collect();
        running.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let mut all_well = true;
    for (host, result) in hosts.iter().zip(results) {
        match result {
            Ok(Ok(output)) => {
                all_well &= output.success();
                print!("{host}: {}{}", output.stdout_lossy(), output.stderr_lossy());
            }
            Ok(Err(error)) => {
                all_well = false;
                eprintln!("{host}: {error}");
            }
            Err(_) => return Ok(ExitCode::FAILURE),
        }
    }
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A program that runs many commands would keep the pool.
fn run(host: &str, config: &SshConfig, command: &str) -> Result<Output, Error> {
    ConnectionPool::from_config(host, config)?.build()?.execute(command)
}
