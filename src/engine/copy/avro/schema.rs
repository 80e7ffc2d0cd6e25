//! Schemas of Avro (Avro specification 1.12, "Schema Declaration", "Logical Types").

use std::collections::HashMap;

use serde_json::{Map, Value as Json};

use crate::common::SqlType;

/// What is wrong with a file.
pub type Damage = String;

/// A schema, whose types refer to each other by their numbers: a record may contain itself.
#[derive(Debug, PartialEq)]
pub struct Schema {
    nodes: Vec<Node>,
    root: usize,
}

/// A type.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    Enum(Vec<String>),
    /// Of its elements.
    Array(usize),
    /// Of its values.
    Map(usize),
    Union(Vec<usize>),
    Record(Vec<Field>),
    Date,
    /// So many a second.
    TimeOfDay(i64),
    Timestamp {
        per_second: i64,
        /// Whether it is an instant, which is the same in every zone.
        instant: bool,
    },
    Decimal {
        precision: u64,
        scale: usize,
        /// The bytes of each; `None` where values say their lengths.
        size: Option<usize>,
    },
    /// As 16 bytes.
    Uuid,
    Duration,
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub name: String,
    pub node: usize,
}

impl Schema {
    pub fn parse(text: &[u8]) -> Result<Schema, Damage> {
        let json: Json = serde_json::from_slice(text).map_err(|e| format!("its schema is no JSON: {e}"))?;
        let mut parser = Parser::default();
        let root = parser.node(&json, "")?;
        Ok(Schema { nodes: parser.nodes, root })
    }

    pub fn root(&self) -> usize {
        self.root
    }

    pub fn node(&self, node: usize) -> &Node {
        &self.nodes[node]
    }

    /// The fields of the records that the file is made of.
    pub fn fields(&self) -> Option<&[Field]> {
        match self.node(self.root) {
            Node::Record(fields) => Some(fields),
            _ => None,
        }
    }

    /// The type of a column that holds all values of a type.
    pub fn sql_type(&self, node: usize) -> SqlType {
        const TEXT: SqlType = SqlType::Varchar(SqlType::MAX_VARCHAR_BYTES);
        match self.node(node) {
            Node::Null => SqlType::Varchar(1),
            Node::Boolean => SqlType::Boolean,
            Node::Int => SqlType::Integer,
            Node::Long => SqlType::BigInt,
            Node::Float => SqlType::Real,
            Node::Double => SqlType::Double,
            Node::Bytes | Node::Fixed(_) => SqlType::Varbyte(SqlType::MAX_VARBYTE_BYTES),
            Node::Decimal { precision: precision @ 1..=38, scale: scale @ 0..=37, .. } => {
                SqlType::Decimal { precision: *precision as u8, scale: *scale as u8 }
            }
            Node::String | Node::Enum(_) | Node::Uuid | Node::Duration | Node::Decimal { .. } => TEXT,
            Node::Array(_) | Node::Map(_) | Node::Record(_) => SqlType::Super,
            Node::Union(branches) => {
                let is_null = |branch: &&usize| *self.node(**branch) == Node::Null;
                match branches.iter().filter(|branch| !is_null(branch)).collect::<Vec<_>>()[..] {
                    [] => SqlType::Varchar(1),
                    [one] => self.sql_type(*one),
                    _ => SqlType::Super,
                }
            }
            Node::Date => SqlType::Date,
            Node::TimeOfDay(_) => SqlType::Time,
            Node::Timestamp { instant: false, .. } => SqlType::Timestamp,
            Node::Timestamp { instant: true, .. } => SqlType::TimestampTz,
        }
    }
}

#[derive(Default)]
struct Parser {
    nodes: Vec<Node>,
    /// Named types by their full names.
    names: HashMap<String, usize>,
}

