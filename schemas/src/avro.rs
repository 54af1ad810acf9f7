//! Avro values as JSON.

use std::collections::HashMap;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema::{Name, ResolvedSchema};
use apache_avro::types::Value;
use apache_avro::{Error, Schema};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use crate::schema::SchemaText;

/// Memory limit for decoding one value, in bytes. Records larger than Kafka's default of 1 MiB
/// decode to much less.
const ALLOCATED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Maximum nesting of values; a union is a level too. Twice as many levels overflow the 2 MiB of a
/// thread's stack in a build without optimisation.
const DEPTH_MAX: usize = 32;

/// Sets the limits of the Avro library. They hold for the whole process.
pub fn set_bounds() {
    apache_avro::util::max_allocation_bytes(ALLOCATED_BYTES_MAX);
    apache_avro::util::max_decode_recursion_depth(DEPTH_MAX);
}

/// Named types by their full names.
type Names<'s> = HashMap<Name, &'s Schema>;

/// A compiled schema and the schemas that it refers to.
pub struct AvroSchema {
    schema: Schema,
    references: Vec<Schema>,
}

impl AvroSchema {
    pub fn compile(schema: &SchemaText) -> Result<Self, String> {
        let references = schema.references.iter().map(|reference| reference.text.as_str());
        let (schema, references) =
            Schema::parse_str_with_list(&schema.text, references).map_err(|e| e.to_string())?;
        let compiled = Self { schema, references };
        compiled.resolved()?;
        Ok(compiled)
    }

    fn resolved(&self) -> Result<ResolvedSchema<'_>, String> {
        let all = self.references.iter().chain([&self.schema]).collect();
        ResolvedSchema::new_with_schemata(all).map_err(|e| e.to_string())
    }

    pub fn decode(&self, mut bytes: &[u8]) -> Result<Json, String> {
        let resolved = self.resolved()?;
        let reader = GenericDatumReader::builder(&self.schema)
            .resolved_writer_schemata(resolved.clone())
            .build()
            .map_err(|e| e.to_string())?;
        let value = reader.read_value(&mut bytes).map_err(|e| e.to_string())?;
        if !bytes.is_empty() {
            return Err(format!("{} bytes follow the value; it has another schema", bytes.len()));
        }
        json_of(value, &self.schema, resolved.get_names(), None)
    }
}

/// Converts an Avro value to JSON, without the branch names of unions. Bytes become base64, and
/// decimals their exact text. Dates and times stay the numbers that they are stored as.
///
/// `namespace` is that of the enclosing record, for names that have none of their own.
fn json_of(
    value: Value,
    schema: &Schema,
    names: &Names<'_>,
    namespace: Option<&str>,
) -> Result<Json, String> {
    Ok(match (value, schema) {
        (value, Schema::Ref { name }) => {
            let name = name.fully_qualified_name(namespace);
            let schema = names.get(&*name).ok_or_else(|| format!("{name} is not defined"))?;
            json_of(value, schema, names, name.namespace())?
        }
        (Value::Union(at, value), Schema::Union(union)) => {
            let branch = usize::try_from(at).ok().and_then(|at| union.variants().get(at));
            let branch = branch.ok_or_else(|| format!("a union has no branch {at}"))?;
            json_of(*value, branch, names, namespace)?
        }
        (Value::Array(items), Schema::Array(array)) => {
            let items = items.into_iter().map(|v| json_of(v, &array.items, names, namespace));
            Json::Array(items.collect::<Result<_, _>>()?)
        }
        (Value::Map(entries), Schema::Map(map)) => {
            let entries = entries.into_iter();
            let entries = entries.map(|(k, v)| Ok((k, json_of(v, &map.types, names, namespace)?)));
            Json::Object(entries.collect::<Result<_, String>>()?)
        }
        (Value::Record(values), Schema::Record(record)) => {
            let namespace = record.name.namespace().or(namespace);
            let fields = values.into_iter().zip(&record.fields);
            let entries = fields.map(|((name, value), field)| {
                Ok((name, json_of(value, &field.schema, names, namespace)?))
            });
            Json::Object(entries.collect::<Result<_, String>>()?)
        }
        (Value::Decimal(decimal), Schema::Decimal(schema)) => {
            let bytes: Vec<u8> = (&decimal).try_into().map_err(|e: Error| e.to_string())?;
            decimal_text(&bytes, schema.scale).map_or_else(|| base64(&bytes), Json::from)
        }
        (value, _) => scalar(value),
    })
}

fn scalar(value: Value) -> Json {
    match value {
        Value::Boolean(is) => is.into(),
        Value::Int(number) | Value::Date(number) | Value::TimeMillis(number) => number.into(),
        Value::Long(number)
        | Value::TimeMicros(number)
        | Value::TimestampMillis(number)
        | Value::TimestampMicros(number)
        | Value::TimestampNanos(number)
        | Value::LocalTimestampMillis(number)
        | Value::LocalTimestampMicros(number)
        | Value::LocalTimestampNanos(number) => number.into(),
        Value::Float(number) => fraction(number.into()),
        Value::Double(number) => fraction(number),
        Value::String(text) | Value::Enum(_, text) => text.into(),
        Value::Bytes(bytes) | Value::Fixed(_, bytes) => base64(&bytes),
        Value::BigDecimal(number) => number.to_string().into(),
        Value::Uuid(id) => id.to_string().into(),
        Value::Duration(duration) => {
            let bytes: [u8; 12] = duration.into();
            base64(&bytes)
        }
        // `json_of` handles composed values by their schemas.
        _ => Json::Null,
    }
}

/// Converts a fraction to JSON. NaN and the infinities become strings, as in Protobuf's JSON.
fn fraction(number: f64) -> Json {
    match serde_json::Number::from_f64(number) {
        Some(number) => number.into(),
        None if number.is_nan() => "NaN".into(),
        None if number > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

fn base64(bytes: &[u8]) -> Json {
    STANDARD.encode(bytes).into()
}

/// Formats a decimal, such as `-12.30`, from its two's complement, most significant byte first.
/// `None` if it is empty or longer than 16 bytes, or its scale is above 64.
fn decimal_text(bytes: &[u8], scale: usize) -> Option<String> {
    if bytes.is_empty() || bytes.len() > size_of::<i128>() || scale > 64 {
        return None;
    }
    let sign = if bytes[0] & 0x80 == 0 { 0 } else { 0xff };
    let mut all = [sign; size_of::<i128>()];
    all[size_of::<i128>() - bytes.len()..].copy_from_slice(bytes);
    let unscaled = i128::from_be_bytes(all);
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, rest) = digits.split_at(digits.len() - scale);
    let sign = if unscaled < 0 { "-" } else { "" };
    let point = if rest.is_empty() { "" } else { "." };
    Some(format!("{sign}{whole}{point}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_texts() {
        for (bytes, scale, expected) in [
            (&[0x04, 0xce][..], 2, "12.30"),
            (&[0xfb, 0x32], 2, "-12.30"),
            (&[5], 3, "0.005"),
            (&[0xff], 0, "-1"),
            (&[0], 2, "0.00"),
        ] {
            assert_eq!(decimal_text(bytes, scale).as_deref(), Some(expected));
        }
        assert_eq!(decimal_text(&[1; 17], 2), None);
    }

    #[test]
    fn numbers_that_json_has_not_are_texts() {
        assert_eq!(fraction(1.5), Json::from(1.5));
        assert_eq!(fraction(f64::NAN), Json::from("NaN"));
        assert_eq!(fraction(f64::NEG_INFINITY), Json::from("-Infinity"));
    }
}
