//! A server of files that are in memory, and what carries its answers.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ssh_session::sftp::{Bounds, Client, Conversation, Inline};
use ssh_session::{SshError, Target};

/// Something that has a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Directory,
    File { mode: u32, content: Vec<u8> },
    Link(Vec<u8>),
}

/// What a server lists of a directory: name, line for people, mode, size.
pub(crate) type Listed = (Vec<u8>, Vec<u8>, u32, u64);

/// A server. Lies are told before anything true is.
#[derive(Default)]
pub(crate) struct Server {
    pub(crate) nodes: BTreeMap<Vec<u8>, Node>,
    /// Answers a request instead: its type and what follows its number.
    #[allow(clippy::type_complexity, reason = "one place")]
    pub(crate) lie: Option<Box<dyn FnMut(u8, &[u8]) -> Option<Vec<u8>>>>,
    open: BTreeMap<u32, (Vec<u8>, bool)>,
    last: u32,
    /// Requests taken in.
    pub(crate) asked: usize,
}

/// Random numbers from a seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }
}

/// Runs an operation against a server. With dice, answers come in any order and any pieces; with
/// `death`, the connection ends after so many bytes of them.
pub(crate) fn run<T, F: Future<Output = Result<T, SshError>>>(
    server: &mut Server,
    mut dice: Option<&mut Dice>,
    death: Option<usize>,
    bounds: Bounds,
    operation: impl FnOnce(Client) -> F,
) -> Result<T, SshError> {
    let target = Target::new("server.example.com", 22, "user").expect("a target");
    let conversation = Arc::new(Conversation::new(target));
    let client = Client::new(&conversation, Arc::new(Inline), bounds);
    let greeting = client.clone();
    let mut operation = pin!(async {
        greeting.greet().await?;
        operation(client).await
    });
    let mut context = Context::from_waker(Waker::noop());
    let (mut answers, mut partial): (Vec<Vec<u8>>, Vec<u8>) = (Vec::new(), Vec::new());
    let mut delivered = 0;
    for _ in 0..200_000 {
        if let Poll::Ready(result) = operation.as_mut().poll(&mut context) {
            return result;
        }
        if let Some(output) = conversation.take_output() {
            let mut rest = &output[..];
            while let Some((length, tail)) = rest.split_first_chunk::<4>() {
                let (packet, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
                answers.push(server.answer(packet));
                rest = tail;
            }
        }
        if answers.is_empty() && partial.is_empty() {
            // All is said; whoever still waits has been polled.
            if let Poll::Ready(result) = operation.as_mut().poll(&mut context) {
                return result;
            }
            assert!(conversation.has_output(), "nobody goes on");
            continue;
        }
        if !answers.is_empty() {
            let which = dice.as_mut().map_or(0, |dice| dice.below(answers.len()));
            partial.extend(answers.remove(which));
        }
        let piece = dice.as_mut().map_or(partial.len(), |dice| dice.below(partial.len() + 1));
        let piece = death.map_or(piece, |death| piece.min(death.saturating_sub(delivered)));
        let piece: Vec<u8> = partial.drain(..piece).collect();
        delivered += piece.len();
        conversation.receive(&piece);
        if death.is_some_and(|death| delivered >= death) {
            conversation.fail(conversation.lost("cut"));
        }
    }
    panic!("no end of it");
}

impl Server {
    fn answer(&mut self, packet: &[u8]) -> Vec<u8> {
        self.asked += 1;
        let (kind, rest) = (packet[0], &packet[1..]);
        if kind == 1 {
            let mut version = vec![2, 0, 0, 0, 3];
            string(&mut version, b"posix-rename@openssh.com");
            string(&mut version, b"1");
            return framed(&version);
        }
        let (id, body) = rest.split_at(4);
        let lie = self.lie.as_mut().and_then(|lie| lie(kind, body));
        let answer = lie.unwrap_or_else(|| self.truth(kind, body));
        let mut packet = vec![answer[0]];
        packet.extend_from_slice(id);
        packet.extend_from_slice(&answer[1..]);
        framed(&packet)
    }

    fn truth(&mut self, kind: u8, body: &[u8]) -> Vec<u8> {
        let (one, rest) = cut(body);
        let number = one.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        let path = one.to_vec();
        match kind {
            3 => {
                let flags = u32::from_be_bytes(*rest.first_chunk().expect("flags"));
                if self.nodes.get(&path) == Some(&Node::Directory) {
                    return status(4);
                }
                if flags & 8 != 0 {
                    let new = Node::File { mode: 0o100_644, content: Vec::new() };
                    if flags & 16 != 0 {
                        self.nodes.remove(&path);
                    }
                    self.nodes.entry(path.clone()).or_insert(new);
                }
                self.opened(path, false)
            }
            4 => status(if self.open.remove(&number).is_some() { 0 } else { 4 }),
            5 => {
                let offset = u64::from_be_bytes(*rest.first_chunk().expect("offset")) as usize;
                let length = u32::from_be_bytes(*rest[8..].first_chunk().expect("length")) as usize;
                let Some(content) = self.content(number) else { return status(4) };
                if offset >= content.len() {
                    return status(1);
                }
                let mut answer = vec![103];
                string(&mut answer, &content[offset..content.len().min(offset + length)]);
                answer
            }
            6 => {
                let offset = u64::from_be_bytes(*rest.first_chunk().expect("offset")) as usize;
                let data = cut(&rest[8..]).0.to_vec();
                let Some(content) = self.content(number) else { return status(4) };
                content.resize(content.len().max(offset + data.len()), 0);
                content[offset..offset + data.len()].copy_from_slice(&data);
                status(0)
            }
            7 | 17 => match self.nodes.get(&path) {
                Some(node) => attributes(node),
                None => status(2),
            },
            8 => match self.open.get(&number).and_then(|(path, _)| self.nodes.get(path)) {
                Some(node) => attributes(node),
                None => status(4),
            },
            9 | 10 => status(0),
            11 if self.nodes.get(&path) == Some(&Node::Directory) => self.opened(path, true),
            11 => status(2),
            12 => {
                let Some((path, unread)) = self.open.get_mut(&number) else { return status(4) };
                if !std::mem::take(unread) {
                    return status(1);
                }
                let mut prefix = path.clone();
                prefix.push(b'/');
                let inside = self.nodes.iter().filter_map(|(path, node)| {
                    let name = path.strip_prefix(&prefix[..])?;
                    (!name.contains(&b'/'))
                        .then(|| (name.to_vec(), Vec::new(), mode(node), size(node)))
                });
                names(&inside.collect::<Vec<_>>())
            }
            13 => status(if self.nodes.remove(&path).is_some() { 0 } else { 2 }),
            14 if self.nodes.contains_key(&path) => status(4),
            14 => {
                self.nodes.insert(path, Node::Directory);
                status(0)
            }
            15 => status(if self.nodes.remove(&path).is_some() { 0 } else { 2 }),
            16 => names(&[(path, Vec::new(), 0, 0)]),
            19 => match self.nodes.get(&path) {
                Some(Node::Link(target)) => names(&[(target.clone(), Vec::new(), 0, 0)]),
                _ => status(4),
            },
            20 => {
                self.nodes.insert(cut(rest).0.to_vec(), Node::Link(path));
                status(0)
            }
            200 if one == b"posix-rename@openssh.com" => {
                let (from, rest) = cut(rest);
                match self.nodes.remove(from) {
                    Some(node) => {
                        self.nodes.insert(cut(rest).0.to_vec(), node);
                        status(0)
                    }
                    None => status(2),
                }
            }
            _ => status(8),
        }
    }

    fn opened(&mut self, path: Vec<u8>, unread: bool) -> Vec<u8> {
        if !self.nodes.contains_key(&path) {
            return status(2);
        }
        self.last += 1;
        self.open.insert(self.last, (path, unread));
        let mut answer = vec![102];
        string(&mut answer, &self.last.to_be_bytes());
        answer
    }

    fn content(&mut self, handle: u32) -> Option<&mut Vec<u8>> {
        let (path, _) = self.open.get(&handle)?;
        match self.nodes.get_mut(path)? {
            Node::File { content, .. } => Some(content),
            _ => None,
        }
    }

    /// Files that nobody has closed.
    pub(crate) fn left_open(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn plant(&mut self, path: impl AsRef<Path>, node: Node) {
        use std::os::unix::ffi::OsStrExt as _;
        self.nodes.insert(path.as_ref().as_os_str().as_bytes().to_vec(), node);
    }
}

pub(crate) fn file(content: impl Into<Vec<u8>>) -> Node {
    Node::File { mode: 0o100_644, content: content.into() }
}

fn mode(node: &Node) -> u32 {
    match node {
        Node::Directory => 0o040_755,
        Node::File { mode, .. } => *mode,
        Node::Link(_) => 0o120_777,
    }
}

fn size(node: &Node) -> u64 {
    match node {
        Node::File { content, .. } => content.len() as u64,
        _ => 0,
    }
}

fn attributes(node: &Node) -> Vec<u8> {
    let mut answer = vec![105];
    write_attributes(&mut answer, mode(node), size(node));
    answer
}

fn write_attributes(out: &mut Vec<u8>, mode: u32, size: u64) {
    out.extend_from_slice(&5_u32.to_be_bytes());
    out.extend_from_slice(&size.to_be_bytes());
    out.extend_from_slice(&mode.to_be_bytes());
}

pub(crate) fn status(code: u32) -> Vec<u8> {
    let mut answer = vec![101];
    answer.extend_from_slice(&code.to_be_bytes());
    string(&mut answer, b"so it is");
    string(&mut answer, b"");
    answer
}

pub(crate) fn names(listed: &[Listed]) -> Vec<u8> {
    let mut answer = vec![104];
    answer.extend_from_slice(&(listed.len() as u32).to_be_bytes());
    for (name, long, mode, size) in listed {
        string(&mut answer, name);
        string(&mut answer, long);
        write_attributes(&mut answer, *mode, *size);
    }
    answer
}

pub(crate) fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn framed(packet: &[u8]) -> Vec<u8> {
    let mut framed = Vec::new();
    string(&mut framed, packet);
    framed
}

/// The string in front, and what is behind it.
pub(crate) fn cut(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = bytes.split_first_chunk::<4>().expect("a length");
    rest.split_at(u32::from_be_bytes(*length) as usize)
}
