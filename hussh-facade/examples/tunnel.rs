//! Forwards a port here to one behind a host of your `ssh_config`, or runs a SOCKS proxy over it, until
//! Enter is pressed.
//!
//! ```sh
//! cargo run --example tunnel -- gateway db.intranet 5432
//! cargo run --example tunnel -- gateway
//! ```

use std::env;
use std::error::Error;
use std::io;

use hussh::{Connection, LocalForward, SshConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (host, forward) = match arguments.as_slice() {
        [host] => (host, LocalForward::socks()),
        [host, to, port] => (host, LocalForward::to_tcp(to, port.parse()?)),
        _ => return Err("usage: tunnel HOST [TO PORT]".into()),
    };
    let connection = Connection::from_config(host, &SshConfig::user()?)?.connect()?;
    let forwarding = connection.forward_local(&forward)?;
    println!("{} is forwarded; press Enter to end it", forwarding.local_addr());
    io::stdin().read_line(&mut String::new())?;
    let stats = forwarding.stats();
    println!("{} connections, of which {} failed", stats.accepted, stats.failed);
    if let Some(error) = forwarding.last_error() {
        println!("the last of these: {error}");
    }
    Ok(())
}
