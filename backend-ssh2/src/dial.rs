//! From a host's name to a logged-in session, under one deadline.

use ssh_session::{
    FirstKey, FirstKeys, HostKeyCheck, Options, Phase, PresentedKey, SshError, net, printable,
};
use ssh2::{BlockDirections, Error, MethodType, Session};

use crate::asking::{ask, within};
use crate::deadline::Deadline;
use crate::ffi::{self, Finishing};
use crate::login;
use crate::socket::Pending;
use crate::way::Way;

/// What host keys are called where the files that know them cannot be read.
const FIELD: &str = "known_hosts";

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

/// Opens a session, and those on the way there.
pub(crate) fn dial(options: &Options, first_keys: &FirstKeys) -> Result<Dialled, SshError> {
    options.validate()?;
    let deadline = Deadline::after(Some(options.connect_timeout));
    let way = Way::to(options, first_keys, &deadline)?;
    let dial = Dial::log_in(options, way, &first_keys.target, deadline)?;
    Ok(dial.into())
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
        let mut session = Session::new().map_err(failed)?;
        session.set_blocking(false);
        ffi::prepare(&session);
        session.set_tcp_stream(way.socket.clone());
        session.set_banner(concat!("SSH-2.0-hussh_", env!("CARGO_PKG_VERSION"))).map_err(failed)?;
        let supported = session.supported_algs(MethodType::HostKey).map_err(failed)?;
        let mut wanted = check.algorithms();
        wanted.retain(|method| supported.contains(&method.as_str()));
        session.method_pref(MethodType::HostKey, &wanted.join(",")).map_err(failed)?;
        Ok(Self { options, session, way, deadline })
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
        let mut session = self.session.clone();
        ffi::keep_greeting();
        let done = self.step(Phase::Handshake, || session.handshake());
        let greeting = ffi::take_greeting();
        match done {
            Ok(()) => Ok(()),
            Err(StepError::Fatal(SshError::ConnectionLost { detail, .. })) => {
                Err(self.hung_up(&greeting, detail))
            }
            Err(StepError::Fatal(error) | StepError::Disconnected(error)) => Err(error),
            Err(StepError::Refused(error)) if self.is_connections_fault(&error, &greeting) => {
                Err(self.hung_up(&greeting, error.message().to_owned()))
            }
            Err(StepError::Refused(error)) => Err(handshake_error(self.options, error.message())),
        }
    }

    /// The key that signed the exchange, or a certificate with that key in it: libssh2 checks the
    /// exchange's signature, but of a certificate nothing else.
    fn presented_key(&self) -> Result<PresentedKey, SshError> {
        let blob = self.session.host_key().map(|(blob, _)| blob.to_vec()).unwrap_or_default();
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
                    let lost = self.lost(phase, printable(error.message().as_bytes()));
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
            let write = matches!(
                self.session.block_directions(),
                BlockDirections::Outbound | BlockDirections::Both
            );
            self.way.socket.wait(write, self.deadline.at(), None);
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

fn handshake_error(options: &Options, detail: &str) -> SshError {
    SshError::Handshake { target: options.target.clone(), detail: printable(detail.as_bytes()) }
}
