//! From a connected socket to a logged-in session.

use std::cell::Cell;
use std::ffi::CStr;

use ssh_session::{
    FirstKey, HostKeyCheck, Options, Phase, PresentedKey, RekeyLimit, SshError, net, printable,
};

use crate::agreement;
use crate::deadline::Deadline;
use crate::ffi::{self, Error, Finishing, Session};
use crate::login;
use crate::prompts::{ask, within};
use crate::socket::Pending;
use crate::way::Way;

/// What host keys are called where the files that know them cannot be read.
const FIELD: &str = "known_hosts";

/// As much may a server send until somebody is logged in, in bytes: certificates and banners are far
/// shorter, and whatever else it is, libssh2 keeps it.
const MAX_RECEIVED: u64 = 2 << 20;

/// Why `RekeyLimit` is refused.
const NO_REKEY: &str = "cannot be kept over libssh2, which agrees on keys anew only where the server \
                        asks for it: take russh, or leave it to the server (RekeyLimit default)";

/// What we call ourselves (RFC 4253, 4.2).
const BANNER: &CStr = match CStr::from_bytes_with_nul(
    concat!("SSH-2.0-hussh_", env!("CARGO_PKG_VERSION"), "\0").as_bytes(),
) {
    Ok(banner) => banner,
    Err(_) => c"SSH-2.0-hussh",
};

/// What a finished dial leaves.
pub(crate) struct Dialled {
    pub(crate) session: Session,
    pub(crate) way: Way,
}

/// A session that is being opened. Only one thread knows it, so it waits without a lock.
pub(crate) struct Dial<'a> {
    pub(crate) options: &'a Options,
    pub(crate) session: Session,
    pub(crate) deadline: Deadline,
    way: Way,
    /// What the server has sent so far, in bytes.
    received: Cell<u64>,
}

/// Why a step of a dial failed.
pub(crate) enum StepError {
    /// libssh2 says no; the connection is fine.
    Refused(Error),
    /// The server said goodbye.
    Disconnected(SshError),
    /// There is no connection any more, or no time.
    Fatal(SshError),
}

impl<'a> Dial<'a> {
    /// Logs in to the host that a way leads to. Host keys are checked before any credential is sent,
    /// and a new one is recorded only after login.
    pub(crate) fn log_in(
        options: &'a Options,
        way: Way,
        first_key: &FirstKey,
        deadline: Deadline,
    ) -> Result<Self, SshError> {
        if options.crypto.rekey_limit() != RekeyLimit::default() {
            return Err(SshError::invalid("rekey_limit", NO_REKEY));
        }
        let (asked, first_key) = (options.clone(), first_key.clone());
        let read = move || HostKeyCheck::read(&asked, &first_key);
        let check = within(&options.target, &deadline, Phase::Handshake, FIELD, read)??;
        let dial = Self::new(options, way, deadline, &check)?;
        match dial.run(check) {
            Ok(()) => Ok(dial),
            Err(error) => Err(dial.give_up(error)),
        }
    }

    fn new(
        options: &'a Options,
        way: Way,
        deadline: Deadline,
        check: &HostKeyCheck,
    ) -> Result<Self, SshError> {
        let failed = |error: Error| handshake_error(options, error.message());
        let session = Session::new().map_err(failed)?;
        ffi::prepare(&session);
        session.set_socket(way.socket.clone());
        session.set_banner(BANNER).map_err(failed)?;
        let offer =
            agreement::offer(&session, &options.crypto, &check.algorithms()).map_err(failed)?;
        session.with_framing(|framing| {
            framing.offer = offer;
            framing.takes_hidden = agreement::takes_hidden(&options.crypto);
        });
        Ok(Self { options, session, way, deadline, received: Cell::new(0) })
    }

    /// The same, with another deadline for what comes next.
    pub(crate) fn until(self, deadline: Deadline) -> Self {
        Self { deadline, ..self }
    }

    /// Ends what was opened, without waiting for the server, and says what is known of the reason.
    pub(crate) fn give_up(mut self, error: SshError) -> SshError {
        let error = match (&mut self.way.process, self.way.fate.get(), error) {
            (Some(process), _, error) => process.explain(error),
            (_, Some(fate), SshError::Busy { .. }) => self.lost(Phase::Handshake, fate.clone()),
            (_, Some(fate), SshError::ConnectionLost { phase, .. }) => {
                self.lost(phase, fate.clone())
            }
            (_, _, error) => error,
        };
        self.way.socket.shutdown();
        let finishing = Finishing::later();
        finishing.begin();
        drop(self.session);
        error
    }

    fn run(&self, check: HostKeyCheck) -> Result<(), SshError> {
        self.handshake()?;
        let presented = self.presented_key()?;
        let verdict = match check.may_wait() {
            false => check.verify(&presented)?,
            true => {
                let verify = move || check.verify(&presented);
                within(&self.options.target, &self.deadline, Phase::Handshake, FIELD, verify)??
            }
        };
        login::login(self)?;
        ask(self, FIELD, move || verdict.accept())?
    }

