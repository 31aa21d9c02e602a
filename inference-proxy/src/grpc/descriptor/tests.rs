//! The files are read as protoc reads them, and say what the messages that are written by hand say.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::grpc::about::{DATA_TYPES, KINDS};

#[test]
fn what_is_not_understood_is_said() {
    for (text, part) in [
        ("messages X {", "messages X"),
        ("message X {", "message X has no end"),
        ("message X {\n  group y = 1 {\n}", "there is no group"),
        ("package p;\nmessage X {\n  Y y = 1;\n}", "there is no Y"),
        ("message X {\n  int32 y = one;\n}", "y = one"),
    ] {
        assert!(File::read("x", text).unwrap_err().contains(part), "{text}");
    }
}

#[test]
fn names_are_found_from_the_inside_out() {
    let text = "package p;\nenum A {\n  NO = 0;\n}\nmessage X {\n  message A {\n    bool b = 1;\n  }\n  A inner = 1;\n  \
                map<string, A> all = 2;\n}\nmessage Y {\n  A outer = 1;\n}\nservice S {\n  rpc Do (stream X) returns (stream Y);\n}";
    let file = File::read("x.proto", text).unwrap();
    let types = |message: usize| -> Vec<_> {
        file.messages[message].fields.iter().map(|field| (field.type_name.as_str(), field.kind)).collect()
    };
    assert_eq!(types(0), [(".p.X.A", MESSAGE), (".p.X.AllEntry", MESSAGE)]);
    assert_eq!(types(1), [(".p.A", ENUM)]);
    assert_eq!(file.messages[0].nested[1].fields[1].type_name, ".p.X.A");
    assert_eq!(file.services().collect::<Vec<_>>(), ["p.S"]);
    for there in ["p.S", "p.S.Do", "p.X", "p.X.A", "p.A"] {
        assert!(file.defines(there), "{there}");
    }
    for not in ["p", "p.Z", "p.S.Dont", "X", "p.X.A.B", "p.A.NO", "q.X"] {
        assert!(!file.defines(not), "{not}");
    }
}

/// Where messages are written by hand.
const SOURCES: [&str; 4] = [
    include_str!("../message.rs"),
    include_str!("../about.rs"),
    include_str!("../health.rs"),
    include_str!("../stream.rs"),
];

/// A struct or an enum of the sources.
#[derive(Default)]
struct Written {
    name: String,
    /// What its comment names: messages that it is.
    of: Vec<String>,
    fields: Vec<WrittenField>,
}

struct WrittenField {
    name: String,
    /// What is in `#[prost(…)]`, by name; `""` for words without a value.
    said: BTreeMap<String, String>,
    /// The innermost of its type.
    holds: String,
}

/// Words between back quotes, without packages.
fn named(comment: &str) -> Vec<String> {
    let words = comment.split('`').skip(1).step_by(2);
    words.map(|word| word.trim_start_matches("inference.").trim_start_matches("grpc.health.v1.").to_owned()).collect()
}

