//! Answering what a server asks in keyboard-interactive authentication.

use secrecy::SecretString;

use crate::{Answers, Prompt, SshError};

/// How often a server may ask. PAM asks once or twice.
const MAX_ROUNDS: usize = 20;

/// The answers of one keyboard-interactive authentication, which may have several prompts.
#[derive(Debug)]
pub struct KeyboardInteractive {
    who: Who,
    rounds: usize,
}

enum Who {
    Answers(Answers),
    /// `None` once it was given.
    Password(Option<SecretString>),
}

impl KeyboardInteractive {
    pub(super) fn answers(answers: Answers) -> Self {
        Self { who: Who::Answers(answers), rounds: 0 }
    }

    pub(super) fn password(password: SecretString) -> Self {
        Self { who: Who::Password(Some(password)), rounds: 0 }
    }

    /// What to call it in an error.
    pub fn name(&self) -> &'static str {
        match self.who {
            Who::Answers(_) => "keyboard-interactive",
            Who::Password(_) => "password (keyboard-interactive)",
        }
    }

    /// One answer for each question. May wait for a human.
    ///
    /// # Errors
    ///
    /// If there is no answer: the authentication is to be given up then, without one.
    pub fn answer(&mut self, prompt: &Prompt) -> Result<Vec<SecretString>, SshError> {
        self.rounds += 1;
        let unanswered = |problem: String| Err(SshError::invalid("keyboard_interactive", problem));
        if self.rounds > MAX_ROUNDS {
            return unanswered(format!("was asked more than {MAX_ROUNDS} times"));
        }
        match (&mut self.who, prompt.questions.as_slice()) {
            // A server may say something without asking.
            (_, []) => Ok(Vec::new()),
            (Who::Answers(answers), questions) => match answers.answer(prompt) {
                Some(answers) => Ok(answers),
                None => unanswered(format!(
                    "gave no answer, or not as many as the {} questions asked",
                    questions.len()
                )),
            },
            (Who::Password(password), [question]) if !question.echo && password.is_some() => {
                Ok(password.take().into_iter().collect())
            }
            (Who::Password(_), questions) => {
                let texts: Vec<_> = questions.iter().map(|asked| asked.text.as_str()).collect();
                unanswered(format!(
                    "is needed: the server asks {texts:?}, which a password does not answer"
                ))
            }
        }
    }
}

impl std::fmt::Debug for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answers(answers) => answers.fmt(f),
            Self::Password(_) => f.write_str("Password"),
        }
    }
}
