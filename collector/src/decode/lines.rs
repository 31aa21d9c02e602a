//! Bodies of many lines: JSON lines, and CSV with a header. A fault names the line, counted from 1 as editors do.

use serde::de::DeserializeOwned;

use crate::pipeline::Refusal;

/// Every line that is not blank, read on its own.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<Vec<T>, Refusal> {
    let mut all = Vec::new();
    for (i, line) in body.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let mut reader = serde_json::Deserializer::from_slice(line);
        let read =
            serde_path_to_error::deserialize(&mut reader).map_err(|error| fault(i as u64 + 1, &super::says(error)))?;
        reader.end().map_err(|error| fault(i as u64 + 1, &format!("it goes on after its JSON value: {error}")))?;
        all.push(read);
    }
    if all.is_empty() {
        return Err(Refusal::Malformed("the body has no lines".to_owned()));
    }
    Ok(all)
}

/// Rows under a header that names the fields; an empty field is one that is not given.
pub(super) fn csv<T: DeserializeOwned>(body: &[u8]) -> Result<Vec<T>, Refusal> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(body);
    let header = reader.headers().map_err(|error| fault(1, &error.to_string()))?.clone();
    let mut all = Vec::new();
    for row in reader.records() {
        let at = |error: &csv::Error| error.position().map_or(1, csv::Position::line);
        let row = row.map_err(|error| fault(at(&error), &error.to_string()))?;
        let given = || header.iter().zip(&row).filter(|(_, field)| !field.is_empty());
        let names: csv::StringRecord = given().map(|(name, _)| name).collect();
        let fields: csv::StringRecord = given().map(|(_, field)| field).collect();
        all.push(fields.deserialize(Some(&names)).map_err(|error| {
            let said = match error.kind() {
                csv::ErrorKind::Deserialize { err, .. } => err.to_string(),
                _ => error.to_string(),
            };
            fault(row.position().map_or(1, csv::Position::line), &said)
        })?);
    }
    if all.is_empty() {
        return Err(Refusal::Malformed("the body has a header at most; give it rows".to_owned()));
    }
    Ok(all)
}

fn fault(line: u64, sentence: &str) -> Refusal {
    Refusal::Malformed(format!("line {line}: {sentence}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::wire::Label;

    const ID: &str = "01890000-0000-7000-8000-000000000001";

    #[test]
    fn a_spreadsheet_of_labels_is_read() {
        let text = format!("id,label,item,at_ms\r\n{ID},\"a, b\",,\r\n{ID}, c ,2,1767225600000\n");
        let labels: Vec<Label> = csv(text.as_bytes()).unwrap();
        assert_eq!((labels[0].label.as_str(), labels[0].item, labels[0].at_ms), ("a, b", 0, None));
        assert_eq!((labels[1].label.as_str(), labels[1].item, labels[1].at_ms), ("c", 2, Some(1_767_225_600_000)));
        let labels: Vec<Label> = csv(format!("label,id\n7,{ID}").as_bytes()).unwrap();
        assert_eq!(labels[0].label, "7", "a class may look like a number");
    }

    #[test]
    fn a_fault_names_its_line() {
        for (text, expected) in [
            (format!("id,label\n{ID},a\nx,b\n"), "line 3: "),
            (format!("id,lable\n{ID},a\n"), "line 2: unknown field `lable`"),
            (format!("id,label\n{ID},\n"), "line 2: missing field `label`"),
            (format!("id,label\n{ID},a,b\n"), "line 2: "),
            ("id,label\n".to_owned(), "a header at most"),
        ] {
            let said = csv::<Label>(text.as_bytes()).unwrap_err().to_string();
            assert!(said.contains(expected), "{text}: {said}");
        }
        let said =
            json::<Label>(format!("\n{{\"id\":\"{ID}\",\"label\":\"a\"}}\n{{\"id\":3}}").as_bytes()).unwrap_err();
        assert!(said.to_string().starts_with("line 3: id: "), "{said}");
        assert!(json::<Label>(b" \n\n").is_err());
    }
}
