//! What the evidence commands share: their options, where the table goes, and the exit code.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;

use crate::machine;
use crate::table::Table;

/// Options of every evidence command.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// Only these experiments (the others' rows stay red).
    #[arg(long, value_name = "EXPERIMENT", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Writes the table into this Markdown file, between `<!-- NAME -->` and `<!-- /NAME -->`.
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// The program under test.
    #[arg(long, value_name = "PROGRAM", default_value = "target/release/driftline")]
    pub driftline: PathBuf,
}

impl Options {
    /// Whether an experiment was asked for.
    #[must_use]
    pub fn wants(&self, experiment: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == experiment)
    }

    /// Prints the table, writes it where asked, and says by the exit code whether every row holds.
    ///
    /// # Errors
    /// Where the file cannot be read or written, or has no place for the table.
    #[allow(clippy::print_stdout)] // the table is what the command is for
    pub fn finish(&self, name: &str, table: &Table) -> anyhow::Result<ExitCode> {
        let text = table.markdown();
        println!("{text}");
        if let Some(path) = &self.write {
            write_between(path, name, &format!("{}\n\n{text}", machine::told()))?;
        }
        Ok(if table.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn write_between(path: &Path, name: &str, table: &str) -> anyhow::Result<()> {
    let page = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let page = replaced(&page, name, table)
        .with_context(|| format!("{} has no lines <!-- {name} --> and <!-- /{name} -->", path.display()))?;
    fs::write(path, page).with_context(|| path.display().to_string())
}

fn replaced(page: &str, name: &str, table: &str) -> Option<String> {
    let (open, close) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
    let (before, rest) = page.split_once(&open)?;
    let (_, after) = rest.split_once(&close)?;
    Some(format!("{before}{open}\n\n{table}\n{close}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_its_place_again_and_again() {
        let page = "# Page\n<!-- a -->\nold\n<!-- /a -->\nend\n";
        let once = replaced(page, "a", "| new |\n").expect("there is a place");
        assert_eq!(once, "# Page\n<!-- a -->\n\n| new |\n\n<!-- /a -->\nend\n");
        assert_eq!(replaced(&once, "a", "| new |\n").expect("still"), once);
        assert_eq!(replaced(page, "b", ""), None);
    }
}
