//! Tests that run in a process of their own: ignored ones, which another test starts by name.
//!
//! A test binary that wants them says `#[path = "support/alone.rs"] mod alone;`.

#![allow(dead_code, reason = "no test binary uses all of it")]

use std::path::{Path, PathBuf};
use std::process::Command;

const FOLDER: &str = "DELTARULE_FOLDER";

/// This test binary, running one ignored test alone; `test` is its name with its modules.
pub fn alone(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--ignored", "--test-threads=1"]);
    command
}

/// The same in the folder of another test.
pub fn alone_in(folder: &Path, test: &str) -> Command {
    let mut command = alone(test);
    command.env(FOLDER, folder);
    command
}

/// The folder of the test that started this one.
pub fn folder_of_parent() -> PathBuf {
    PathBuf::from(std::env::var_os(FOLDER).unwrap())
}

/// Asserts that the test of [`alone`] was there and passed.
#[track_caller]
pub fn assert_passes(mut command: Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// The same command where a file has at most `blocks` blocks of 512 bytes (or 1 KiB), as on a disk
/// that fills up: a write beyond that fails, without the signal that there would be.
#[cfg(unix)]
pub fn on_a_full_disk(command: &Command, blocks: u32) -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\""), "sh"]);
    limited.arg(command.get_program()).args(command.get_args());
    limited.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited
}
