//! The one schema, and how another text is known to say the same.

use serde_json::{Value, json};

/// As it stands in the header of each file.
pub(super) const SCHEMA: &str = concat!(
    r#"{"type":"record","name":"EventData","namespace":"Microsoft.ServiceBus.Messaging","fields":["#,
    r#"{"name":"SequenceNumber","type":"long"},"#,
    r#"{"name":"Offset","type":"string"},"#,
    r#"{"name":"EnqueuedTimeUtc","type":"string"},"#,
    r#"{"name":"SystemProperties","type":{"type":"map","values":["long","double","string","bytes"]}},"#,
    r#"{"name":"Properties","type":{"type":"map","values":["long","double","string","bytes","null"]}},"#,
    r#"{"name":"Body","type":["null","bytes"]}]}"#
);

/// The variants of a property's value, by their place in the schema; `Properties` alone has the last.
pub(super) const LONG: i64 = 0;
pub(super) const DOUBLE: i64 = 1;
pub(super) const STRING: i64 = 2;
pub(super) const BYTES: i64 = 3;
pub(super) const NULL: i64 = 4;

/// The longest schema that is looked at. Capture's has 600 bytes; spaces and doc comments are allowed for.
const LONGEST: usize = 16 * 1024;

/// Whether a schema's text is Capture's schema, but for the order of names, documentation and white space.
pub(super) fn is_captures(schema: &[u8]) -> bool {
    if schema == SCHEMA.as_bytes() {
        return true;
    }
    let canonical = |text| {
        let schema: Value = serde_json::from_slice(text).ok()?;
        canonical(&schema)
    };
    schema.len() <= LONGEST
        && canonical(schema).is_some_and(|found| canonical(SCHEMA.as_bytes()) == Some(found))
}

/// A type with nothing left of it but what decides how it is read; `None` for types that Capture has no use for.
fn canonical(schema: &Value) -> Option<Value> {
    let object = match schema {
        Value::String(_) => return Some(schema.clone()),
        Value::Array(variants) => return variants.iter().map(canonical).collect(),
        Value::Object(object) => object,
        _ => return None,
    };
    match object.get("type")? {
        Value::String(name) if name == "map" => {
            Some(json!({"map": canonical(object.get("values")?)?}))
        }
        Value::String(name) if name == "record" => {
            let fields = object.get("fields")?.as_array()?.iter().map(|field| {
                let name = field.get("name")?.as_str()?;
                Some(json!([name, canonical(field.get("type")?)?]))
            });
            let fields: Vec<Value> = fields.collect::<Option<_>>()?;
            Some(json!({"record": full_name(object)?, "fields": fields}))
        }
        // `{"type": "long"}` is `"long"`.
        inner => canonical(inner),
    }
}

/// A name with a dot is whole; before any other comes its namespace.
fn full_name(record: &serde_json::Map<String, Value>) -> Option<String> {
    let name = record.get("name")?.as_str()?;
    let namespace = record.get("namespace").and_then(Value::as_str);
    match namespace.filter(|namespace| !namespace.is_empty() && !name.contains('.')) {
        Some(namespace) => Some(format!("{namespace}.{name}")),
        None => Some(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_schema_in_another_writing_is_known() {
        let spaced = SCHEMA.replace(':', " : ").replace(',', ",\n ");
        let documented = SCHEMA.replacen(r#""type":"long""#, r#""doc":"d","type":"long""#, 1);
        let nested = SCHEMA.replacen(r#""type":"long""#, r#""type":{"type":"long"}"#, 1);
        let dotted = SCHEMA.replace(
            r#""name":"EventData","namespace":"Microsoft.ServiceBus.Messaging""#,
            r#""name":"Microsoft.ServiceBus.Messaging.EventData""#,
        );
        for same in [SCHEMA, &spaced, &documented, &nested, &dotted] {
            assert!(is_captures(same.as_bytes()), "{same}");
        }
    }

    #[test]
    fn a_schema_that_is_read_in_another_way_is_refused() {
        let renamed = SCHEMA.replace("\"Body\"", "\"Content\"");
        let moved = SCHEMA.replace(r#"["null","bytes"]"#, r#"["bytes","null"]"#);
        let retyped = SCHEMA.replacen("\"long\"", "\"int\"", 1);
        let longer = SCHEMA.replace(']', &format!("{}]", " ".repeat(LONGEST)));
        let deep = "[".repeat(LONGEST);
        for other in [
            &renamed, &moved, &retyped, &longer, &deep, "", "{}", "7", "\"long\"", "null",
        ] {
            assert!(!is_captures(other.as_bytes()), "{other}");
        }
    }
}
