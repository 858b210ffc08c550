//! Commands that stand for the network.

use std::fmt;
use std::sync::Arc;

use crate::ssh_config::tokens;
use crate::ssh_config::words::BLANK;
use crate::{SshError, Target, valid};

/// The template of a command whose standard input and output are the way to a host, as
/// `ProxyCommand` of `ssh_config(5)` has it. Cheap to clone.
///
/// `%h`, `%p`, `%r` and `%n` stand for the host, its port, the user and the host's name as the
/// caller wrote it, `%%` for `%`. The result is for a shell, which is why a host or a user with
/// characters in it that a shell would obey is refused. `Debug` shows the first word only:
/// commands hold secrets more often than not.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ProxyCommand {
    template: Arc<str>,
    original: Option<Arc<str>>,
}

impl ProxyCommand {
    /// A template.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] if it is empty or `none`, has a NUL character in it, or a token
    /// that is none of those above.
    pub fn parse(template: impl AsRef<str>) -> Result<Self, SshError> {
        let template = template.as_ref().trim_matches(BLANK);
        if template.eq_ignore_ascii_case("none") {
            return Err(SshError::invalid("proxy_command", "is `none`; leave it out"));
        }
        Self::read(template).map_err(|problem| SshError::invalid("proxy_command", problem))
    }

    /// What is wrong, if anything.
    pub(crate) fn read(template: &str) -> Result<Self, String> {
        if template.is_empty() {
            return Err("is empty".into());
        }
        if template.contains('\0') {
            return Err("has a NUL character in it".into());
        }
        tokens::expand(template, false, |letter| "hnpr".contains(letter).then_some(""))?;
        Ok(Self { template: template.into(), original: None })
    }

    /// Sets what `%n` stands for; without this it is the target's host.
    #[must_use]
    pub fn original(mut self, alias: &str) -> Self {
        self.original = Some(alias.into());
        self
    }

    /// The command for a target. OpenSSH gives it to the user's shell with `exec ` before it, so
    /// that no shell stands between.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] if the target's host or user has characters in it that a shell
    /// would obey.
    pub fn for_target(&self, target: &Target) -> Result<String, SshError> {
        let invalid = |problem| {
            SshError::invalid("proxy_command", format!("is not for this target: {problem}"))
        };
        let original = self.original.as_deref().unwrap_or_else(|| target.host());
        valid::host(target.host()).map_err(invalid)?;
        valid::host(original).map_err(invalid)?;
        valid::user(target.user()).map_err(invalid)?;
        let port = target.port().to_string();
        tokens::expand(&self.template, false, |letter| match letter {
            'h' => Some(target.host()),
            'n' => Some(original),
            'p' => Some(&port),
            'r' => Some(target.user()),
            _ => None,
        })
        .map_err(|problem| SshError::invalid("proxy_command", problem))
    }

    /// What somebody said, without what stands in the command: shells quote what they don't
    /// understand.
    pub(crate) fn redact(&self, text: &str) -> String {
        let is_told = |part: &&str| part.len() < 4 || part.contains('%');
        let mut hidden: Vec<_> = self.parts().skip(1).filter(|part| !is_told(part)).collect();
        hidden.sort_by_key(|part| std::cmp::Reverse(part.len()));
        hidden.iter().fold(text.to_owned(), |text, part| text.replace(part, "…"))
    }

    /// The program, and the rest in pieces.
    fn parts(&self) -> impl Iterator<Item = &str> {
        let between = |c: char| c.is_whitespace() || "'\"`=:@;,".contains(c);
        self.template.split(between).filter(|part| !part.is_empty())
    }

    pub(crate) fn original_name(&self) -> Option<&str> {
        self.original.as_deref()
    }

    /// The template as it was given.
    pub fn template(&self) -> &str {
        &self.template
    }
}

impl fmt::Debug for ProxyCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.parts().next().unwrap_or_default();
        write!(f, "ProxyCommand({} …)", crate::printable(word.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::ProxyCommand;
    use crate::{SshError, Target};

    fn command(template: &str, host: &str, user: &str) -> Result<String, SshError> {
        let target = Target::new(host, 2222, user).expect("a target");
        ProxyCommand::parse(template)?.for_target(&target)
    }

    #[test]
    fn tokens_become_the_target() {
        let done = command("nc -q 1%% %h %p %r %n $x", "h.example", "u").expect("a command");
        assert_eq!(done, "nc -q 1% h.example 2222 u h.example $x");
        let named = ProxyCommand::parse("x %n %h").expect("a template").original("alias");
        let target = Target::new("::1", 22, "u").expect("a target");
        assert_eq!(named.for_target(&target).expect("a command"), "x alias ::1");
    }

    #[test]
    fn a_token_without_a_meaning_is_an_error_that_names_it() {
        for (template, named) in
            [("nc %x", "%x"), ("nc %C", "%C"), ("nc %", "lone"), ("none", "none")]
        {
            let error = ProxyCommand::parse(template).expect_err(template).to_string();
            assert!(error.contains(named), "{error} names {named}");
        }
        assert!(ProxyCommand::parse(" ").is_err());
        // As ssh_config has it: a vertical tab is no blank.
        assert_eq!(ProxyCommand::parse(" \u{b}nc ").expect("a template").template(), "\u{b}nc");
        assert!(ProxyCommand::parse("a\0b").is_err());
    }

    #[test]
    fn hosts_and_users_that_a_shell_would_obey_are_refused_as_openssh_does() {
        for host in
            ["a;b", "$(reboot)", "`x`", "a|b", "a&b", "a'b", "a\"b", "a\\b", "{a}", "<a", "a>b"]
        {
            assert!(command("nc %h", host, "u").is_err(), "{host}");
        }
        for user in ["a;b", "`x`", "a|b", "a&b", "a'b", "a\"b", "-x", "a -x", "a\\", "(a)", "{a}"] {
            assert!(command("nc %r", "h", user).is_err(), "{user}");
        }
        for user in ["a b", "DOMAIN\\user", "host$", "a-b", "a@b"] {
            assert!(command("nc %r", "h", user).is_ok(), "{user}");
        }
    }

    #[test]
    fn what_a_shell_quotes_of_it_is_not_told() {
        let command = ProxyCommand::parse("TOKEN=secret7 nc --auth='me:pass word9' %h");
        let said = "sh: TOKEN=secret7: not found; 'me:pass word9' for h.example";
        let told = command.expect("a template").redact(said);
        assert_eq!(told, "sh: TOKEN=…: not found; 'me:… …' for h.example");
    }

    #[test]
    fn debug_shows_the_first_word_only() {
        let command = ProxyCommand::parse("nc --proxy-auth me:secret %h").expect("a template");
        assert_eq!(format!("{command:?}"), "ProxyCommand(nc …)");
        let wrong = ProxyCommand::parse("TOKEN=secret nc %h").expect("a template");
        assert_eq!(format!("{wrong:?}"), "ProxyCommand(TOKEN …)");
    }
}
