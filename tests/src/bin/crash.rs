//! `make soak ONLY=crash`: kills the hub's ingest, store and folding at random instants while they write, cuts
//! the power of the disk under them, and looks each time whether what was acknowledged is there.
//!
//! `CRASH_KILLS` (1000) kills by SIGKILL, `CRASH_CUTS` (200) power cuts (they need root and
//! `/dev/fuse`), `CRASH_SEED` repeats a run's choices. It ends with code 1 at the first sample that
//! is missing or wrong, and when `check` finds anything.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program for the developer's terminal"
)]

use std::{
    path::Path,
    process::{ExitCode, Stdio},
    time::{Duration, Instant},
};

use gander_e2e::{
    crash::{self, READY, SERVERS},
    dice::Dice,
    measure::percentile,
    power::{PowerDisk, Survivors},
};
use gander_hub::{model::Timestamp, store};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

/// Everything is looked at again after so many crashes, and at the end.
const FULL_EVERY: usize = 100;
/// The longest the writer runs after its start, in milliseconds …
const EARLY: usize = 300;
/// The same after it said that it writes.
const LATE: usize = 700;
const DAY_MS: i64 = 86_400_000;

fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, database, base, first] = arguments.as_slice()
        && mode == "--writer"
    {
        crash::write(Path::new(database), base.parse().unwrap(), first.parse().unwrap()).await;
        return ExitCode::SUCCESS;
    }
    let seed: u64 = setting("CRASH_SEED", std::process::id().into());
    println!("CRASH_SEED={seed}");
    let mut dice = Dice::new(seed);
    let outcome = match kills(setting("CRASH_KILLS", 1_000), &mut dice).await {
        Ok(()) => cuts(setting("CRASH_CUTS", 200), &mut dice).await,
        wrong => wrong,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            println!("WRONG: {wrong}");
            ExitCode::FAILURE
        }
    }
}

/// What is known of one database over all its crashes.
struct Run {
    base: i64,
    /// The newest acknowledged sample; -1: none.
    acknowledged: i64,
    /// Samples up to here were found once.
    found: i64,
    openings: Vec<Duration>,
    crashes: usize,
    /// Crashes in which nothing at all was acknowledged: too early.
    empty: usize,
}

impl Run {
    fn new() -> Self {
        Self {
            base: Timestamp::now().0 - 20 * DAY_MS,
            acknowledged: -1,
            found: -1,
            openings: Vec::new(),
            crashes: 0,
            empty: 0,
        }
    }

    /// Starts the writer, kills it at a random instant, and notes what it had acknowledged.
    async fn crash(&mut self, database: &Path, dice: &mut Dice) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("--writer")
            .arg(database)
            .args([self.base.to_string(), (self.acknowledged + 1).to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let before = self.acknowledged;
        // One crash in eight falls into the start (opening, recovery, migrations), one soon after it,
        // the others while samples are acknowledged.
        let lines_to_wait_for = dice.below(8).min(2);
        for _ in 0..lines_to_wait_for {
            let line = lines.next_line().await.unwrap();
            let line = line.expect("the writer writes until it is killed");
            self.note(&line);
        }
        let longest = if lines_to_wait_for == 0 { EARLY } else { LATE };
        tokio::time::sleep(Duration::from_millis(dice.below(longest) as u64)).await;
        child.start_kill().unwrap();
        let status = child.wait().await.unwrap();
        assert!(status.code().is_none(), "the writer ended by itself: {status}");
        while let Some(line) = lines.next_line().await.unwrap() {
            self.note(&line);
        }
        self.crashes += 1;
        self.empty += usize::from(self.acknowledged == before);
    }

    fn note(&mut self, line: &str) {
        if line != READY {
            self.acknowledged = line.parse().unwrap();
        }
    }

    /// Looks for what was acknowledged: the newest, or everything.
    async fn look(&mut self, database: &Path, everything: bool) -> Result<(), String> {
        let from = if everything { 0 } else { self.found + 1 };
        let opening = crash::find(database, self.base, from, self.acknowledged).await?;
        self.openings.push(opening);
        self.found = self.acknowledged;
        if everything {
            let report = store::check(database, None)
                .await
                .map_err(|error| error.to_string())?;
            if let Some(problem) = report.problems.first() {
                return Err(format!("check: {}", problem.what));
            }
        }
        Ok(())
    }

    fn tell(&mut self, what: &str, started: Instant) {
        let [half, longest] =
            [50, 100].map(|percent| percentile(&mut self.openings, percent).as_secs_f64() * 1e3);
        println!(
            "{} {what}, {} of them before anything was acknowledged: all {} acknowledged samples are there, \
             and right; opening again took {half:.0} ms (median), {longest:.0} ms at most; {:.0} s",
            self.crashes,
            self.empty,
            (self.acknowledged + 1) * SERVERS,
            started.elapsed().as_secs_f64()
        );
    }
}

/// Beside the build, not in /tmp: that is often memory.
fn directory() -> TempDir {
    let target = std::env::current_exe().unwrap();
    tempfile::tempdir_in(target.parent().unwrap()).unwrap()
}

async fn kills(count: usize, dice: &mut Dice) -> Result<(), String> {
    let home = directory();
    let database = home.path().join("gander.db");
    let (mut run, started) = (Run::new(), Instant::now());
    for number in 1..=count {
        run.crash(&database, dice).await;
        let everything = number % FULL_EVERY == 0 || number == count;
        run.look(&database, everything)
            .await
            .map_err(|wrong| format!("after kill {number}: {wrong}"))?;
        if everything {
            run.tell("kills", started);
        }
    }
    Ok(())
}

async fn cuts(count: usize, dice: &mut Dice) -> Result<(), String> {
    if count == 0 {
        return Ok(());
    }
    let (home, mount_point) = (directory(), directory());
    let mut disk = match PowerDisk::mount(mount_point.path()) {
        Ok(disk) => disk,
        Err(error) => {
            return Err(format!(
                "no disk can be mounted ({error}): this needs root and /dev/fuse"
            ));
        }
    };
    let (mut run, started) = (Run::new(), Instant::now());
    for number in 1..=count {
        run.crash(&mount_point.path().join("gander.db"), dice).await;
        let survivors = Survivors::ALL[dice.below(Survivors::ALL.len())];
        disk.cut(survivors, dice).map_err(|error| error.to_string())?;
        // Looked at on a copy: the next writer is to find the disk as the cut left it.
        let copy = tempfile::tempdir_in(home.path()).unwrap();
        disk.copy_durable(copy.path()).unwrap();
        let everything = number % FULL_EVERY == 0 || number == count;
        run.look(&copy.path().join("gander.db"), everything)
            .await
            .map_err(|wrong| format!("after power cut {number} ({survivors:?}): {wrong}"))?;
        disk.plug_in().map_err(|error| error.to_string())?;
        if everything {
            run.tell("power cuts", started);
        }
    }
    println!("the disk was told to sync {} times", disk.syncs());
    Ok(())
}
