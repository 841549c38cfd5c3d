//! `check`: whether a database or a backup is sound, and mending it.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::{note, print};
use crate::{
    config::Config,
    model::Timestamp,
    store::{self, CheckReport, DatabaseLock, KeyFit, MasterKey, ProblemKind},
};

/// The exit code when something is wrong (and not mended).
const UNSOUND: u8 = 3;

pub(super) const EXAMPLES: &str = "Examples:
  gander-hub check                                  the database; may run beside the hub
  gander-hub check /mnt/usb/gander-20261122T190000Z.db
  systemctl stop gander-hub && gander-hub check --repair

Reads every page, index, reference, sample and secret. Exit code 0: sound, or mended; 3: something is
wrong, and named; 1: it could not be checked.

--repair builds indexes anew, removes rows that name what is not there and values that do not decode, and
counts anew. The file as it was is kept beside it, as gander.db.before-repair-TIME. Damaged pages of a
table cannot be mended: restore a backup.";

#[derive(Args)]
pub(super) struct Options {
    /// Another file than the configured database
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Mend what can be mended; no hub may be running on the file
    #[arg(long)]
    repair: bool,
}

pub(super) async fn run(config: &Config, options: Options) -> anyhow::Result<ExitCode> {
    let path = match options.file {
        Some(path) => path,
        None => super::existing_database(config)?.to_owned(),
    };
    let key = MasterKey::load_existing(&config.master_key_path())?;
    let report = if options.repair {
        if !path.exists() {
            anyhow::bail!("there is no file {}", path.display());
        }
        let lock = DatabaseLock::take(&path)?;
        let repair = store::repair(&path, key.as_ref(), Timestamp::now(), &lock).await?;
        if let Some(kept) = &repair.kept {
            print(&format!("the file as it was is kept as {}", kept.display()));
        }
        for done in &repair.done {
            print(done);
        }
        repair.left
    } else {
        store::check(&path, key.as_ref()).await?
    };
    tell(config, &report, options.repair);
    Ok(if report.is_sound() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(UNSOUND)
    })
}

fn tell(config: &Config, report: &CheckReport, repaired: bool) {
    let path = report.path.display();
    for problem in &report.problems {
        print(&problem.what);
    }
    let key = config.master_key_path();
    match report.key {
        KeyFit::NotNeeded | KeyFit::Fits => {}
        KeyFit::Other => note(&format!(
            "its secrets are sealed with another master key than {}",
            key.display()
        )),
        KeyFit::NoKey => note(&format!(
            "its secrets could not be tried: there is no master key {}",
            key.display()
        )),
    }
    if report.is_sound() {
        let newest = report
            .newest
            .map_or_else(String::new, |newest| format!(", values up to {newest}"));
        print(&format!(
            "{path} is sound: {} bytes, schema {}, {} servers, {} samples{newest}",
            report.bytes,
            report.schema.unwrap_or_default(),
            report.servers,
            report.samples
        ));
        return;
    }
    let has = |kind| report.problems.iter().any(|problem| problem.kind == kind);
    let advice = if has(ProblemKind::Schema) {
        "this program cannot work with it"
    } else if has(ProblemKind::Page) && repaired {
        "damaged pages are left: restore a backup (gander-hub restore latest)"
    } else if has(ProblemKind::Page) {
        "pages are damaged: restore a backup (gander-hub restore latest), or try --repair"
    } else if has(ProblemKind::Secret) && report.problems.iter().all(|p| p.kind == ProblemKind::Secret) {
        "enter these secrets again"
    } else if repaired {
        "this could not be mended"
    } else {
        "--repair mends this"
    };
    print(&format!("{path} is not sound: {advice}"));
}
