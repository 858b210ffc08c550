//! Asking for secrets instead of keeping them.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use secrecy::SecretString;

use crate::{Target, printable};

/// The most questions in one prompt. PAM asks one or two.
const MAX_QUESTIONS: usize = 32;

/// What a server asks in keyboard-interactive authentication (RFC 4256). Its texts are the
/// server's, escaped and cut.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prompt {
    /// Whom we talk to.
    pub target: Target,
    /// A title, often empty.
    pub name: String,
    /// What to do, often empty.
    pub instructions: String,
    /// What to answer, in this order. May be empty: then there is nothing to answer but a reply is
    /// due all the same.
    pub questions: Vec<Question>,
}

/// One question of a [`Prompt`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Question {
    /// What is asked, such as `Password: `.
    pub text: String,
    /// Whether the answer may be seen while it is typed.
    pub echo: bool,
}

impl Prompt {
    /// A prompt from what a server sent; `None` if it asks more than anybody would answer.
    pub fn new<'a>(
        target: &Target,
        name: &[u8],
        instructions: &[u8],
        questions: impl IntoIterator<Item = (&'a [u8], bool)>,
    ) -> Option<Self> {
        let questions: Vec<_> = questions
            .into_iter()
            .take(MAX_QUESTIONS + 1)
            .map(|(text, echo)| Question { text: printable(text), echo })
            .collect();
        (questions.len() <= MAX_QUESTIONS).then(|| Self {
            target: target.clone(),
            name: printable(name),
            instructions: printable(instructions),
            questions,
        })
    }
}

/// Answers the prompts of servers. Cheap to clone.
///
/// It is called while a session is opened, on a thread that may wait for a human; the connect
/// deadline goes on meanwhile. A pool calls it for every session it opens, so several threads may
/// be in it at once.
#[derive(Clone)]
pub struct Answers(Callback<AnswersFn>);

/// Gives a password when one is needed. Cheap to clone; called as [`Answers`] are.
#[derive(Clone)]
pub struct AskPassword(Callback<AskPasswordFn>);

type AnswersFn = dyn Fn(&Prompt) -> Option<Vec<SecretString>> + Send + Sync;
type AskPasswordFn = dyn Fn(&Target) -> Option<SecretString> + Send + Sync;

impl Answers {
    /// `answer` gives an answer for each question, in order, or `None` to give up.
    pub fn new(
        answer: impl Fn(&Prompt) -> Option<Vec<SecretString>> + Send + Sync + 'static,
    ) -> Self {
        Self(Callback::new(Arc::new(answer)))
    }

    /// The answers to a prompt: as many as there are questions, or `None`.
    pub fn answer(&self, prompt: &Prompt) -> Option<Vec<SecretString>> {
        (self.0.call)(prompt).filter(|answers| answers.len() == prompt.questions.len())
    }

    pub(crate) fn number(&self) -> u64 {
        self.0.number
    }
}

impl AskPassword {
    /// `ask` gives the password for a target, or `None` to give up.
    pub fn new(ask: impl Fn(&Target) -> Option<SecretString> + Send + Sync + 'static) -> Self {
        Self(Callback::new(Arc::new(ask)))
    }

    /// The password for a target.
    pub fn ask(&self, target: &Target) -> Option<SecretString> {
        (self.0.call)(target)
    }

    pub(crate) fn number(&self) -> u64 {
        self.0.number
    }
}

/// A function of the user's. It is itself and its clones only: what two functions would say cannot
/// be compared.
struct Callback<F: ?Sized> {
    call: Arc<F>,
    /// Never given twice, as an address would be.
    number: u64,
}

impl<F: ?Sized> Callback<F> {
    fn new(call: Arc<F>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { call, number: NEXT.fetch_add(1, Ordering::Relaxed) }
    }
}

impl<F: ?Sized> Clone for Callback<F> {
    fn clone(&self) -> Self {
        Self { call: self.call.clone(), number: self.number }
    }
}

macro_rules! equal_by_number {
    ($name:ident) => {
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.number() == other.number()
            }
        }

        impl Eq for $name {}

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.number().hash(state);
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "(#{})"), self.number())
            }
        }
    };
}

equal_by_number!(Answers);
equal_by_number!(AskPassword);

#[cfg(test)]
mod tests {
    use super::{Answers, MAX_QUESTIONS, Prompt};
    use crate::Target;

    #[test]
    fn what_a_server_asks_is_escaped_and_bounded() {
        let target = Target::new("h", 22, "u").expect("a target");
        let huge = vec![b'\x1b'; 1 << 20];
        let prompt = Prompt::new(&target, &huge, &huge, [(&huge[..], false)]).expect("a prompt");
        for text in [&prompt.name, &prompt.instructions, &prompt.questions[0].text] {
            assert!(text.len() < 2_000 && !text.contains('\x1b'), "{text}");
        }
        let many = std::iter::repeat_n((&b"?"[..], true), MAX_QUESTIONS + 1);
        assert_eq!(Prompt::new(&target, b"", b"", many), None);
    }

    #[test]
    fn answers_that_are_too_few_or_too_many_are_none() {
        let target = Target::new("h", 22, "u").expect("a target");
        let prompt = |count| {
            let questions = std::iter::repeat_n((&b"?"[..], true), count);
            Prompt::new(&target, b"", b"", questions).expect("a prompt")
        };
        let one = Answers::new(|_| Some(vec!["secret".into()]));
        assert_eq!(one.answer(&prompt(1)).map(|answers| answers.len()), Some(1));
        assert!(one.answer(&prompt(0)).is_none() && one.answer(&prompt(2)).is_none());
        assert_eq!(one, one.clone());
        assert_ne!(one, Answers::new(|_| None));
        assert!(!format!("{one:?}").contains("secret"));
    }
}
