//! Log lines on standard error: with a time for people, with a level the journal understands under
//! systemd.

use std::{fmt, io::IsTerminal as _};

use tracing::{Event, Level, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// Starts logging for the life of the program; a second call changes nothing. `level` is `error`,
/// `warn`, `info`, `debug` or `trace`; anything else is `info`.
pub(crate) fn start(level: &str) {
    // Nothing said would be read as `error`.
    let level = Some(level)
        .filter(|level| !level.trim().is_empty())
        .and_then(|level| level.parse().ok())
        .unwrap_or(LevelFilter::INFO);
    let journal = std::env::var_os("JOURNAL_STREAM").is_some() && !std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = if journal {
        tracing::subscriber::set_global_default(builder.event_format(Journal).finish())
    } else {
        tracing::subscriber::set_global_default(builder.with_target(false).finish())
    };
    // Only a test program starts logging twice.
    drop(started);
}

/// `<4>message field=value`: the journal has the time, and takes the level off the front.
struct Journal;

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        };
        write!(writer, "<{level}>")?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
