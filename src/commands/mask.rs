//! `driftline mask`: a filter from text or JSON lines to the same, masked; how a rule is tried before it is trusted.
//!
//! A line is a text, unless it is a JSON object or array: that is gone over as the input of a payload is, keys, numbers
//! and configured fields included. A private key is several lines of text and is taken as one. Each line is written
//! before the next is read, so that it works in the middle of a pipe. A model that finds names is asked line by line; a
//! line that it does not answer for is withheld, and why is said on standard error.

use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use collector::names::{Namer, RawNames};
use host::config::Faults;
use host::metrics::Registry;
use masking::{Found, Known, Masker, Span};
use serde_json::{Value, json};

use crate::cli::{ConfigArgs, MaskArgs};
use crate::config::Loaded;
use crate::exit::Usage;

/// A longer line is withheld.
const LINE_BYTES_MAX: u64 = 16 << 20;
/// A private key has fewer lines; what has more was cut.
const KEY_LINES_MAX: usize = 200;
const WITHHELD: &str = "[WITHHELD]";
/// Without a configuration a model has at least this long for a line: somebody is trying it out.
const PATIENCE: Duration = Duration::from_secs(10);

/// Masks standard input until it ends.
///
/// # Errors
/// Where the configuration is wrong, or a stream fails; a reader that goes away is no error.
pub fn run(args: &MaskArgs) -> anyhow::Result<ExitCode> {
    let filter = Filter::new(args)?;
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    while let Some(block) = read(&mut input)? {
        let line = if args.json { filter.told(&block) + "\n" } else { filter.plain(&block) };
        match output.write_all(line.as_bytes()).and_then(|()| output.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            other => other?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What lines go through.
struct Filter {
    masker: Masker,
    names: Option<Names>,
}

/// The way to the model that finds names.
struct Names {
    namer: Namer,
    runtime: tokio::runtime::Runtime,
}

impl Filter {
    fn new(args: &MaskArgs) -> anyhow::Result<Self> {
        let overrides = args.overrides.clone();
        let loaded = match &args.config {
            Some(config) => Loaded::read(&ConfigArgs { config: config.clone(), overrides })?,
            None => Loaded::of_table(toml::Table::new(), &overrides, Path::new("driftline.toml"))?,
        };
        // what is wrong elsewhere in the file is no matter here
        let asks = |key: &str| args.names.is_some() && key.starts_with("collector");
        let ours = loaded.faults.iter().find(|fault| fault.key.starts_with("masking") || asks(&fault.key));
        if let Some(fault) = ours {
            return Err(Usage(fault.to_string()).into());
        }
        let masker = Masker::new(&loaded.raw.masking).map_err(|faults| Usage(faults.to_string()))?;
        let mut asking = loaded.raw.collector.names;
        if args.config.is_none() {
            asking.timeout = asking.timeout.max(PATIENCE);
            asking.post_timeout = asking.post_timeout.max(asking.timeout);
        }
        let names = args.names.as_ref().map(|names| Names::new(names, asking, masker.clone())).transpose()?;
        Ok(Self { masker, names })
    }

    /// What a block becomes, and what stood where; `None` where it cannot be made safe.
    fn masked(&self, block: &Block) -> Option<(Value, Vec<Span>)> {
        let text = block.text.as_ref()?;
        let whole = |Found { masked, spans }| (Value::String(masked), spans);
        match (as_json(text), &self.names) {
            (Some(value), None) => self.masker.find_json(value).ok(),
            (None, None) => self.masker.find(text).ok().map(whole),
            (Some(value), Some(names)) => {
                let known = names.of(&value);
                self.masker.find_json_named(value, &known).ok()
            }
            (None, Some(names)) => {
                let known = names.of(&Value::String(text.clone()));
                self.masker.find_named(text, &known).ok().map(whole)
            }
        }
    }

    fn plain(&self, block: &Block) -> String {
        let masked = self.masked(block).map(|(masked, _)| match masked {
            Value::String(text) => text,
            value => value.to_string(),
        });
        masked.unwrap_or_else(|| WITHHELD.to_owned()) + block.end
    }

    fn told(&self, block: &Block) -> String {
        let (masked, spans) = self.masked(block).unwrap_or_else(|| (Value::String(WITHHELD.to_owned()), vec![]));
        let entities: Vec<Value> = spans.iter().map(entity).collect();
        json!({"masked": masked, "entities": entities}).to_string()
    }
}

impl Names {
    fn new(names: &str, asking: RawNames, masker: Masker) -> anyhow::Result<Self> {
        let Some((url, model)) = names.rsplit_once('/').filter(|(url, _)| !url.ends_with('/')) else {
            return Err(Usage(format!("--names: '{names}' is no URL/MODEL; write http://127.0.0.1:8080/ner")).into());
        };
        let asking = RawNames { proxy_url: Some(url.to_owned()), model: Some(model.to_owned()), ..asking };
        let mut faults = Faults::default();
        let config = asking.check(&mut faults);
        let config = faults.result(config).map_err(|faults| Usage(format!("--names: {faults}")))?;
        let config = config.ok_or_else(|| Usage("--names: names nobody to ask".to_owned()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { namer: Namer::new(config, masker, &Registry::new())?, runtime })
    }

    /// What the model finds in a line.
    fn of(&self, line: &Value) -> Known {
        let (known, answered) = self.runtime.block_on(self.namer.of_input(line));
        if let Err(why) = answered {
            // nobody may be reading it
            let _ = writeln!(io::stderr(), "driftline: the model that finds names: {why}; the line is withheld");
        }
        known
    }
}

/// What is masked at once: its text, and how it ended.
struct Block {
    /// `None`: too long.
    text: Option<String>,
    end: &'static str,
}

/// The next line, or the lines of a private key; `None` at the end.
fn read(input: &mut impl BufRead) -> io::Result<Option<Block>> {
    let Some(mut block) = read_line(input)? else { return Ok(None) };
    let opens = |text: &String| text.contains("-----BEGIN ") && text.contains("PRIVATE KEY");
    if !block.text.as_ref().is_some_and(opens) {
        return Ok(Some(block));
    }
    for _ in 0..KEY_LINES_MAX {
        if block.text.as_ref().is_none_or(|text| text.contains("-----END ")) {
            break;
        }
        let Some(next) = read_line(input)? else { break };
        block.text = block.text.zip(next.text).map(|(text, next)| text + block.end + &next);
        block.end = next.end;
    }
    Ok(Some(block))
}

fn read_line(input: &mut impl BufRead) -> io::Result<Option<Block>> {
    let mut bytes = Vec::new();
    if io::Read::take(&mut *input, LINE_BYTES_MAX).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    let end = match bytes.as_slice() {
        [.., b'\r', b'\n'] => "\r\n",
        [.., b'\n'] => "\n",
        _ => "",
    };
    if end.is_empty() && bytes.len() as u64 == LINE_BYTES_MAX {
        return Ok(Some(Block { text: None, end: skip_line(input)? }));
    }
    bytes.truncate(bytes.len() - end.len());
    Ok(Some(Block { text: Some(String::from_utf8_lossy(&bytes).into_owned()), end }))
}

/// Reads on to the end of a line that is too long, without keeping it.
fn skip_line(input: &mut impl BufRead) -> io::Result<&'static str> {
    loop {
        let room = input.fill_buf()?;
        if room.is_empty() {
            return Ok("");
        }
        let newline = room.iter().position(|b| *b == b'\n');
        let used = newline.map_or(room.len(), |at| at + 1);
        input.consume(used);
        if newline.is_some() {
            return Ok("\n");
        }
    }
}

/// A line that is a JSON object or array.
fn as_json(text: &str) -> Option<Value> {
    let value = text.trim_start().starts_with(['{', '[']).then(|| serde_json::from_str(text).ok())?;
    value.filter(|value: &Value| value.is_object() || value.is_array())
}

/// In a JSON value the offsets are those of the text or key at `path`.
fn entity(span: &Span) -> Value {
    let mut entity = json!({"type": span.name, "start": span.start, "end": span.end});
    if !span.path.is_empty() {
        entity["path"] = span.path.clone().into();
    }
    entity
}