/// `string, repeated, tag = "3"`.
fn said(attribute: &str) -> BTreeMap<String, String> {
    // no value has `", ` in it, and every word without one is before those that have one or beside them
    let mut found = BTreeMap::new();
    let mut rest = attribute;
    while !rest.is_empty() {
        let end = rest.find([',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let value = after.strip_prefix('=').map(|value| value.trim_start().trim_start_matches('"'));
        let (value, after) = match value {
            Some(value) => value.split_once('"').unwrap(),
            None => ("", after),
        };
        found.insert(word.trim().to_owned(), value.to_owned());
        rest = after.trim_start_matches([',', ' ']);
    }
    found
}

fn innermost(kind: &str) -> String {
    let inner = kind.rsplit(['<', ' ', '(']).next().unwrap_or_default();
    inner.trim_end_matches([',', '>', ')']).to_owned()
}

/// Everything in a source that could be a message.
fn written(source: &str) -> Vec<Written> {
    let (mut all, mut comment, mut attribute) = (Vec::new(), String::new(), None);
    let mut open: Option<Written> = None;
    for line in source.split("\n#[cfg(test)]").next().unwrap().lines().map(str::trim) {
        if let Some(prost) = line.strip_prefix("#[prost(").and_then(|rest| rest.strip_suffix(")]")) {
            attribute = Some(said(prost));
        } else if line.starts_with("///") {
            comment.push_str(line);
        } else if !line.starts_with("#[") {
            let words: Vec<&str> = line.split(' ').filter(|word| *word != "pub").collect();
            match (words.as_slice(), attribute.take()) {
                (["struct" | "enum", name, "{" | "{}"], _) => {
                    let item = Written { name: (*name).to_owned(), of: named(&comment), fields: vec![] };
                    if line.ends_with("{}") { all.push(item) } else { open = Some(item) }
                }
                (["}"], _) => all.extend(open.take()),
                ([first, ..], Some(said)) => {
                    let name = first.split([':', '(']).next().unwrap().to_owned();
                    let field = WrittenField { name, said, holds: innermost(line) };
                    open.as_mut().expect("a field is in a struct").fields.push(field);
                }
                _ => {}
            }
            comment.clear();
        }
    }
    all
}

/// Name, type and whether there are many of it, of a field.
type Line = (String, String, bool);

/// What a struct says, by number. The types of messages are names of structs.
fn lines_of(written: &Written, all: &[Written]) -> BTreeMap<i32, Line> {
    let mut lines = BTreeMap::new();
    for field in &written.fields {
        if let Some(oneof) = field.said.get("oneof") {
            let choice = all.iter().find(|one| one.name == *oneof).expect("a oneof is written beside its message");
            let inner = lines_of(choice, all);
            let tags: BTreeSet<i32> = field.said["tags"].split(", ").map(|tag| tag.parse().unwrap()).collect();
            assert_eq!(tags, inner.keys().copied().collect::<BTreeSet<i32>>(), "{oneof}");
            lines.extend(inner);
            continue;
        }
        let kind = field.said.keys().find(|word| !["repeated", "optional", "tag"].contains(&word.as_str())).unwrap();
        // Parameters is a name for a map
        let holds = field.holds.replace("Parameters", "Parameter");
        let kind = match kind.as_str() {
            "message" => holds,
            "btree_map" => {
                assert_eq!(field.said["btree_map"], "string, message");
                format!("map of {holds}")
            }
            scalar => scalar.to_owned(),
        };
        let many = field.said.contains_key("repeated") || kind.starts_with("map");
        let number = field.said["tag"].parse().unwrap();
        assert_eq!(lines.insert(number, (field.name.clone(), kind, many)), None, "{}", written.name);
    }
    lines
}

impl Struct {
    /// What a file says of a message, by number. The types of messages are their names in the package.
    fn lines(&self, package: &str) -> BTreeMap<i32, Line> {
        let local = |name: &str| name.trim_start_matches(&format!(".{package}.")).to_owned();
        let line = |field: &Field| {
            let entry = self
                .nested
                .iter()
                .find(|nested| nested.options.is_some() && field.type_name.ends_with(&format!(".{}", nested.name)));
            let kind = match (field.kind, entry) {
                (MESSAGE, Some(entry)) => format!("map of {}", local(&entry.fields[1].type_name)),
                (MESSAGE, None) => local(&field.type_name),
                // its numbers are held to the file below
                (ENUM, _) => "int32".to_owned(),
                (kind, _) => SCALARS.iter().find(|(_, number)| *number == kind).unwrap().0.to_owned(),
            };
            (field.number, (field.name.clone(), kind, field.label == REPEATED))
        };
        self.fields.iter().map(line).collect()
    }

    /// It and the messages in it, with their names in the package; entries of maps are none.
    fn all(&self, prefix: &str) -> Vec<(String, &Self)> {
        let name = format!("{prefix}{}", self.name);
        let inner = format!("{name}.");
        let nested = self.nested.iter().filter(|nested| nested.options.is_none());
        let nested: Vec<_> = nested.flat_map(|nested| nested.all(&inner)).collect();
        std::iter::once((name, self)).chain(nested).collect()
    }
}

/// Fields that are called otherwise here: in ours, in the file's.
const RENAMED: [(&str, &str); 2] = [("yes", "live"), ("yes", "ready")];
/// A message that is bytes already, of which the type is not written here.
const ENCODED: (&str, &str) = ("ModelStreamInferResponse", "infer_response");

/// Whether a struct's field is the file's; `messages` tells which messages a struct is.
fn is_same(message: &str, ours: &Line, theirs: &Line, messages: &BTreeMap<&str, &[String]>) -> bool {
    let name = ours.0 == theirs.0
        || RENAMED.contains(&(ours.0.as_str(), theirs.0.as_str()))
        || theirs.0 == format!("{}_param", ours.0.to_lowercase());
    let parts = |kind: &str| kind.strip_prefix("map of ").map_or((false, kind.to_owned()), |of| (true, of.to_owned()));
    let ((our_map, our_kind), (their_map, their_kind)) = (parts(&ours.1), parts(&theirs.1));
    let kind = our_kind == their_kind
        || messages.get(our_kind.as_str()).is_some_and(|of| of.contains(&their_kind))
        || (our_kind == "bytes" && (message, theirs.0.as_str()) == ENCODED);
    name && kind && our_map == their_map && ours.2 == theirs.2
}

/// What clients that ask for the definitions are told is what is really read and written: a field that is in one of the
/// two places only, or has another number or type there, is silently lost by a client that was made from the definitions.
#[test]
fn the_messages_by_hand_are_those_of_the_files() {
    let all: Vec<Written> = SOURCES.iter().flat_map(|source| written(source)).collect();
    let messages: BTreeMap<&str, &[String]> = all.iter().map(|one| (one.name.as_str(), one.of.as_slice())).collect();
    let mut checked = 0;
    for (name, text) in
        [("inference", include_str!("../inference.proto")), ("grpc.health.v1", include_str!("../health.proto"))]
    {
        let file = File::read(name, text).unwrap();
        assert_eq!(file.package, name);
        for (message, theirs) in file.messages.iter().flat_map(|message| message.all("")) {
            let theirs = theirs.lines(&file.package);
            let claims: Vec<&Written> = all.iter().filter(|one| one.of.contains(&message)).collect();
            assert_eq!(claims.len(), 1, "{message} is written by hand once");
            let ours = lines_of(claims[0], &all);
            let numbers = |lines: &BTreeMap<i32, Line>| lines.keys().copied().collect::<Vec<_>>();
            assert_eq!(numbers(&ours), numbers(&theirs), "numbers of {message}");
            for (number, ours) in &ours {
                assert!(
                    is_same(&message, ours, &theirs[number], &messages),
                    "{message}: {ours:?} is {:?}",
                    theirs[number]
                );
                checked += 1;
            }
        }
        for method in file.services.iter().flat_map(|service| &service.methods) {
            let routed = [include_str!("../mod.rs"), SOURCES[2], SOURCES[3]].concat();
            let name = &method.name;
            let call = [format!("(\"{name}\")"), format!("/{name}\""), format!("}}{name}\"")];
            assert!(call.iter().any(|call| routed.contains(call)), "{name} is not routed");
        }
    }
    assert!(checked > 90, "{checked}");
}

#[test]
fn the_numbers_of_words_are_those_of_the_file() {
    let file = File::read("inference.proto", include_str!("../inference.proto")).unwrap();
    let names = |choice: &Choice| {
        let values = choice.values.iter().enumerate();
        values
            .map(|(n, value)| if value.number == i32::try_from(n).ok() { value.name.clone() } else { String::new() })
            .collect::<Vec<_>>()
    };
    assert_eq!(names(file.enums.iter().find(|one| one.name == "DataType").unwrap()), DATA_TYPES);
    let group = file.messages.iter().find(|message| message.name == "ModelInstanceGroup").unwrap();
    assert_eq!(names(&group.enums[0]), KINDS);
}
