//! Runs a command on many hosts and prints what each says as it comes, with `--sudo` as root. Logs in
//! by the agent or a default key; hosts are `[user@]host[:port]`.
//!
//! ```sh
//! cargo run --example fleet -- deploy uptime web1 admin@web2 web3:2222
//! cargo run --example fleet -- --sudo deploy 'systemctl restart nginx' web1 web2
//! ```

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use hussh::{Become, Command, Error, MultiConnection};

fn main() -> Result<ExitCode, Error> {
    let mut arguments = env::args().skip(1).peekable();
    let sudo = arguments.next_if_eq("--sudo").is_some();
    let (Some(user), Some(command)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: fleet [--sudo] USER COMMAND HOST…");
        return Ok(ExitCode::FAILURE);
    };
    let fleet = MultiConnection::builder()
        .username(user)
        .hosts(arguments)
        .hosts_at_once(20)
        .host_timeout(Duration::from_secs(60))
        .build()?;
    let mut command = Command::new(&command);
    if sudo {
        command = command.become_user(Become::sudo());
    }
    let mut all_well = true;
    for host in fleet.execute_with(&command)? {
        all_well &= host.success();
        match host.result {
            Ok(output) => {
                print!("{}: {}{}", host.host, output.stdout_lossy(), output.stderr_lossy());
            }
            Err(error) => eprintln!("{error}"),
        }
    }
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
