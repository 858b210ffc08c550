//! The line protocol of the example `line_protocol`, for tasks: logs in, asks, notices a server that
//! hangs up, and never says a wrong secret twice.
//!
//! `cargo run --release -p pool-core --features tokio --example async_line_protocol`

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pool_core::{AsyncBackend, AsyncPool, Config, ErrorKind, Guard};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// One connection that has said hello.
type Lines = BufReader<TcpStream>;

async fn ask(lines: &mut Lines, question: &str) -> io::Result<String> {
    lines.write_all(format!("{question}\n").as_bytes()).await?;
    let mut answer = String::new();
    if lines.read_line(&mut answer).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(answer.trim_end().to_owned())
}

struct LineServer {
    address: SocketAddr,
    secret: &'static str,
}

// No time limits in here: the pool drops what takes longer than its configuration says.
impl AsyncBackend for LineServer {
    type Session = Lines;
    type Error = io::Error;

    async fn connect(&self) -> io::Result<Lines> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let mut lines = BufReader::new(stream);
        match ask(&mut lines, &format!("HELLO {}", self.secret)).await?.as_str() {
            "WELCOME" => Ok(lines),
            refusal => Err(io::Error::new(io::ErrorKind::PermissionDenied, refusal.to_owned())),
        }
    }

    fn is_broken(&self, lines: &mut Lines) -> bool {
        // Between two questions nothing may come, so anything but "nothing yet" is an end.
        let read = lines.get_ref().try_read(&mut [0]);
        let quiet = matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        !lines.buffer().is_empty() || !quiet
    }

    async fn check(&self, lines: &mut Lines) -> io::Result<()> {
        ask(lines, "PING").await.map(drop)
    }

    fn classify(&self, error: &io::Error) -> ErrorKind {
        match error.kind() {
            io::ErrorKind::PermissionDenied => ErrorKind::Permanent,
            io::ErrorKind::ConnectionRefused => ErrorKind::Unreachable,
            _ => ErrorKind::Transient,
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let greetings = Arc::new(AtomicUsize::new(0));
    let address = serve(Arc::clone(&greetings)).await?;

    let config = Config::builder().max_size(4).keepalive_interval(Some(Duration::from_secs(30)));
    let pool = AsyncPool::new(LineServer { address, secret: "open sesame" }, config.build()?);
    let start = Instant::now();
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for round in 0..100 {
                    let question = format!("{task}/{round}");
                    let mut lease = pool.get().await.map_err(|error| error.to_string())?;
                    // Where this fails, or the task is cancelled in between, the connection is
                    // closed: nobody else reads the answer as theirs.
                    let mut lines = Guard::scope(&mut lease);
                    let answer = ask(&mut lines, &question).await;
                    let answer = answer.map_err(|error| error.to_string())?;
                    lines.done();
                    assert_eq!(answer, format!("you said {question}"));
                }
                Ok::<(), String>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    println!(
        "800 questions from 8 tasks in {:?}, over {} connections",
        start.elapsed(),
        greetings.load(Ordering::SeqCst),
    );
    pool.close().await?;

    let wrong = AsyncPool::new(LineServer { address, secret: "guess" }, Config::default());
    match wrong.get().await {
        Err(error) => println!("with a wrong secret: {error}"),
        Ok(_) => return Err("the server let us in".into()),
    }
    Ok(())
}

/// The server: a task per connection.
async fn serve(greetings: Arc<AtomicUsize>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let greetings = Arc::clone(&greetings);
            tokio::spawn(async move { answer(client, &greetings).await });
        }
    });
    Ok(address)
}

async fn answer(client: TcpStream, greetings: &AtomicUsize) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (read, mut write) = client.into_split();
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = match line.as_str() {
            "HELLO open sesame" => {
                greetings.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(20)).await;
                "WELCOME".to_owned()
            }
            hello if hello.starts_with("HELLO") => "wrong secret".to_owned(),
            question => format!("you said {question}"),
        };
        write.write_all(format!("{answer}\n").as_bytes()).await?;
    }
    Ok(())
}
