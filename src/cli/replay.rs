//! What a user can type after `driftline replay`.

use std::path::PathBuf;

use clap::Args;

use super::ConfigArgs;

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The model
    #[arg(long)]
    pub model: String,
    /// The version that is judged
    #[arg(long)]
    pub version: String,
    /// The version it is compared with; by default the one that answered the newest stored content, or the configured primary
    #[arg(long)]
    pub against: Option<String>,
    /// Stored content since then: RFC 3339, milliseconds since 1970, or an age as in 2h
    #[arg(long, default_value = "1d")]
    pub from: String,
    /// Until then
    #[arg(long, default_value = "now")]
    pub to: String,
    /// JSON lines in place of stored content: {"text": ...}, {"texts": [...]} or {"inputs": [tensors]}
    #[arg(long, conflicts_with_all = ["from", "to"])]
    pub file: Option<PathBuf>,
    /// Requests at most, chosen evenly over the time
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub limit: u64,
    /// Requests a second at most, of both versions together; 0 for as fast as they answer
    #[arg(long, default_value_t = 50.0)]
    pub rate: f64,
    /// The output that holds one number a class, where its name says it to nobody
    #[arg(long)]
    pub output: Option<String>,
    /// A running proxy's base URL, which counts and mirrors what it is asked; by default one is run for this alone
    #[arg(long)]
    pub proxy: Option<String>,
    /// A file with the key that it asks for
    #[arg(long, requires = "proxy")]
    pub token_file: Option<PathBuf>,
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
