//! What `inference.proto` says, as the descriptors that clients ask a server for (google/protobuf/descriptor.proto). It
//! reads what the file beside it is written in, a line a thing, and no more of the language than that.

use std::collections::HashMap;

use prost::Message;

/// `google.protobuf.FileDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
pub struct File {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The package of all names in it.
    #[prost(string, tag = "2")]
    pub package: String,
    #[prost(message, repeated, tag = "4")]
    messages: Vec<Struct>,
    #[prost(message, repeated, tag = "5")]
    enums: Vec<Choice>,
    #[prost(message, repeated, tag = "6")]
    services: Vec<Service>,
    #[prost(string, tag = "12")]
    syntax: String,
}

/// `google.protobuf.DescriptorProto`.
#[derive(Clone, PartialEq, Message)]
struct Struct {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    fields: Vec<Field>,
    #[prost(message, repeated, tag = "3")]
    nested: Vec<Struct>,
    #[prost(message, repeated, tag = "4")]
    enums: Vec<Choice>,
    #[prost(message, optional, tag = "7")]
    options: Option<Options>,
    #[prost(message, repeated, tag = "8")]
    oneofs: Vec<Name>,
}

/// `google.protobuf.MessageOptions`.
#[derive(Clone, Copy, PartialEq, Message)]
struct Options {
    #[prost(bool, tag = "7")]
    map_entry: bool,
}

/// `google.protobuf.OneofDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
struct Name {
    #[prost(string, tag = "1")]
    name: String,
}

/// `google.protobuf.FieldDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
struct Field {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, tag = "3")]
    number: i32,
    #[prost(int32, tag = "4")]
    label: i32,
    #[prost(int32, tag = "5")]
    kind: i32,
    #[prost(string, tag = "6")]
    type_name: String,
    #[prost(int32, optional, tag = "9")]
    oneof: Option<i32>,
}

/// `google.protobuf.EnumDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
struct Choice {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    values: Vec<ChoiceValue>,
}

/// `google.protobuf.EnumValueDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
struct ChoiceValue {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, optional, tag = "2")]
    number: Option<i32>,
}

/// `google.protobuf.ServiceDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
struct Service {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    methods: Vec<Method>,
}

/// `google.protobuf.MethodDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
struct Method {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    input: String,
    #[prost(string, tag = "3")]
    output: String,
    #[prost(bool, tag = "5")]
    client_streams: bool,
    #[prost(bool, tag = "6")]
    server_streams: bool,
}

const SCALARS: [(&str, i32); 9] = [
    ("double", 1),
    ("float", 2),
    ("int64", 3),
    ("uint64", 4),
    ("int32", 5),
    ("bool", 8),
    ("string", 9),
    ("bytes", 12),
    ("uint32", 13),
];
const MESSAGE: i32 = 11;
const ENUM: i32 = 14;
const SINGLE: i32 = 1;
const REPEATED: i32 = 3;

impl File {
    /// Reads a file of that name.
    ///
    /// # Errors
    /// The first line that is not understood.
    pub fn read(name: &str, text: &str) -> Result<Self, String> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
        let mut file = Self { name: name.to_owned(), syntax: "proto3".to_owned(), ..Self::default() };
        while let Some(line) = lines.next() {
            match words(line).as_slice() {
                ["syntax", "=", "\"proto3\""] => {}
                ["package", package] => file.package = (*package).to_owned(),
                ["message", name] => file.messages.push(Struct::read(name, &mut lines)?),
                ["enum", name] => file.enums.push(Choice::read(name, &mut lines)?),
                ["service", name] => file.services.push(Service::read(name, &mut lines)?),
                _ => return Err(line.to_owned()),
            }
        }
        file.resolve()?;
        Ok(file)
    }

    /// The services, by their whole names.
    pub fn services(&self) -> impl Iterator<Item = String> + '_ {
        self.services.iter().map(|service| format!("{}.{}", self.package, service.name))
    }

    /// Whether it defines what a client asks about: a service, one of its methods, a message, an enum.
    #[must_use]
    pub fn defines(&self, symbol: &str) -> bool {
        let Some(rest) = symbol.strip_prefix(&self.package).and_then(|rest| rest.strip_prefix('.')) else {
            return false;
        };
        let (first, inner) = rest.split_once('.').map_or((rest, None), |(first, inner)| (first, Some(inner)));
        let service = self.services.iter().find(|service| service.name == first);
        service.is_some_and(|service| inner.is_none_or(|inner| service.methods.iter().any(|m| m.name == inner)))
            || self.enums.iter().any(|choice| inner.is_none() && choice.name == first)
            || self.messages.iter().any(|message| message.name == first && message.defines(inner))
    }

    /// Gives every field and method the whole name of its type.
    fn resolve(&mut self) -> Result<(), String> {
        let prefix = format!(".{}", self.package);
        let mut known = HashMap::new();
        known.extend(self.enums.iter().map(|choice| (format!("{prefix}.{}", choice.name), ENUM)));
        self.messages.iter().for_each(|message| message.names(&prefix, &mut known));
        for message in &mut self.messages {
            message.resolve(&prefix, &known)?;
        }
        for method in self.services.iter_mut().flat_map(|service| &mut service.methods) {
            for name in [&mut method.input, &mut method.output] {
                *name = find(name, &prefix, &known)?.0;
            }
        }
        Ok(())
    }
}

