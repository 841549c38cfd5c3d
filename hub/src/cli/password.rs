//! Asking for a new password: from a file, from a pipe, or twice on a terminal without echo.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    path::Path,
};

use anyhow::Context as _;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::model::{Secret, user::check_password};

/// The new password, checked.
pub(super) fn ask(file: Option<&Path>, username: &str) -> anyhow::Result<Secret> {
    let password = match file {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            first_line(&text)
        }
        None if io::stdin().is_terminal() => on_terminal(username)?,
        None => read_line().context("no password came on standard input")?,
    };
    check_password(password.expose()).map_err(|problem| anyhow::anyhow!("the password {problem}"))?;
    Ok(password)
}

fn on_terminal(username: &str) -> anyhow::Result<Secret> {
    let silence = Silence::begin()?;
    let first = prompt(&format!("New password of {username}: "))?;
    let second = prompt("Once more: ")?;
    drop(silence);
    if first != second {
        anyhow::bail!("the two are not the same: nothing was changed");
    }
    Ok(first)
}

fn prompt(text: &str) -> anyhow::Result<Secret> {
    let mut terminal = io::stderr();
    write!(terminal, "{text}")?;
    terminal.flush()?;
    let line = read_line()?;
    writeln!(terminal)?;
    Ok(line)
}

fn read_line() -> anyhow::Result<Secret> {
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        anyhow::bail!("standard input is empty");
    }
    Ok(first_line(&line))
}

fn first_line(text: &str) -> Secret {
    Secret::new(text.lines().next().unwrap_or_default().to_owned())
}

/// The terminal does not show what is typed, until this is dropped.
struct Silence(Termios);

impl Silence {
    fn begin() -> anyhow::Result<Self> {
        let before = tcgetattr(io::stdin()).context("the terminal cannot be asked for its modes")?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent).context("the terminal cannot be silenced")?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // A terminal that has gone away needs no echo.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}
