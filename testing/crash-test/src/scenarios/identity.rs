//! Servers and users that are no longer who they were.

use std::thread;
use std::time::Instant;

use anyhow::{Result, ensure};
use hussh::Kind;
use test_servers::sshd::PasswordUser;

use super::Outcome;
use super::servers::all_are_told;
use crate::api::{Login, Place};
use crate::stage::{Stage, ms};

pub(super) fn other_host_key(stage: &mut Stage) -> Result<Outcome> {
    let pool = stage.pool(|plan| plan)?;
    stage.run(&*pool)?;
    stage.server.change_host_key()?;
    let log = stage.server.log().len();
    let start = Instant::now();
    let told = all_are_told(stage, &pool, 6, Kind::HostKey)?;
    let detect = Some(start.elapsed());
    thread::sleep(ms(200));
    let log = stage.server.log().split_off(log);
    ensure!(!log.contains("publickey"), "a key was offered: {log}");
    Ok(Outcome { detect, recover: None, saw: format!("\"{}\"", shortened(&told)) })
}

pub(super) fn other_password(stage: &mut Stage) -> Result<Outcome> {
    let mut user = PasswordUser::create()?;
    let login = Login::Password(user.password().to_owned());
    let place = Place { user: user.name().to_owned(), login, ..stage.place() };
    let pool = stage.api.pool(place.plan().max_connections(1))?;
    stage.run(&*pool)?;
    user.change_password()?;
    stage.run(&*pool)?;
    stage.server.kill_sessions()?;
    let start = Instant::now();
    let told = all_are_told(stage, &pool, 6, Kind::AuthenticationFailed)?;
    let detect = Some(start.elapsed());
    thread::sleep(ms(200));
    let tries = stage.server.failed_authentications();
    ensure!(tries == 1, "the old password was tried {tries} times");
    let saw = format!("\"{}\"; tried {tries} times", shortened(&told));
    Ok(Outcome { detect, recover: None, saw })
}

fn shortened(text: &str) -> String {
    text.chars().take(120).collect()
}