/// A type as it is named inside `scope`: the innermost of that name.
fn find(name: &str, scope: &str, known: &HashMap<String, i32>) -> Result<(String, i32), String> {
    let mut scope = scope;
    loop {
        let whole = format!("{scope}.{name}");
        if let Some(&kind) = known.get(&whole) {
            return Ok((whole, kind));
        }
        scope = scope.rsplit_once('.').ok_or_else(|| format!("there is no {name}"))?.0;
    }
}

impl Struct {
    fn read<'a>(name: &str, lines: &mut impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut message = Self { name: name.to_owned(), ..Self::default() };
        let mut oneof = None;
        while let Some(line) = lines.next() {
            let words = words(line);
            match words.as_slice() {
                ["}"] if oneof.is_some() => oneof = None,
                ["}"] => return Ok(message),
                ["message", name] => message.nested.push(Self::read(name, lines)?),
                ["enum", name] => message.enums.push(Choice::read(name, lines)?),
                ["oneof", name] => {
                    oneof = i32::try_from(message.oneofs.len()).ok();
                    message.oneofs.push(Name { name: (*name).to_owned() });
                }
                ["map", key, value, name, "=", number] => {
                    let entry = entry_of(name);
                    message.fields.push(Field::new(name, number, &entry, REPEATED, None)?);
                    let fields = vec![
                        Field::new("key", "1", key, SINGLE, None)?,
                        Field::new("value", "2", value, SINGLE, None)?,
                    ];
                    let options = Some(Options { map_entry: true });
                    message.nested.push(Self { name: entry, fields, options, ..Self::default() });
                }
                ["repeated", kind, name, "=", number] => {
                    message.fields.push(Field::new(name, number, kind, REPEATED, None)?);
                }
                [kind, name, "=", number] => message.fields.push(Field::new(name, number, kind, SINGLE, oneof)?),
                _ => return Err(line.to_owned()),
            }
        }
        Err(format!("message {name} has no end"))
    }

    fn defines(&self, inner: Option<&str>) -> bool {
        let Some(inner) = inner else { return true };
        let (first, rest) = inner.split_once('.').map_or((inner, None), |(first, rest)| (first, Some(rest)));
        self.nested.iter().any(|nested| nested.name == first && nested.defines(rest))
            || (rest.is_none() && self.enums.iter().any(|choice| choice.name == first))
    }

    fn names(&self, scope: &str, known: &mut HashMap<String, i32>) {
        let scope = format!("{scope}.{}", self.name);
        known.extend(self.enums.iter().map(|choice| (format!("{scope}.{}", choice.name), ENUM)));
        self.nested.iter().for_each(|nested| nested.names(&scope, known));
        known.insert(scope, MESSAGE);
    }

    fn resolve(&mut self, scope: &str, known: &HashMap<String, i32>) -> Result<(), String> {
        let scope = format!("{scope}.{}", self.name);
        for field in self.fields.iter_mut().filter(|field| field.kind == 0) {
            (field.type_name, field.kind) = find(&field.type_name, &scope, known)?;
        }
        self.nested.iter_mut().try_for_each(|nested| nested.resolve(&scope, known))
    }
}

/// The message that a map's entries are: its name in capitals, as protoc makes it.
fn entry_of(name: &str) -> String {
    let capital = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        format!("{}{rest}", first.to_ascii_uppercase())
    };
    format!("{}Entry", name.split('_').map(capital).collect::<String>())
}

impl Field {
    fn new(name: &str, number: &str, kind: &str, label: i32, oneof: Option<i32>) -> Result<Self, String> {
        let scalar = SCALARS.iter().find(|(scalar, _)| *scalar == kind).map(|(_, number)| *number);
        Ok(Self {
            name: name.to_owned(),
            number: number.parse().map_err(|_| format!("{name} = {number}"))?,
            label,
            kind: scalar.unwrap_or_default(),
            type_name: if scalar.is_some() { String::new() } else { kind.to_owned() },
            oneof,
        })
    }
}

impl Choice {
    fn read<'a>(name: &str, lines: &mut impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut choice = Self { name: name.to_owned(), values: vec![] };
        for line in lines {
            match words(line).as_slice() {
                ["}"] => return Ok(choice),
                [name, "=", number] => {
                    let number = number.parse().map_err(|_| line.to_owned())?;
                    choice.values.push(ChoiceValue { name: (*name).to_owned(), number: Some(number) });
                }
                _ => return Err(line.to_owned()),
            }
        }
        Err(format!("enum {name} has no end"))
    }
}

impl Service {
    fn read<'a>(name: &str, lines: &mut impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut service = Self { name: name.to_owned(), methods: vec![] };
        for line in lines {
            let words = words(line);
            let Some((name, sides)) = words.strip_prefix(&["rpc"]).and_then(|rest| rest.split_first()) else {
                return if words == ["}"] { Ok(service) } else { Err(line.to_owned()) };
            };
            let (input, output, client_streams, server_streams) = match sides {
                ["stream", input, "returns", "stream", output] => (input, output, true, true),
                [input, "returns", "stream", output] => (input, output, false, true),
                [input, "returns", output] => (input, output, false, false),
                _ => return Err(line.to_owned()),
            };
            let (name, input, output) = ((*name).to_owned(), (*input).to_owned(), (*output).to_owned());
            service.methods.push(Method { name, input, output, client_streams, server_streams });
        }
        Err(format!("service {name} has no end"))
    }
}

/// The words of a line, without what stands between them.
fn words(line: &str) -> Vec<&str> {
    line.split([' ', ';', '<', '>', ',', '(', ')', '{']).filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests;
