//! What a user can type after `driftline baseline`, and to have a verdict explained.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ConfigArgs;

#[derive(Debug, Subcommand)]
pub enum BaselineCommand {
    /// List references: what is judged against, candidates, what was replaced or retired
    List(ListArgs),
    /// Show what is in one: features, values, what it can show
    Show(OneArgs),
    /// Freeze stored observations, or a file (CSV, Parquet, JSON lines), as a candidate
    Freeze(FreezeArgs),
    /// Say how far two are apart, feature by feature (exit code 1: they differ beyond chance)
    Compare(CompareArgs),
    /// Judge against this one from now on; detectors start anew
    Promote(PromoteArgs),
    /// Put one away that is not judged against
    Retire(OneArgs),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Of this model only
    #[arg(long)]
    pub model: Option<String>,
    #[command(flatten)]
    pub shared: SharedArgs,
}

#[derive(Debug, Args)]
pub struct SharedArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct OneArgs {
    /// The model
    pub model: String,
    /// The fingerprint, or its first digits
    pub fingerprint: String,
    #[command(flatten)]
    pub shared: SharedArgs,
}

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The model
    pub model: String,
    /// A fingerprint, or its first digits
    pub first: String,
    /// Another
    pub second: String,
    #[command(flatten)]
    pub shared: SharedArgs,
}

#[derive(Debug, Args)]
pub struct FreezeArgs {
    /// The model
    pub model: String,
    /// Start of a range of stored observations: RFC 3339, milliseconds since 1970, or an age as in 2h
    #[arg(long, requires = "to", conflicts_with_all = ["newest", "file"])]
    pub from: Option<String>,
    /// Its end, exclusive
    #[arg(long, requires = "from")]
    pub to: Option<String>,
    /// So many of the newest good observations
    #[arg(long, value_name = "N", conflicts_with = "file")]
    pub newest: Option<u64>,
    /// A file whose columns are named like features: .csv, .tsv, .parquet or .jsonl, compressed or not
    #[arg(long)]
    pub file: Option<PathBuf>,
    /// Columns of the file that are categories though they read as numbers; output.label always is
    #[arg(long, value_delimiter = ',', requires = "file")]
    pub categories: Vec<String>,
    /// Judge against it from now on
    #[arg(long)]
    pub promote: bool,
    /// libchdb.so or a `clickhouse` binary to read the file with; by default the configuration's
    #[arg(long, requires = "file")]
    pub engine: Option<PathBuf>,
    #[command(flatten)]
    pub shared: SharedArgs,
}

#[derive(Debug, Args)]
pub struct PromoteArgs {
    /// The model
    pub model: String,
    /// The fingerprint, or its first digits
    #[arg(required_unless_present = "from_current")]
    pub fingerprint: Option<String>,
    /// Freeze what the model is asked now and judge against that: what is normal is reset
    #[arg(long, conflicts_with = "fingerprint")]
    pub from_current: bool,
    /// Newest good observations that are frozen; default: as many as make a provisional reference
    #[arg(long, value_name = "N", requires = "from_current")]
    pub newest: Option<u64>,
    #[command(flatten)]
    pub shared: SharedArgs,
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The verdict's id, as in 1700000000000@model@input.x; without one the newest verdicts are listed
    pub verdict: Option<String>,
    /// List verdicts of this model only
    #[arg(long, conflicts_with = "verdict")]
    pub model: Option<String>,
    #[command(flatten)]
    pub shared: SharedArgs,
}
