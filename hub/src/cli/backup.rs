//! `backup`: a verified copy of the database, now. Works while the hub runs.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{note, print};
use crate::{
    app,
    backup::{self, Bucket, Written},
    config::Config,
    model::Timestamp,
};

pub(super) const EXAMPLES: &str = "Examples:
  gander-hub backup                              into the directory of the scheduled ones; removes the oldest
  gander-hub backup --to /mnt/usb/               into another directory, under a name with the time
  gander-hub backup --to /mnt/usb/gander.db      into this file
  gander-hub backup --to s3://BUCKET/monthly/    into a bucket of the store in backup.s3_endpoint";

#[derive(Args)]
pub(super) struct Options {
    /// A directory, a file that does not exist yet, or s3://BUCKET/PREFIX/
    #[arg(long, value_name = "PLACE")]
    to: Option<PathBuf>,
}

pub(super) async fn run(config: &Config, options: Options) -> anyhow::Result<()> {
    let database = super::existing_database(config)?;
    let stop = CancellationToken::new();
    let making = make(config, database, options, &stop);
    tokio::pin!(making);
    tokio::select! {
        made = &mut making => return made,
        signal = tokio::signal::ctrl_c() => signal.context("cannot listen for an interrupt")?,
    }
    // Given up in order: nothing half is left behind.
    stop.cancel();
    making.await
}

async fn make(
    config: &Config,
    database: &std::path::Path,
    options: Options,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let now = Timestamp::now();
    let (path, written) = match options.to {
        None => {
            let settings = app::backup_config(config);
            let made = backup::make(database, &settings, now, stop).await?;
            for name in &made.removed {
                note(&format!("{name} was removed: {} are kept", settings.keep));
            }
            let path = settings.directory.join(made.backup.name);
            if let Some(bucket) = &settings.bucket {
                let uploading = backup::upload(bucket, &settings);
                let uploaded = stop.run_until_cancelled(uploading).await.with_context(|| {
                    format!(
                        "{} was made; its upload was given up and goes on the next time",
                        path.display()
                    )
                })??;
                for name in &uploaded.added {
                    note(&format!("{bucket}{name} was uploaded and verified"));
                }
                for name in &uploaded.removed {
                    note(&format!("{bucket}{name} was removed: {} are kept", settings.keep));
                }
                if let Some(reason) = &uploaded.not_removed {
                    note(&format!("old backups stay in {bucket}: {reason}"));
                }
            }
            (path, made.written)
        }
        Some(place) if place.as_os_str().as_encoded_bytes().starts_with(b"s3://") => {
            let (bucket, name) = super::bucket_at(config, &place)?;
            let directory = config.backup_directory();
            backup::make_directory(&directory)?;
            let scratch = tempfile::tempdir_in(&directory)
                .with_context(|| format!("{} cannot be written", directory.display()))?;
            let file = scratch.path().join("gander.db");
            let written = backup::write_file(database, &file, stop).await?;
            let name = if name.is_empty() {
                backup::name_of(now)
            } else {
                name
            };
            let opened = Bucket::new(&bucket)?;
            stop.run_until_cancelled(opened.add(&file, &name, &written.sha256))
                .await
                .context("given up: nothing was uploaded")??;
            (PathBuf::from(format!("{bucket}{name}")), written)
        }
        Some(path) if path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/") => {
            let (made, written) = backup::write_into(database, &path, now, stop).await?;
            (path.join(made.name), written)
        }
        Some(path) => {
            if path.exists() {
                anyhow::bail!(
                    "{} exists already: name another file, or a directory",
                    path.display()
                );
            }
            let written = backup::write_file(database, &path, stop).await?;
            (path, written)
        }
    };
    remarks(config, &written);
    print(&path.display().to_string());
    Ok(())
}

fn remarks(config: &Config, written: &Written) {
    for problem in &written.problems {
        note(&format!(
            "the backup is whole, but the database has damaged values: {problem}"
        ));
    }
    if written.holds_secrets {
        note(&format!(
            "its secrets (SSH passwords and keys) open only with the master key {}: keep a copy of that elsewhere",
            config.master_key_path().display()
        ));
    }
}