    fn handshake(&self) -> Result<(), SshError> {
        ffi::keep_greeting();
        let done = self.step(Phase::Handshake, || self.session.handshake());
        let greeting = ffi::take_greeting();
        let problem = self.session.with_framing(|framing| {
            if let Some(violation) = framing.violation {
                return Some(violation.to_owned());
            }
            // What is known of the lists tells more than libssh2 does.
            let lists = framing.opening.lists().filter(|_| done.is_err());
            let signed = framing.offer.check_signature(&framing.opening).err();
            lists.and_then(|lists| framing.offer.compare(lists).err()).or(signed)
        });
        if let Some(problem) = problem
            && net::is_ssh_banner(&greeting)
        {
            return Err(handshake_error(self.options, &problem));
        }
        match done {
            Ok(()) => agreement::check(&self.session, &self.options.crypto)
                .map_err(|problem| handshake_error(self.options, &problem)),
            Err(StepError::Fatal(SshError::ConnectionLost { detail, .. })) => {
                Err(self.hung_up(&greeting, detail))
            }
            Err(StepError::Fatal(error) | StepError::Disconnected(error)) => Err(error),
            Err(StepError::Refused(error)) if self.is_connections_fault(&error, &greeting) => {
                Err(self.hung_up(&greeting, error.message().to_owned()))
            }
            Err(StepError::Refused(error)) => {
                Err(handshake_error(self.options, &printable(error.message().as_bytes())))
            }
        }
    }

    /// The key that signed the exchange, or a certificate with that key in it: libssh2 checks the
    /// exchange's signature, but of a certificate nothing else.
    fn presented_key(&self) -> Result<PresentedKey, SshError> {
        let blob = self.session.host_key();
        self.options
            .crypto
            .check_host_key(&blob)
            .map_err(|problem| handshake_error(self.options, &problem))?;
        PresentedKey::from_wire(&blob).ok_or_else(|| {
            handshake_error(self.options, "the server's host key is of a kind we don't know")
        })
    }

    /// Repeats a call until it no longer would block.
    pub(crate) fn step<T>(
        &self,
        phase: Phase,
        mut call: impl FnMut() -> Result<T, Error>,
    ) -> Result<T, StepError> {
        loop {
            let (result, received) = ffi::watch(&mut call);
            self.received.set(self.received.get() + received.bytes);
            if self.received.get() > MAX_RECEIVED {
                let detail = "the server sends too much before anybody is logged in".to_owned();
                return Err(StepError::Fatal(self.lost(phase, detail)));
            }
            match result {
                Ok(value) => return Ok(value),
                Err(error) if ffi::is_again(&error) => {
                    if let Some(end) = received.end {
                        let detail = end.map_or_else(
                            || "the server closed it".to_owned(),
                            |errno| errno.to_string(),
                        );
                        return Err(StepError::Fatal(self.lost(phase, detail)));
                    }
                }
                Err(error)
                    if phase != Phase::Handshake
                        && (ffi::is_fatal(&error) || ffi::is_goodbye(&error)) =>
                {
                    let lost = self.lost(phase, self.session.why(&error));
                    return Err(if ffi::is_goodbye(&error) {
                        StepError::Disconnected(lost)
                    } else {
                        StepError::Fatal(lost)
                    });
                }
                Err(error) => return Err(StepError::Refused(error)),
            }
            if self.deadline.is_over() {
                return Err(StepError::Fatal(self.late(phase)));
            }
            self.way.socket.wait(self.session.is_blocked(), self.deadline.at(), None);
        }
    }

    /// The deadline has passed.
    pub(crate) fn late(&self, phase: Phase) -> SshError {
        self.deadline.late(&self.options.target, phase)
    }

    pub(crate) fn lost(&self, phase: Phase, detail: String) -> SshError {
        let target = self.options.target.clone();
        SshError::ConnectionLost { target, phase, detail, partial: None, maybe_started: false }
    }

    /// Whether a handshake failed because the connection ended. libssh2 says "key exchange
    /// failure" then, too; without the server's list of algorithms it can't be about them.
    fn is_connections_fault(&self, error: &Error, greeting: &[u8]) -> bool {
        let ended = || self.way.socket.pending() == Pending::End;
        let knows_list = greeting.len() == ffi::GREETING_SIZE;
        ffi::is_connection(error) || (ended() && !(ffi::is_disagreement(error) && knows_list))
    }

    /// What it means that the connection ended in the handshake, by what the server said before.
    fn hung_up(&self, greeting: &[u8], detail: String) -> SshError {
        if net::is_ssh_banner(greeting) {
            return self.lost(Phase::Handshake, detail);
        }
        let said = printable(greeting);
        let lower = said.to_ascii_lowercase();
        if said.is_empty() || lower.contains("not allowed") || lower.contains("exceeded") {
            SshError::Busy { target: self.options.target.clone(), said }
        } else {
            handshake_error(self.options, &format!("it answered \"{said}\", which is not SSH"))
        }
    }
}

impl From<Dial<'_>> for Dialled {
    fn from(dial: Dial<'_>) -> Self {
        Self { session: dial.session, way: dial.way }
    }
}

/// What a server said in it has been made fit to be shown.
fn handshake_error(options: &Options, detail: &str) -> SshError {
    SshError::Handshake { target: options.target.clone(), detail: detail.to_owned() }
}
