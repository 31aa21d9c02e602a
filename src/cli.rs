//! What a user can type.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

mod baseline;
mod replay;

pub use baseline::{BaselineCommand, CompareArgs, ExplainArgs, FreezeArgs, ListArgs, OneArgs, PromoteArgs, SharedArgs};
pub use replay::ReplayArgs;

/// Watches machine-learning models in production: serves or fronts them, mirrors every request, judges what drifts.
#[derive(Debug, Parser)]
#[command(name = "driftline", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything on this machine: the embedded ClickHouse, collector, proxy and analyzer
    Up(ConfigArgs),
    /// Run the inference proxy
    Proxy(RoleArgs),
    /// Run the collector
    Collect(RoleArgs),
    /// Run the analyzer, its API and its page
    Analyze(RoleArgs),
    /// Check a configuration and its SLO file; list every fault (exit code 64)
    Check(ConfigArgs),
    /// Work with model folders
    #[command(subcommand)]
    Model(ModelCommand),
    /// Work with API keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Work with the database: migrations, what is in it, one person's rows
    #[command(subcommand)]
    Store(StoreCommand),
    /// Manage what windows are judged against
    #[command(subcommand)]
    Baseline(BaselineCommand),
    /// Compute a stored verdict again, each number beside the stored one (exit code 1: one differs)
    Explain(ExplainArgs),
    /// Ask another version what was asked before, and judge its answers (exit code 1: reject, 3: hold)
    Replay(ReplayArgs),
    /// Write Prometheus rules and their tests, Alertmanager's routes and Grafana's dashboards for a configuration
    Render(RenderArgs),
    /// Compare two files (CSV, Parquet, JSON lines) column by column; exit code 1 where something drifted, 3 where too few rows tell nothing
    Drift(DriftArgs),
    /// Two-sample Kolmogorov-Smirnov test of two files with one number a line
    Ks(KsArgs),
    /// Mask text or JSON lines from standard input, as the proxy and the collector would
    Mask(MaskArgs),
    /// Run the embedded ClickHouse engine (started by `up`)
    #[command(hide = true, disable_help_flag = true)]
    Engine(EngineArgs),
}

#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// The configuration file; relative paths in it are relative to its folder
    #[arg(long, short, default_value = "driftline.toml")]
    pub config: PathBuf,
    /// Override one key, as in `--set proxy.listen=0.0.0.0:8080`; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

#[derive(Debug, Args)]
pub struct RoleArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Stop when standard input ends: how a supervised role notices that its supervisor is gone
    #[arg(long, hide = true)]
    pub stop_with_stdin: bool,
}

#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Make every check that a load makes: hashes, pairing, golden samples
    Verify(VerifyArgs),
    /// Write a folder's manifest: the hash of every file, and what the model answers to samples
    Pin(PinArgs),
    /// Make a key pair to sign manifests with; prints the public key
    Keygen(KeygenArgs),
}

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key: print it once, and the lines of a configuration or key file that know it by its hash
    New(NewKeyArgs),
}

#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Make the tables and apply what was not applied yet; roles do it at their start
    Migrate(MigrateArgs),
    /// Say which migrations are applied and what is in the tables (exit code 1: something is pending or differs)
    Status(StatusArgs),
    /// Write every row of one client, or of one request, as JSON lines
    Export(SubjectArgs),
    /// Delete every row of one client, or of one request, in the tables and in the collector's log, and count again
    Forget(SubjectArgs),
}

#[derive(Debug, Args)]
pub struct MigrateArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Print the SQL for an empty server, or cluster (`store.cluster`), and change nothing
    #[arg(long)]
    pub print: bool,
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct SubjectArgs {
    #[command(flatten)]
    pub whom: WhomArgs,
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// A group of its own: clap leaves a group without members where anything is flattened into it.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct WhomArgs {
    /// A client: the pseudonym in the column `client`, or the name as its source sent it
    #[arg(long)]
    pub client: Option<String>,
    /// One request, by its id
    #[arg(long)]
    pub id: Option<uuid::Uuid>,
}

#[derive(Debug, Args)]
pub struct NewKeyArgs {
    /// Who it is for; in logs, audit lines and rate limits
    #[arg(long)]
    pub name: String,
    /// What it may do: infer, ingest, read, admin
    #[arg(long, value_delimiter = ',', required = true, value_parser = scope)]
    pub scopes: Vec<host::auth::Scope>,
}

