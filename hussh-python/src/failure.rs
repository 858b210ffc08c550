//! Errors as facts, of which Python makes its exceptions.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use hussh::{
    ConnectProblem, Error, HostKeyProblem, HostKeyRefused, KeyProblem, Side, SshError, Target,
};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

/// The kind of an error, its sentence and its facts.
pub(crate) fn facts<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyDict>> {
    let facts = PyDict::new(py);
    facts.set_item("kind", kind(error))?;
    facts.set_item("message", error.to_string())?;
    facts.set_item("retryable", error.is_retryable())?;
    facts.set_item("may_have_started", error.may_have_started())?;
    if let Some(target) = target(error) {
        facts.set_item("host", target.host())?;
        facts.set_item("port", target.port())?;
        facts.set_item("username", target.user())?;
    }
    match error {
        Error::Ssh(error) => ssh_facts(py, &facts, error)?,
        Error::Pool { .. } => {
            if let Some(cause) = error.ssh() {
                facts.set_item("cause", ssh(py, cause)?)?;
            }
        }
        _ => {}
    }
    Ok(facts)
}

/// Those of an SSH error alone.
pub(crate) fn ssh<'py>(py: Python<'py>, error: &SshError) -> PyResult<Bound<'py, PyDict>> {
    facts(py, &Error::Ssh(error.clone()))
}

fn target(error: &Error) -> Option<&Target> {
    match error {
        Error::Ssh(error) => error.target(),
        Error::Pool { target, .. } | Error::Warm { target, .. } | Error::Close { target, .. } => {
            Some(target)
        }
        _ => None,
    }
}

fn kind(error: &Error) -> &'static str {
    match error {
        Error::Ssh(error) => ssh_kind(error),
        Error::Pool { .. } if error.is_timeout() => "pool_timeout",
        Error::Pool { .. } => "pool_closed",
        Error::Warm { .. } | Error::Close { .. } => "pool_timeout",
        _ => "other",
    }
}

fn ssh_kind(error: &SshError) -> &'static str {
    match error {
        SshError::InvalidInput { .. } => "invalid",
        SshError::Resolve { .. } => "resolve",
        SshError::Connect { problem, .. } => match problem {
            ConnectProblem::Refused => "connect_refused",
            ConnectProblem::Unreachable => "connect_unreachable",
            ConnectProblem::Reset => "connect_reset",
            _ => "connect",
        },
        SshError::Busy { .. } => "busy",
        SshError::Handshake { .. } => "handshake",
        SshError::HostKey(_) => "host_key",
        SshError::KnownHosts { .. } => "known_hosts",
        SshError::KeyFile { problem, .. } => match problem {
            KeyProblem::Missing => "key_missing",
            KeyProblem::PassphraseNeeded | KeyProblem::WrongPassphrase => "key_passphrase",
            KeyProblem::Malformed(_) => "key_format",
            _ => "key_file",
        },
        SshError::Agent { .. } => "agent",
        SshError::AuthenticationFailed { .. } => "authentication",
        SshError::Timeout { .. } => "timeout",
        SshError::ConnectionLost { .. } => "lost",
        SshError::ChannelRefused { .. } => "channel_refused",
        SshError::RequestRefused { .. } => "request_refused",
        SshError::NoExitStatus { .. } => "no_exit_status",
        SshError::OutputLimit { .. } => "output_limit",
        SshError::File(_) => "file",
        SshError::Closed { .. } => "closed",
        _ => "other",
    }
}

fn ssh_facts(py: Python<'_>, facts: &Bound<'_, PyDict>, error: &SshError) -> PyResult<()> {
    if let Some(partial) = error.partial_output() {
        facts.set_item("stdout_bytes", PyBytes::new(py, &partial.stdout))?;
        facts.set_item("stderr_bytes", PyBytes::new(py, &partial.stderr))?;
    }
    match error {
        SshError::InvalidInput { field, .. } => facts.set_item("parameter", field),
        SshError::Resolve { source, .. } | SshError::Connect { source, .. } => {
            facts.set_item("errno", source.raw_os_error())
        }
        SshError::KnownHosts { path, source } => {
            facts.set_item("errno", source.raw_os_error())?;
            facts.set_item("filename", path.as_os_str())
        }
        SshError::KeyFile { path, problem, .. } => {
            if let KeyProblem::Unreadable(source) = problem {
                facts.set_item("errno", source.raw_os_error())?;
            }
            facts.set_item("filename", path.as_deref().map(Path::as_os_str))
        }
        SshError::File(error) => {
            // The kind's name, which Python knows the numbers and classes of.
            facts.set_item("reason", format!("{:?}", error.kind))?;
            facts.set_item("side", if error.side == Side::Local { "local" } else { "remote" })?;
            facts.set_item("filename", PyBytes::new(py, error.path.as_os_str().as_bytes()))
        }
        SshError::HostKey(refused) => {
            facts.set_item("fingerprint", refused.presented.to_string())?;
            facts.set_item("problem", host_key_problem(refused))
        }
        SshError::AuthenticationFailed { tried, offered, .. } => {
            facts.set_item("tried", tried)?;
            facts.set_item("offered", offered)
        }
        SshError::Timeout { phase, elapsed, .. } => {
            facts.set_item("phase", phase.to_string())?;
            facts.set_item("elapsed", elapsed.as_secs_f64())
        }
        SshError::ConnectionLost { phase, .. } => facts.set_item("phase", phase.to_string()),
        _ => Ok(()),
    }
}

fn host_key_problem(refused: &HostKeyRefused) -> &'static str {
    match refused.problem {
        HostKeyProblem::Changed { .. } | HostKeyProblem::NotTheFirst { .. } => "changed",
        HostKeyProblem::Revoked { .. } => "revoked",
        HostKeyProblem::Unknown { .. } => "unknown",
        HostKeyProblem::NotPinned { .. } => "not pinned",
        HostKeyProblem::NotCertified { .. } => "not certified",
        HostKeyProblem::TooShort { .. } => "too short",
        _ => "refused",
    }
}
