//! A flag for every setting of the configuration that is no secret.

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, error::Error};

use crate::config::table::{SETTINGS, Setting};

/// Where `--help` shows the settings.
pub(super) const HEADING: &str = "Settings (also in the file and the environment; see check-config)";

/// The settings given as flags: (path of the setting, text).
pub(super) struct SettingFlags(pub(super) Vec<(&'static str, String)>);

fn flags() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(|setting| !setting.secret)
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let given = flags().filter_map(|setting| {
            let text = matches.get_one::<String>(setting.path)?;
            Some((setting.path, text.clone()))
        });
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        flags().fold(command, |command, setting| {
            let default = match setting.default {
                "" => String::new(),
                default => format!(" [default: {default}]"),
            };
            command.arg(
                Arg::new(setting.path)
                    .long(setting.flag())
                    .global(true)
                    .value_name("VALUE")
                    .help(format!("{}{default}", setting.about.trim_end_matches('.')))
                    .help_heading(HEADING),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
