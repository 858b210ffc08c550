//! Pools connections to a little server that speaks lines over TCP: `HELLO <secret>` once, then
//! one answer for each line. The greeting costs 20 ms, so the pool pays.
//!
//! `cargo run --release -p pool-core --example line_protocol`

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pool_core::{Backend, Config, ErrorKind, Pool};

/// One connection that has said hello.
struct Lines {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Lines {
    fn ask(&mut self, question: &str) -> io::Result<String> {
        self.writer.write_all(format!("{question}\n").as_bytes())?;
        let mut answer = String::new();
        if self.reader.read_line(&mut answer)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(answer.trim_end().to_owned())
    }
}

struct LineServer {
    address: SocketAddr,
    secret: &'static str,
}

impl Backend for LineServer {
    type Session = Lines;
    type Error = io::Error;

    fn connect(&self) -> io::Result<Lines> {
        let writer = TcpStream::connect_timeout(&self.address, Duration::from_secs(5))?;
        writer.set_nodelay(true)?;
        // Bounds every later wait, so that a worker never hangs for good.
        writer.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut lines = Lines { reader: BufReader::new(writer.try_clone()?), writer };
        match lines.ask(&format!("HELLO {}", self.secret))?.as_str() {
            "WELCOME" => Ok(lines),
            refusal => Err(io::Error::new(io::ErrorKind::PermissionDenied, refusal.to_owned())),
        }
    }

    fn is_broken(&self, lines: &mut Lines) -> bool {
        // Between two questions nothing may come, so anything but "nothing yet" is an end.
        let quiet = lines.writer.set_nonblocking(true).and_then(|()| {
            let peeked = lines.writer.peek(&mut [0]);
            lines.writer.set_nonblocking(false).and(peeked)
        });
        !matches!(quiet, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    fn check(&self, lines: &mut Lines) -> io::Result<()> {
        lines.ask("PING").map(drop)
    }

    fn classify(&self, error: &io::Error) -> ErrorKind {
        match error.kind() {
            io::ErrorKind::PermissionDenied => ErrorKind::Permanent,
            _ => ErrorKind::Transient,
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let greetings = Arc::new(AtomicUsize::new(0));
    let address = serve(Arc::clone(&greetings))?;

    let pool = Pool::new(
        LineServer { address, secret: "open sesame" },
        Config::builder().max_size(4).keepalive_interval(Some(Duration::from_secs(30))).build()?,
    );
    let start = Instant::now();
    thread::scope(|scope| {
        for worker in 0..8 {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..100 {
                    let question = format!("{worker}/{round}");
                    let answer =
                        pool.get().map_err(|error| error.to_string()).and_then(|mut lines| {
                            lines.ask(&question).map_err(|error| error.to_string())
                        });
                    assert_eq!(answer, Ok(format!("you said {question}")));
                }
            });
        }
    });
    println!(
        "800 questions from 8 threads in {:?}, over {} connections",
        start.elapsed(),
        greetings.load(Ordering::SeqCst),
    );
    pool.close()?;

    let wrong = Pool::new(LineServer { address, secret: "guess" }, Config::default());
    match wrong.get() {
        Err(error) => println!("with a wrong secret: {error}"),
        Ok(_) => return Err("the server let us in".into()),
    }
    Ok(())
}

/// The server: a thread per connection.
fn serve(greetings: Arc<AtomicUsize>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let greetings = Arc::clone(&greetings);
            thread::spawn(move || answer(client, &greetings));
        }
    });
    Ok(address)
}

fn answer(mut client: TcpStream, greetings: &AtomicUsize) -> io::Result<()> {
    client.set_nodelay(true)?;
    for line in BufReader::new(client.try_clone()?).lines() {
        let answer = match line?.as_str() {
            "HELLO open sesame" => {
                greetings.fetch_add(1, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(20));
                "WELCOME".to_owned()
            }
            hello if hello.starts_with("HELLO") => "wrong secret".to_owned(),
            question => format!("you said {question}"),
        };
        client.write_all(format!("{answer}\n").as_bytes())?;
    }
    Ok(())
}
