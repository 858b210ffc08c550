//! Whether a `Host` or `Match` line is about a host.

use super::words::Words;
use crate::pattern::{self, Case};

/// What the lines below a `Host` or `Match` line depend on.
#[derive(Debug, Clone)]
pub(super) enum Condition {
    /// Patterns; those with `!` are marked.
    Host(Vec<(bool, String)>),
    /// All of these. `true` for those with a `!`.
    Match(Vec<(bool, Criterion)>),
}

#[derive(Debug, Clone)]
pub(super) enum Criterion {
    All,
    /// `final` and `canonical`, which match in a second pass only; `final` asks for one.
    Final {
        asks: bool,
    },
    Host(String),
    OriginalHost(String),
    User(String),
    LocalUser(String),
    Tagged(String),
    /// `exec` and whatever else cannot be answered here.
    Unanswerable(String),
}

/// What a host is known by when a line is reached.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    /// As the caller wrote it.
    pub(super) alias: &'a str,
    /// With `HostName`, as far as it is set by now.
    pub(super) host: &'a str,
    /// With `User`, as far as it is set by now.
    pub(super) user: &'a str,
    pub(super) local_user: &'a str,
    pub(super) tag: &'a str,
    pub(super) is_final: bool,
}

impl Condition {
    /// The condition of a `Host` or `Match` line; `None` for any other line.
    pub(super) fn parse(words: &Words<'_>) -> Result<Option<Self>, String> {
        match words.keyword.as_str() {
            "host" => Self::host(&words.arguments).map(Some),
            "match" => Self::criteria(&words.arguments).map(Some),
            _ => Ok(None),
        }
    }

    /// What holds, or what cannot be answered.
    pub(super) fn holds(&self, facts: &Facts<'_>) -> Result<bool, String> {
        let criteria = match self {
            Self::Host(patterns) => {
                let mut hits = patterns
                    .iter()
                    .filter(|(_, pattern)| pattern::matches(pattern, facts.alias, Case::Kept))
                    .map(|(negated, _)| *negated)
                    .peekable();
                return Ok(hits.peek().is_some() && !hits.any(|negated| negated));
            }
            Self::Match(criteria) => criteria,
        };
        for (negated, criterion) in criteria {
            if criterion.holds(facts)? == *negated {
                // Nothing behind it matters, not even a command.
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether it asks for a second pass.
    pub(super) fn asks_for_final(&self) -> bool {
        let Self::Match(criteria) = self else { return false };
        criteria
            .iter()
            .any(|(negated, one)| !negated && matches!(one, Criterion::Final { asks: true }))
    }

    fn host(arguments: &[String]) -> Result<Self, String> {
        let patterns = arguments.iter().map(|argument| match argument.strip_prefix('!') {
            _ if argument.is_empty() => Err("`Host` has an empty argument".to_owned()),
            Some(pattern) => Ok((true, pattern.to_owned())),
            None => Ok((false, argument.clone())),
        });
        Ok(Self::Host(patterns.collect::<Result<_, _>>()?))
    }

    fn criteria(arguments: &[String]) -> Result<Self, String> {
        let mut criteria = Vec::new();
        let mut rest = arguments.iter().peekable();
        while let Some(argument) = rest.next() {
            let negated = argument.starts_with('!');
            let word = argument.strip_prefix('!').unwrap_or(argument);
            // `host=x` is `host x`.
            let (word, value) = match word.split_once('=') {
                Some((word, value)) => (word, Some(value.to_owned())),
                None => (word, None),
            };
            let word = word.to_ascii_lowercase();
            let alone = match word.as_str() {
                "all" if criteria.len() > 1 || rest.peek().is_some() => {
                    return Err("`all` stands alone in a `Match` line".into());
                }
                "all" => Some(Criterion::All),
                "final" => Some(Criterion::Final { asks: true }),
                "canonical" => Some(Criterion::Final { asks: false }),
                _ => None,
            };
            if let Some(alone) = alone {
                criteria.push((negated, alone));
                continue;
            }
            let value = value.or_else(|| rest.next().cloned());
            let missing = || format!("`Match {}` has no argument", super::shown(&word));
            let value = value.ok_or_else(missing)?;
            if value.is_empty() && word != "tagged" && word != "command" {
                return Err(missing());
            }
            criteria.push((
                negated,
                match word.as_str() {
                    "host" => Criterion::Host(value),
                    "originalhost" => Criterion::OriginalHost(value),
                    "user" => Criterion::User(value),
                    "localuser" => Criterion::LocalUser(value),
                    "tagged" => Criterion::Tagged(value),
                    "exec" | "localnetwork" | "command" | "version" | "sessiontype" => {
                        Criterion::Unanswerable(word)
                    }
                    _ => return Err(format!("`Match` knows no {:?}", super::shown(&word))),
                },
            ));
        }
        if criteria.is_empty() {
            return Err("`Match` has no criterion".into());
        }
        Ok(Self::Match(criteria))
    }
}

impl Criterion {
    fn holds(&self, facts: &Facts<'_>) -> Result<bool, String> {
        let host = |patterns: &str, host: &str| {
            pattern::matches_list(patterns, host.to_ascii_lowercase(), Case::Folded)
        };
        Ok(match self {
            Self::All => true,
            Self::Final { .. } => facts.is_final,
            Self::Host(patterns) => host(patterns, facts.host),
            Self::OriginalHost(patterns) => host(patterns, facts.alias),
            Self::User(patterns) => pattern::matches_list(patterns, facts.user, Case::Kept),
            Self::LocalUser(patterns) => {
                pattern::matches_list(patterns, facts.local_user, Case::Kept)
            }
            Self::Tagged(tag) if facts.tag.is_empty() => tag.is_empty(),
            Self::Tagged(patterns) => pattern::matches_list(patterns, facts.tag, Case::Kept),
            Self::Unanswerable(word) if word == "exec" => {
                return Err("`Match exec` is not supported: no command is run to read a file; \
                            put a criterion that does not match before it, or use another file"
                    .into());
            }
            Self::Unanswerable(word) => return Err(format!("`Match {word}` is not supported")),
        })
    }
}
