//! Runs a command on many hosts, a thread for each, over few connections at once: as many in all as
//! `max_total` says, however many hosts there are. Logs in by the agent or a default key.
//!
//! ```sh
//! cargo run --example fleet -- deploy uptime web1 web2 web3
//! ```

use std::env;
use std::process::ExitCode;
use std::thread;

use hussh::{Error, KeyedConnectionPool, Output, Target};

fn main() -> Result<ExitCode, Error> {
    let mut arguments = env::args().skip(1);
    let (Some(user), Some(command)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: fleet USER COMMAND HOST…");
        return Ok(ExitCode::FAILURE);
    };
    let pool = KeyedConnectionPool::builder().max_connections(1).max_total(20).build()?;
    let run = |host: &str| -> Result<Output, Error> {
        pool.execute(&Target::new(host, 22, &user)?, &command)
    };
    thread::scope(|scope| {
        for host in arguments {
            let run = &run;
            scope.spawn(move || match run(&host) {
                Ok(output) => print!("{host}: {}{}", output.stdout_lossy(), output.stderr_lossy()),
                Err(error) => eprintln!("{host}: {error}"),
            });
        }
    });
    Ok(ExitCode::SUCCESS)
}
