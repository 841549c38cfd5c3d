//! Log lines: for people on a terminal, one JSON object a line where a machine reads them.
//! They go to standard error; standard output belongs to the answers of the command line.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::config::LogFormat;

/// Starts logging, for the life of the program. A second call changes nothing.
pub fn start(format: LogFormat, filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let base = fmt::layer().with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Json => registry
            .with(base.json().flatten_event(true).with_current_span(false))
            .try_init(),
        LogFormat::Human => registry.with(base.with_ansi(false).with_target(false)).try_init(),
        LogFormat::Auto => {
            let is_terminal = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            registry
                .with(base.with_ansi(is_terminal).with_target(false))
                .try_init()
        }
    };
    // Only a test program starts logging twice.
    drop(started);
}