impl Parser {
    fn push(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// `namespace` is that of names without one.
    fn node(&mut self, json: &Json, namespace: &str) -> Result<usize, Damage> {
        match json {
            Json::String(name) => self.named(name, namespace),
            Json::Array(branches) => {
                let branches = branches.iter().map(|branch| self.node(branch, namespace)).collect::<Result<_, _>>()?;
                Ok(self.push(Node::Union(branches)))
            }
            Json::Object(object) => self.object(object, namespace),
            _ => Err(format!("its schema has {json} where a type is expected")),
        }
    }

    /// A type by its name alone.
    fn named(&mut self, name: &str, namespace: &str) -> Result<usize, Damage> {
        if let Some(node) = primitive(name) {
            return Ok(self.push(node));
        }
        let of_namespace = self.names.get(&full_name(name, namespace));
        let found = of_namespace.or_else(|| self.names.get(name)).copied();
        found.ok_or_else(|| format!("its schema has no type \"{name}\""))
    }

    fn object(&mut self, object: &Map<String, Json>, namespace: &str) -> Result<usize, Damage> {
        let kind = object.get("type").ok_or("its schema has a type without a name")?;
        let Json::String(kind) = kind else { return self.node(kind, namespace) };
        let wants = |key: &str| object.get(key).ok_or_else(|| format!("its schema has a type {kind} without {key}"));
        match kind.as_str() {
            "record" | "error" => {
                let (at, namespace) = self.name(object, namespace)?;
                let fields = wants("fields")?.as_array().ok_or("its schema has a record whose fields are no list")?;
                let fields = fields.iter().map(|field| self.field(field, &namespace)).collect::<Result<_, _>>()?;
                self.nodes[at] = Node::Record(fields);
                Ok(at)
            }
            "enum" => {
                let (at, _) = self.name(object, namespace)?;
                let symbols = wants("symbols")?.as_array().ok_or("its schema has an enum whose symbols are no list")?;
                let symbol = |symbol: &Json| symbol.as_str().map(str::to_string);
                let symbols = symbols.iter().map(symbol).collect::<Option<_>>();
                self.nodes[at] = Node::Enum(symbols.ok_or("its schema has an enum with a symbol that is no text")?);
                Ok(at)
            }
            "fixed" => {
                let (at, _) = self.name(object, namespace)?;
                let size = wants("size")?.as_u64().and_then(|size| usize::try_from(size).ok());
                let size = size.ok_or("its schema has a type fixed whose size is no number")?;
                self.nodes[at] = logical(Node::Fixed(size), object);
                Ok(at)
            }
            "array" => {
                let items = self.node(wants("items")?, namespace)?;
                Ok(self.push(Node::Array(items)))
            }
            "map" => {
                let values = self.node(wants("values")?, namespace)?;
                Ok(self.push(Node::Map(values)))
            }
            name => match primitive(name) {
                Some(node) => Ok(self.push(logical(node, object))),
                None => self.named(name, namespace),
            },
        }
    }

    fn field(&mut self, json: &Json, namespace: &str) -> Result<Field, Damage> {
        let name = json.get("name").and_then(Json::as_str).ok_or("its schema has a field without a name")?;
        let node = json.get("type").ok_or_else(|| format!("its schema has a field \"{name}\" without a type"))?;
        Ok(Field { name: name.to_string(), node: self.node(node, namespace)? })
    }

    /// A place for a named type, which its own fields may refer to, and the namespace within it.
    fn name(&mut self, object: &Map<String, Json>, namespace: &str) -> Result<(usize, String), Damage> {
        let name = object.get("name").and_then(Json::as_str).ok_or("its schema has a named type without a name")?;
        let namespace = object.get("namespace").and_then(Json::as_str).unwrap_or(namespace);
        let full = full_name(name, namespace);
        let within = full.rsplit_once('.').map_or("", |(within, _)| within).to_string();
        let at = self.push(Node::Null);
        match self.names.insert(full, at) {
            None => Ok((at, within)),
            Some(_) => Err(format!("its schema has two types \"{name}\"")),
        }
    }
}

fn full_name(name: &str, namespace: &str) -> String {
    match namespace.is_empty() || name.contains('.') {
        true => name.to_string(),
        false => format!("{namespace}.{name}"),
    }
}

fn primitive(name: &str) -> Option<Node> {
    Some(match name {
        "null" => Node::Null,
        "boolean" => Node::Boolean,
        "int" => Node::Int,
        "long" => Node::Long,
        "float" => Node::Float,
        "double" => Node::Double,
        "bytes" => Node::Bytes,
        "string" => Node::String,
        _ => return None,
    })
}

/// The type with its logical type; one that is unknown or does not fit is left out, as the specification wants it.
fn logical(node: Node, object: &Map<String, Json>) -> Node {
    let number = |key: &str| object.get(key).and_then(Json::as_u64);
    let timestamp = |per_second, instant| Node::Timestamp { per_second, instant };
    match (&node, object.get("logicalType").and_then(Json::as_str).unwrap_or_default()) {
        (Node::Bytes | Node::Fixed(_), "decimal") => {
            let size = if let Node::Fixed(size) = node { Some(size) } else { None };
            match (number("precision"), number("scale").unwrap_or(0)) {
                (Some(precision), scale) if precision > 0 && scale <= precision.min(MAX_SCALE) => {
                    Node::Decimal { precision, scale: scale as usize, size }
                }
                _ => node,
            }
        }
        (Node::Int, "date") => Node::Date,
        (Node::Int, "time-millis") => Node::TimeOfDay(1_000),
        (Node::Long, "time-micros") => Node::TimeOfDay(1_000_000),
        (Node::Long, "timestamp-millis") => timestamp(1_000, true),
        (Node::Long, "timestamp-micros") => timestamp(1_000_000, true),
        (Node::Long, "timestamp-nanos") => timestamp(1_000_000_000, true),
        (Node::Long, "local-timestamp-millis") => timestamp(1_000, false),
        (Node::Long, "local-timestamp-micros") => timestamp(1_000_000, false),
        (Node::Long, "local-timestamp-nanos") => timestamp(1_000_000_000, false),
        (Node::Fixed(16), "uuid") => Node::Uuid,
        (Node::Fixed(12), "duration") => Node::Duration,
        _ => node,
    }
}

/// Digits behind the point that are written out: more than any number of 256 bits has.
const MAX_SCALE: u64 = 100;
