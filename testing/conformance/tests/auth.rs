//! The grid of logins, as its program runs it.

use std::process::{Command, Stdio};

#[test]
fn every_login_is_as_it_must_be_and_a_wrong_one_is_tried_once() {
    let output = Command::new(env!("CARGO_BIN_EXE_auth"))
        .args(["--jobs", "6"])
        .stdin(Stdio::null())
        .output()
        .expect("the grid runs");
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}{complained}");
    assert!(output.status.success(), "see the grid above");
    // None is left out.
    assert!(said.contains("\n180 cells, 0 of them not as they must be"), "see the grid above");
}
