//! Talks to a device that runs no commands and has nothing but a prompt, a pager and a slow line:
//! `cargo run --example device`. It starts one of its own; with `-- HOST USER` it takes that one,
//! which has to know `show version`, and logs in with the agent.

use std::env;
use std::error::Error;
use std::time::Duration;

use hussh::{Connection, Pattern, Pty, ReadUntil, Shell, ShellOptions};
use test_servers::embedded::{Device, EmbeddedServer};

/// How long the device may take to come to its next prompt.
const PATIENCE: Duration = Duration::from_secs(20);

/// A session with a device, and what its prompts look like.
struct Talk<'c> {
    shell: Shell<'c>,
    /// The prompt, or the pager's question.
    pause: Pattern,
}

impl<'c> Talk<'c> {
    fn start(connection: &'c Connection) -> Result<Self, Box<dyn Error>> {
        // A tall terminal, for a pager that has little to ask.
        let pty = Pty { rows: 50, ..Pty::default() };
        let shell = connection.shell(&ShellOptions::new().pty(pty))?;
        let pause = Pattern::regex(r"(--More--) |[\r\n][\w.-]+[#>] ?$")?;
        let mut talk = Self { shell, pause };
        talk.answer()?;
        Ok(talk)
    }

    /// Types a line, and says what the device answers.
    fn ask(&mut self, line: &str) -> Result<String, Box<dyn Error>> {
        self.shell.send(format!("{line}\r"))?;
        // Its echo comes first.
        self.expect(&Pattern::literal(format!("{line}\r\n"))?)?;
        self.answer()
    }

    /// Reads until the prompt, page by page.
    fn answer(&mut self) -> Result<String, Box<dyn Error>> {
        let mut answer = String::new();
        loop {
            let pause = self.pause.clone();
            let (before, is_pager) = self.expect(&pause)?;
            // What the pager said is wiped away with backspaces and spaces.
            answer.push_str(before.rsplit('\u{8}').next().unwrap_or_default());
            if !is_pager {
                return Ok(answer.replace('\r', ""));
            }
            self.shell.send(" ")?;
        }
    }

    fn expect(&mut self, pattern: &Pattern) -> Result<(String, bool), Box<dyn Error>> {
        match self.shell.read_until(pattern, PATIENCE)? {
            ReadUntil::Match(found) => {
                Ok((found.before_text().into_owned(), found.group(1).is_some()))
            }
            other => Err(format!("no prompt: {other:?}").into()),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [host, user] = &arguments[..] {
        let connection = Connection::builder(host, user).agent().connect()?;
        println!("{}", Talk::start(&connection)?.ask("show version")?);
        return Ok(());
    }
    let device = Device::new("s3cret").pace(Duration::from_micros(100));
    let server = EmbeddedServer::builder().device(device).start()?;
    let connection = Connection::builder(server.host(), server.user())
        .port(server.port())
        .password(server.password())
        .known_hosts([server.dir().join("known_hosts")])
        .connect()?;
    let refused = connection.execute("show version").expect_err("it runs no commands");
    println!("{refused}");

    let mut talk = Talk::start(&connection)?;
    println!("{}", talk.ask("show version")?);
    talk.shell.send("enable\r")?;
    talk.expect(&Pattern::literal("Password: ")?)?;
    // A secret is not echoed, and written to no log.
    talk.shell.send("s3cret\r")?;
    talk.answer()?;
    let configuration = talk.ask("show running-config")?;
    println!("{} lines of configuration", configuration.lines().filter(|l| !l.is_empty()).count());
    talk.shell.send("exit\r")?;
    println!("exit status {}", talk.shell.wait(PATIENCE)?);
    Ok(())
}
