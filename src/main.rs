//! The command line: which roles run, and nothing of what they do.
//!
//! Read `cli.rs` for what a user can type, `roles.rs` for how a role is put together, `up/` for the one-machine mode.

use std::process::ExitCode;

use clap::Parser as _;

mod cli;
mod commands;
mod config;
mod exit;
mod paths;
mod roles;
mod silences;
mod times;
mod up;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error),
    };
    match commands::run(cli) {
        Ok(code) => code,
        Err(error) => exit::failure(&error),
    }
}
