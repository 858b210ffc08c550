//! What may wait for others than the server: passwords that are asked for, answers to a server's
//! prompts, and files.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use ssh_session::login::{Attempt, KeyboardInteractive, Login};
use ssh_session::{ExposeSecret as _, Phase, Prompt, SshError, Target};

use crate::deadline::Deadline;
use crate::dial::Dial;
use crate::ffi::{Prompt as Asked, Prompter};

/// libssh2 has no way to give a dialogue up. But it refuses to send a packet as long as this would
/// be, before anything of it was sent.
const TOO_LONG: usize = 64 * 1024;

const FIELD: &str = "keyboard_interactive";

/// Runs what may wait for a human, for a file that is far away, or for the rounds of an encrypted
/// key, on a thread of its own: the deadline goes on meanwhile, and a panic stays there.
pub(crate) fn ask<T: Send + 'static>(
    dial: &Dial<'_>,
    question: &'static str,
    ask: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SshError> {
    within(&dial.options.target, &dial.deadline, Phase::Authenticate, question, ask)
}

/// The same before there is a session.
pub(crate) fn within<T: Send + 'static>(
    target: &Target,
    deadline: &Deadline,
    phase: Phase,
    question: &'static str,
    ask: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SshError> {
    let (sender, receiver) = mpsc::channel();
    let asking = thread::Builder::new().name("hussh-ask".into()).spawn(move || {
        // Nobody waits any more if this fails.
        let _ = sender.send(ask());
    });
    if let Err(error) = asking {
        return Err(SshError::invalid(question, format!("cannot be asked for: {error}")));
    }
    receiver.recv_timeout(deadline.remaining().unwrap_or(Duration::MAX)).map_err(
        |error| match error {
            RecvTimeoutError::Timeout => deadline.late(target, phase),
            RecvTimeoutError::Disconnected => {
                SshError::invalid(question, "was asked for, and the function for that panicked")
            }
        },
    )
}

/// Answers the prompts of one keyboard-interactive authentication. What one credential declines to
/// answer is left to the next, if that answers prompts, too.
pub(crate) struct Conversation<'a, 'p> {
    dial: &'a Dial<'a>,
    plan: &'a mut Login<'p>,
    /// Nobody's while its function runs.
    dialogue: Option<KeyboardInteractive>,
    /// What to call it in an error.
    pub(crate) name: &'static str,
    pub(crate) end: Option<End>,
}

/// Why a server gets no answer.
pub(crate) enum End {
    /// Nobody has one, as the plan knows.
    Declined,
    /// It is too late for one.
    Late(SshError),
}

impl<'a, 'p> Conversation<'a, 'p> {
    pub(crate) fn new(
        dial: &'a Dial<'a>,
        plan: &'a mut Login<'p>,
        dialogue: KeyboardInteractive,
    ) -> Self {
        Self { dial, plan, name: dialogue.name(), dialogue: Some(dialogue), end: None }
    }

    fn answer(
        &mut self,
        name: &str,
        instructions: &str,
        prompts: &[Asked<'_>],
    ) -> Result<Vec<String>, End> {
        let target = &self.dial.options.target;
        let questions = prompts.iter().map(|prompt| (prompt.text.as_bytes(), prompt.echo));
        let prompt = Prompt::new(target, name.as_bytes(), instructions.as_bytes(), questions);
        let Some(prompt) = prompt else {
            let problem = "was asked more than anybody would answer";
            self.plan.not_sent(SshError::invalid(FIELD, problem));
            return Err(End::Declined);
        };
        while let Some(mut dialogue) = self.dialogue.take() {
            let asked = prompt.clone();
            let answered = ask(self.dial, FIELD, move || (dialogue.answer(&asked), dialogue));
            let error = match answered {
                Ok((Ok(answers), dialogue)) => {
                    self.dialogue = Some(dialogue);
                    let texts = answers.iter().map(|answer| answer.expose_secret().to_owned());
                    return Ok(texts.collect());
                }
                Err(late @ SshError::Timeout { .. }) => return Err(End::Late(late)),
                Ok((Err(error), _)) | Err(error) => error,
            };
            self.plan.not_sent(error);
            if let Some(Attempt::KeyboardInteractive(next)) = self.plan.attempt() {
                self.name = next.name();
                self.dialogue = Some(next);
            }
        }
        Err(End::Declined)
    }
}

impl Prompter for Conversation<'_, '_> {
    fn prompt(&mut self, name: &str, instructions: &str, prompts: &[Asked<'_>]) -> Vec<String> {
        self.answer(name, instructions, prompts).unwrap_or_else(|end| {
            self.end = Some(end);
            vec!["\0".repeat(TOO_LONG)]
        })
    }
}
