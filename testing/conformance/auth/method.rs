//! The methods: what each sends, and which server it needs.

use conformance::suite::ServerKind;
use ssh_session::{Auth, Prompt, SecretString, Target};

use crate::fixture::{Fixture, Side};
use crate::server::Server;

/// A way to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Password,
    AskedPassword,
    PasswordAsAnswer,
    OnePrompt,
    SeveralPrompts,
    KeyFile(&'static str),
    EncryptedKeyFile(&'static str),
    KeyData,
    EncryptedKeyData,
    Agent,
    AgentOnly,
    Certificate,
    AgentCertificate,
    Auto,
    KeyAndPassword,
}

/// What a server has to be like, beside taking the fixture's keys and its user's password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    Nothing,
    /// To ask for the password instead of taking it.
    Asking,
    /// To ask several times.
    AskingMore,
    /// To want a key and then the password.
    Both,
    /// To take no key of the fixture.
    NoKeys,
}

impl Method {
    pub(crate) const ALL: [Self; 20] = [
        Self::Password,
        Self::AskedPassword,
        Self::PasswordAsAnswer,
        Self::OnePrompt,
        Self::SeveralPrompts,
        Self::KeyFile("ed25519"),
        Self::KeyFile("ecdsa"),
        Self::KeyFile("rsa"),
        Self::KeyFile("ecdsa.pem"),
        Self::KeyFile("rsa.pem"),
        Self::EncryptedKeyFile("encrypted"),
        Self::EncryptedKeyFile("encrypted.pem"),
        Self::KeyData,
        Self::EncryptedKeyData,
        Self::Agent,
        Self::AgentOnly,
        Self::Certificate,
        Self::AgentCertificate,
        Self::Auto,
        Self::KeyAndPassword,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::AskedPassword => "password, asked for",
            Self::PasswordAsAnswer => "password, where the server asks",
            Self::OnePrompt => "keyboard-interactive, one prompt",
            Self::SeveralPrompts => "keyboard-interactive, several prompts",
            Self::KeyFile("ed25519") => "key file, ed25519",
            Self::KeyFile("ecdsa") => "key file, ecdsa",
            Self::KeyFile("rsa") => "key file, rsa",
            Self::KeyFile("ecdsa.pem") => "key file, ecdsa, PEM",
            Self::KeyFile(_) => "key file, rsa, PEM",
            Self::EncryptedKeyFile("encrypted") => "key file, encrypted",
            Self::EncryptedKeyFile(_) => "key file, encrypted PEM",
            Self::KeyData => "key data",
            Self::EncryptedKeyData => "key data, encrypted",
            Self::Agent => "agent",
            Self::AgentOnly => "agent, one key of it only",
            Self::Certificate => "certificate",
            Self::AgentCertificate => "certificate in an agent",
            Self::Auto => "Auto",
            Self::KeyAndPassword => "key, then password",
        }
    }

    /// Why a server cannot do it.
    pub(crate) fn missing(self, place: ServerKind) -> Option<&'static str> {
        match (self, place) {
            (
                Self::PasswordAsAnswer | Self::OnePrompt | Self::SeveralPrompts,
                ServerKind::Dropbear,
            ) => Some("it is built without PAM and does not ask"),
            (Self::Certificate | Self::AgentCertificate, ServerKind::Dropbear) => {
                Some("it does not know certificates")
            }
            _ => None,
        }
    }

    /// What the right and the wrong server are like.
    pub(crate) fn wants(self, side: Side) -> Wants {
        match (self, side) {
            (Self::PasswordAsAnswer | Self::OnePrompt, _) => Wants::Asking,
            (Self::SeveralPrompts, _) => Wants::AskingMore,
            (Self::KeyAndPassword, _) => Wants::Both,
            // What it sends is what is in the home.
            (Self::Auto, Side::Wrong) => Wants::NoKeys,
            _ => Wants::Nothing,
        }
    }

    /// Whether it is a key that a server refuses, rather than a password or an answer.
    pub(crate) fn is_key(self) -> bool {
        !matches!(
            self,
            Self::Password
                | Self::AskedPassword
                | Self::PasswordAsAnswer
                | Self::OnePrompt
                | Self::SeveralPrompts
                | Self::KeyAndPassword
        )
    }

    /// What is sent.
    pub(crate) fn auth(self, fixture: &Fixture, side: Side, server: &Server) -> Vec<Auth> {
        let key = |name: &str| fixture.key(side, name);
        let password = match side {
            Side::Right => server.password().to_owned(),
            Side::Wrong => "not the password".to_owned(),
        };
        let text = |name: &str| std::fs::read_to_string(key(name)).expect("a key of the fixture");
        let agent = |only| Auth::AgentWith { socket: Some(fixture.agent(side)), only };
        match self {
            Self::Password | Self::PasswordAsAnswer => vec![Auth::password(password)],
            Self::AskedPassword => {
                vec![Auth::ask_password(move |_: &Target| Some(password.clone().into()))]
            }
            Self::OnePrompt | Self::SeveralPrompts => {
                vec![Auth::keyboard_interactive(move |prompt| Some(answers(prompt, &password)))]
            }
            Self::KeyFile(name) => vec![Auth::key_file(key(name))],
            Self::EncryptedKeyFile(name) => {
                vec![Auth::encrypted_key_file(key(name), fixture.passphrase())]
            }
            Self::KeyData => vec![Auth::key_data(text("ed25519"))],
            Self::EncryptedKeyData => vec![Auth::KeyData {
                key: text("encrypted").into(),
                passphrase: Some(fixture.passphrase().into()),
            }],
            Self::Agent => vec![agent(Vec::new())],
            Self::AgentOnly => {
                let socket = Some(fixture.full_agent());
                vec![Auth::AgentWith { socket, only: vec![key("ed25519")] }]
            }
            Self::Certificate => {
                vec![Auth::key_file(key("certified")).with_certificate(key("certified-cert.pub"))]
            }
            Self::AgentCertificate => {
                let socket = Some(fixture.certified_agent(side));
                vec![Auth::AgentWith { socket, only: Vec::new() }]
            }
            Self::Auto => vec![Auth::Auto],
            Self::KeyAndPassword => {
                vec![Auth::key_file(fixture.key(Side::Right, "ed25519")), Auth::password(password)]
            }
        }
    }
}

/// The new password where PAM wants one.
const NEW_PASSWORD: &str = "Some+Thing7New";

/// The code that the embedded server asks for, too.
pub(crate) const CODE: &str = "271828";

fn answers(prompt: &Prompt, password: &str) -> Vec<SecretString> {
    let answer = |text: &str| match text.to_lowercase() {
        text if text.contains("new password") => NEW_PASSWORD.into(),
        text if text.contains("code") => CODE.into(),
        _ => password.to_owned().into(),
    };
    prompt.questions.iter().map(|question| answer(&question.text)).collect()
}
