//! What is said of a file that the engine does not read: one sentence, without the engine's own words where ours do.
//!
//! The choice: what people meet is known by the engine's phrases (`src/Processors/Formats`, `src/Interpreters/parseColumnsListForTableFunction.cpp`);
//! of anything else its innermost sentence is shown, without codes, paths and advice for those who write SQL.

/// Phrases of the engine, and what they mean for whoever has the file.
const KNOWN: [(&str, &str); 6] = [
    ("there are no files with provided path", "no file matches"),
    ("the file is empty", "it is empty"),
    ("Cannot read rows from the data", "it has no rows"),
    (
        "Rows have different amount of values",
        "its rows have different numbers of values; give every row as many as the first line has names",
    ),
    ("Unexpected EOF while reading JSON object", "its last line ends in the middle of an object"),
    ("Not a Parquet file", "it is no Parquet file"),
];
/// Longest sentence of the engine's own that is shown.
const CHARS_MAX: usize = 200;

/// Why a file cannot be read, from the engine's message.
pub fn sentence(file: &str, message: &str) -> String {
    let known = KNOWN.iter().find(|(phrase, _)| message.contains(phrase)).map(|(_, words)| (*words).to_owned());
    let why = known.unwrap_or_else(|| innermost(message));
    format!("{file} cannot be read: {why}{}", row(message))
}

/// `, at row 3`, where the engine says it.
fn row(message: &str) -> String {
    let number = message.split_once("(at row ").and_then(|(_, rest)| rest.split(')').next());
    number
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .map_or_else(String::new, |n| format!(", at row {n}"))
}

/// The last error that the engine tells of, up to its own marks.
fn innermost(message: &str) -> String {
    let told = message.split("You can specify").next().unwrap_or(message);
    let last = told.rsplit("DB::Exception: ").next().unwrap_or(told);
    let end = [last.find(": (in file"), last.find("(at row "), last.find('\n'), code(last)];
    let end = end.into_iter().flatten().min().unwrap_or(last.len());
    let plain = last[..end].trim_end_matches([' ', ':', ',', '.', ';', '(']);
    if plain.is_empty() { "the engine does not say why".to_owned() } else { plain.chars().take(CHARS_MAX).collect() }
}

/// Where a mark such as ` (INCORRECT_DATA)` begins.
fn code(text: &str) -> Option<usize> {
    let marks = text.match_indices(" (").filter(|(at, _)| {
        let inside = text[at + 2..].split(')').next().unwrap_or_default();
        inside.len() > 3
            && inside.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    });
    marks.map(|(at, _)| at).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages as ClickHouse 26.7 writes them.
    #[test]
    fn what_the_engine_says_becomes_one_sentence() {
        let extract = |format: &str, inner: &str| {
            format!(
                "Code: 636. DB::Exception: The table structure cannot be extracted from a {format} format file. Error:\n{inner}\n\
                 You can specify the structure manually: (in file/uri /tmp/x). (CANNOT_EXTRACT_TABLE_STRUCTURE) (version 26.7.2.1)"
            )
        };
        let inner = |code: u32, text: &str, name: &str| {
            format!("Code: {code}. DB::Exception: {text} ({name}) (version 26.7.2.1).")
        };
        for (message, said) in [
            (extract("CSVWithNames", "The table structure cannot be extracted from a CSVWithNames format file: the file is empty."), "it is empty"),
            (extract("CSVWithNames", &inner(92, "Cannot read rows from the data.", "EMPTY_DATA_PASSED")), "it has no rows"),
            (extract("JSONEachRow", &inner(117, "Wrong things in it.", "INCORRECT_DATA")), "Wrong things in it"),
            (
                "Code: 27. DB::Exception: Cannot parse input: expected ',' before: '3\\n': (at row 4)\n: While executing File. (CANNOT_PARSE) (version 26)".to_owned(),
                "Cannot parse input: expected ',' before: '3\\n', at row 4",
            ),
            (String::new(), "the engine does not say why"),
        ] {
            assert_eq!(sentence("x.csv", &message), format!("x.csv cannot be read: {said}"));
        }
    }
}
