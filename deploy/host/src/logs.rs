//! Logs on standard error: text for people, JSON lines for machines. Standard output stays free for reports.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tracing::Subscriber;
use tracing_subscriber::filter::{EnvFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Installs the process's log. `filter` is `info` or finer, as in `info,inference_proxy=debug`; audit lines go to
/// `audit_file` too, as JSON and whatever the filter.
///
/// # Errors
/// Where the filter cannot be read, the file not be written, or a log is installed already.
pub fn init(format: Format, filter: &str, audit_file: Option<&Path>) -> Result<(), Error> {
    Ok(subscriber(format, filter, audit_file)?.try_init()?)
}

pub(crate) fn subscriber(
    format: Format,
    filter: &str,
    audit_file: Option<&Path>,
) -> Result<impl Subscriber + Send + Sync + use<>, Error> {
    let filter = EnvFilter::try_new(filter)?;
    let lines = tracing_subscriber::fmt::layer::<Registry>().with_writer(std::io::stderr);
    let lines = match format {
        Format::Text => lines.with_ansi(false).boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    let audit = audit_file.map(crate::audit::open).transpose()?.map(|file| {
        let only_audit = Targets::new().with_target(crate::audit::TARGET, tracing::Level::INFO);
        tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(file).with_filter(only_audit)
    });
    Ok(Registry::default().with(lines.with_filter(filter)).with(audit))
}