fn scope(word: &str) -> Result<host::auth::Scope, String> {
    host::auth::Scope::parse(word)
        .ok_or_else(|| format!("'{word}' is no scope; write some of infer, ingest, read, admin"))
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// A version's folder: `models/<name>/<version>`
    pub folder: PathBuf,
    /// A public key of which one must have signed the manifest; may be given several times
    #[arg(long = "trusted-key", value_name = "KEY")]
    pub trusted_keys: Vec<String>,
    /// ONNX Runtime's library; by default the configuration's
    #[arg(long)]
    pub onnxruntime: Option<PathBuf>,
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct PinArgs {
    /// A version's folder: `models/<name>/<version>`
    pub folder: PathBuf,
    /// One text a line whose answers are written down; by default a few of ours
    #[arg(long)]
    pub samples: Option<PathBuf>,
    /// How far a score may be off, 0 to 1; default: 0.0001
    #[arg(long)]
    pub tolerance: Option<f64>,
    /// A private key's file to sign the manifest with
    #[arg(long)]
    pub key: Option<PathBuf>,
    /// Give up an older manifest's golden samples and signature; without it the samples are kept and have to hold
    #[arg(long)]
    pub anew: bool,
    /// ONNX Runtime's library; by default the configuration's
    #[arg(long)]
    pub onnxruntime: Option<PathBuf>,
    #[command(flatten)]
    pub config: ConfigArgs,
}

#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// A new file for the private key
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct RenderArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The folder to write to
    #[arg(long, short, default_value = "rendered")]
    pub out: PathBuf,
    /// Where the proxy is scraped, by default where the configuration has it listen
    #[arg(long)]
    pub proxy: Option<String>,
    /// Where the collector is scraped
    #[arg(long)]
    pub collector: Option<String>,
    /// Where the analyzer is scraped
    #[arg(long)]
    pub analyzer: Option<String>,
    /// Alertmanager's address
    #[arg(long, default_value = "127.0.0.1:9093")]
    pub alertmanager: String,
    /// Start of every alert's runbook link, by default the page's own copy
    #[arg(long)]
    pub runbooks: Option<String>,
    /// Where Alertmanager posts pages, tickets and notices
    #[arg(long, default_value = "http://127.0.0.1:9095/")]
    pub webhook: String,
    /// Where Alertmanager posts what is about a model itself, its pages beside `--webhook`
    #[arg(long)]
    pub model_webhook: Option<String>,
    /// Record series under another program's names too, so that its dashboards work
    #[arg(long)]
    pub compat: Option<Compat>,
}

/// Whose names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Compat {
    Sloth,
}

#[derive(Debug, Args)]
pub struct KsArgs {
    /// One number a line
    pub reference: PathBuf,
    /// One number a line
    pub current: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct DriftArgs {
    /// What is compared with: a .csv, .tsv, .parquet or .jsonl file, compressed or not, or a pattern of them
    pub reference: PathBuf,
    /// What is compared
    pub current: PathBuf,
    /// Judge these columns only
    #[arg(long, value_delimiter = ',')]
    pub columns: Vec<String>,
    /// Leave these columns out
    #[arg(long, value_delimiter = ',')]
    pub exclude: Vec<String>,
    /// Judge the rows of each value of this column as well; may be given several times
    #[arg(long = "segment", value_name = "COLUMN")]
    pub segments: Vec<String>,
    /// Values of a segment's column that are judged, the most frequent ones
    #[arg(long, default_value_t = 12)]
    pub segment_values: u64,
    /// The shift of the distribution function to ignore
    #[arg(long, default_value_t = 0.05)]
    pub ignore: f64,
    /// Chance of any false verdict in the report
    #[arg(long, default_value_t = 0.01)]
    pub chance: f64,
    /// Level of the classical tests behind `watch`
    #[arg(long, default_value_t = 0.01)]
    pub alpha: f64,
    /// Samples that cannot show a shift of this size are insufficient
    #[arg(long, default_value_t = 0.2)]
    pub detectable: f64,
    /// A line of your own, as in psi=0.2, d=0.1, missing=0.01; a column over it counts as drifted; may be given several times
    #[arg(long = "limit", value_name = "MEASURE=NUMBER")]
    pub limits: Vec<String>,
    /// MiB of values held at a time; a column that does not fit is sorted on disk
    #[arg(long, default_value_t = 192)]
    pub memory: u64,
    /// Write a report that stands alone
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// libchdb.so or a `clickhouse` binary; by default .deps/chdb/libchdb.so, one beside this program, or `clickhouse` on the PATH
    #[arg(long)]
    pub engine: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct MaskArgs {
    /// The configuration file whose `[masking]` section is tried; without one, the built-in recognizers
    #[arg(long, short)]
    pub config: Option<PathBuf>,
    /// Override one key, as in `--set masking.operator=mask`; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Also mask the names that a model finds: the URL of a proxy and the model's name, as in http://127.0.0.1:8080/ner.
    /// How it is asked (key, certificates, timeout) stands in `[collector.names]`
    #[arg(long, value_name = "URL/MODEL")]
    pub names: Option<String>,
    /// Print one object a line: what it became, and what stood where, in characters of the input
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct EngineArgs {
    /// Arguments of the engine's own
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<std::ffi::OsString>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
