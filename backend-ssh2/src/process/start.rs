//! How a command is started.

use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

use ssh_session::{Command, Phase, Request, SshError, Stdin, printable};

use super::{Failure, Ssh2Process};
use crate::command_io::{CommandIo, Input};
use crate::deadline::Deadline;
use crate::ffi::{self, Channel, Error, again};
use crate::link::Link;
use crate::state::{Op, State};

impl Ssh2Process<'_> {
    /// Opens a channel, sets it up and starts the command.
    pub(crate) fn start(
        link: &Arc<Link>,
        op: Op,
        command: &Command,
        kept: bool,
    ) -> Result<Self, SshError> {
        let deadline = Deadline::after(command.time_limit());
        let channel = link
            .take_channel(op, command.waits_for_channel(), &deadline)
            .map_err(|stop| link.error(stop, Phase::OpenChannel, &deadline))?;
        let input = match command.input() {
            Stdin::Bytes(bytes) => Input::given(bytes.clone()),
            Stdin::Piped => Input::piped(),
        };
        if kept {
            link.lock().keep_channel();
        }
        let body = Mutex::new(CommandIo::new(channel, input));
        let link = Arc::clone(link);
        let mut process = Self { link, session: PhantomData, kept, deadline, op, body };
        process.set_up(command)?;
        process
            .run(command)
            .map_err(|failure| process.fail(failure, Phase::Start, &command.request()))?;
        process.link.lock().warm_up();
        if kept || command.request_type() == Request::Shell {
            process.deadline = Deadline::after(None);
        }
        Ok(process)
    }

    fn set_up(&self, command: &Command) -> Result<(), SshError> {
        let refused = |failure, what: &str| self.fail(failure, Phase::OpenChannel, what);
        if let Some(pty) = command.terminal() {
            let (term, modes) = (pty.term.as_bytes(), pty.wire_modes());
            self.ask(|channel| channel.request_pty(term, &modes, pty.columns, pty.rows))
                .map_err(|failure| refused(failure, "a terminal"))?;
        }
        for (name, value) in command.envs() {
            self.ask(|channel| channel.setenv(name.as_bytes(), value.as_bytes())).map_err(
                |failure| {
                    let name = printable(name.as_bytes());
                    let what =
                        format!("the environment variable {name} (see AcceptEnv in sshd_config)");
                    refused(failure, &what)
                },
            )?;
        }
        Ok(())
    }

    /// Asks the server to run the command. Right behind it go its input and, for the next command,
    /// the open of another channel: none of them has to wait for the answer.
    fn run(&self, command: &Command) -> Result<(), Failure> {
        let mut parked_ahead = false;
        self.request(
            |channel| channel.start(command.request_type(), command.command()),
            |body, state| {
                if !std::mem::replace(&mut parked_ahead, true) {
                    state.park_ahead();
                }
                body.feed()
            },
        )
    }

    /// Asks the server for something and waits for its answer.
    fn ask(&self, ask: impl FnMut(&mut Channel) -> Result<(), Error>) -> Result<(), Failure> {
        self.request(ask, |_, _| Ok(()))
    }

    /// As [`ask`](Self::ask); `behind` is called once the request is sent, until it was answered.
    fn request(
        &self,
        mut ask: impl FnMut(&mut Channel) -> Result<(), Error>,
        mut behind: impl FnMut(&mut CommandIo, &mut State) -> Result<(), Error>,
    ) -> Result<(), Failure> {
        let mut answer = None;
        let mut closed = false;
        self.link.drive(self.op, &self.deadline, |state, session| {
            state.request(self.op, |state| {
                let mut body = self.body();
                let Some(channel) = body.channel().filter(|_| answer.is_none()) else {
                    // Only a packet that was sent in part is left to do.
                    behind(&mut body, state)?;
                    return answer.take_if(|_| !session.is_blocked()).unwrap_or(Err(again()));
                };
                match ask(channel) {
                    Err(error) if ffi::is_again(&error) => {
                        // It may close the channel instead of answering.
                        closed = channel.eof();
                        answer = closed.then_some(Ok(()));
                        if answer.is_none() && !session.is_blocked() {
                            behind(&mut body, state)?;
                        }
                    }
                    other => answer = Some(other),
                }
                answer.take_if(|_| !session.is_blocked()).unwrap_or(Err(again()))
            })
        })?;
        if closed { Err(Failure::NoExitStatus) } else { Ok(()) }
    }
}
