//! What only the user can say: passwords that are asked for, and answers to a server's prompts.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use ssh_session::login::Dialogue;
use ssh_session::{ExposeSecret as _, Phase, Prompt, SshError};
use ssh2::KeyboardInteractivePrompt;

use crate::dial::Dial;

/// libssh2 has no way to give a dialogue up. But it refuses to send a packet as long as this would
/// be, before anything of it was sent.
const TOO_LONG: usize = 64 * 1024;

/// Runs what may wait for a human, on a thread of its own: the deadline goes on meanwhile, and a
/// panic stays there.
pub(crate) fn ask<T: Send + 'static>(
    dial: &Dial<'_>,
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
    receiver.recv_timeout(dial.deadline.remaining().unwrap_or(Duration::MAX)).map_err(|error| {
        match error {
            RecvTimeoutError::Timeout => dial.late(Phase::Authenticate),
            RecvTimeoutError::Disconnected => {
                SshError::invalid(question, "was asked for, and the function for that panicked")
            }
        }
    })
}

/// Answers the prompts of one keyboard-interactive authentication.
pub(crate) struct Conversation<'a> {
    dial: &'a Dial<'a>,
    /// Nobody's while its function runs.
    dialogue: Option<Dialogue>,
    /// Why there is no answer.
    pub(crate) given_up: Option<SshError>,
}

impl<'a> Conversation<'a> {
    pub(crate) fn new(dial: &'a Dial<'a>, dialogue: Dialogue) -> Self {
        Self { dial, dialogue: Some(dialogue), given_up: None }
    }

    fn answer(
        &mut self,
        name: &str,
        instructions: &str,
        prompts: &[ssh2::Prompt<'_>],
    ) -> Result<Vec<String>, SshError> {
        const FIELD: &str = "keyboard_interactive";
        let target = &self.dial.options.target;
        let questions = prompts.iter().map(|prompt| (prompt.text.as_bytes(), prompt.echo));
        let prompt = Prompt::new(target, name.as_bytes(), instructions.as_bytes(), questions)
            .ok_or_else(|| SshError::invalid(FIELD, "is asked more than anybody would answer"))?;
        let mut dialogue = self
            .dialogue
            .take()
            .ok_or_else(|| SshError::invalid(FIELD, "was given up, and is asked again"))?;
        let (answers, dialogue) = ask(self.dial, FIELD, move || {
            let answers = dialogue.answer(&prompt);
            (answers, dialogue)
        })?;
        self.dialogue = Some(dialogue);
        Ok(answers?.iter().map(|answer| answer.expose_secret().to_owned()).collect())
    }
}

impl KeyboardInteractivePrompt for Conversation<'_> {
    fn prompt<'a>(
        &mut self,
        name: &str,
        instructions: &str,
        prompts: &[ssh2::Prompt<'a>],
    ) -> Vec<String> {
        self.answer(name, instructions, prompts).unwrap_or_else(|error| {
            self.given_up = Some(error);
            vec!["\0".repeat(TOO_LONG)]
        })
    }
}
