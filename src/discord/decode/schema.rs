//! Rules for the fields of an object, and the normalization that applies them to JSON.

use serde_json::{Map, Value};

/// Maximum number of invalid paths to record per object.
const MAX_INVALID_FIELDS: usize = 16;

/// Longest plausible media duration in seconds. Files on Discord are far shorter.
const MAX_DURATION_SECONDS: f64 = 1e7;

/// Stands for an enum value that serenity does not know.
const UNKNOWN_ENUM_VALUE: u8 = u8::MAX;

/// What a value must be.
pub(super) enum Schema {
    /// A nonzero snowflake, as a string or a number.
    Snowflake,
    Text,
    Bool,
    /// A number, clamped to the range from 0 to the bound.
    ClampedInteger(u64),
    /// Seconds, from 0 to [`MAX_DURATION_SECONDS`].
    Seconds,
    /// Flags as a number, of which the lowest 64 bits are kept.
    Bitfield,
    /// Permission flags, written as a string.
    PermissionBits,
    /// An enum value; [`UNKNOWN_ENUM_VALUE`] if it does not fit 8 bits.
    EnumValue,
    /// An ISO 8601 timestamp.
    Iso8601,
    /// A string or a nonnegative integer, unchanged.
    TextOrInteger,
    /// An array. Invalid elements are dropped.
    List(&'static Schema),
    /// An object with snowflakes as keys. Invalid entries are dropped.
    SnowflakeMap(&'static Schema),
    Object(&'static [FieldSchema]),
    /// A rule that needs code.
    Custom(fn(&Value, &mut InvalidFields) -> Option<Value>),
}

pub(super) struct FieldSchema {
    pub(super) name: &'static str,
    pub(super) schema: &'static Schema,
    pub(super) policy: FieldPolicy,
}

/// What happens if a field is missing or invalid. Default values are written as JSON.
#[derive(Clone, Copy)]
pub(super) enum FieldPolicy {
    /// Missing or invalid: the object is undecodable.
    Required,
    /// May be missing. If it is invalid, the object is undecodable, because its value can't be
    /// guessed.
    OptionalStrict,
    /// May be missing; removed if invalid.
    Optional,
    /// May be missing; replaced by the default if invalid, because its presence alone has a
    /// meaning.
    OptionalOrDefault(&'static str),
    /// Replaced by the default if missing or invalid.
    OrDefault(&'static str),
    /// Like [`OrDefault`](Self::OrDefault), but a missing field is also reported as invalid.
    ExpectedOrDefault(&'static str),
    /// Always this value. For fields that the model requires and the bot never reads.
    Constant(&'static str),
}

/// Paths of invalid fields, without their values.
#[derive(Debug, Default)]
pub(super) struct InvalidFields {
    current_path: Vec<&'static str>,
    invalid_paths: Vec<String>,
}

impl InvalidFields {
    /// Records the current path as invalid.
    pub(super) fn record(&mut self) {
        let path = self.current_path.join(".").replace(".[]", "[]");
        if self.invalid_paths.len() < MAX_INVALID_FIELDS && !self.invalid_paths.contains(&path) {
            self.invalid_paths.push(path);
        }
    }

    /// Runs `look` with `part` appended to the current path.
    pub(super) fn within<T>(&mut self, part: &'static str, look: impl FnOnce(&mut Self) -> T) -> T {
        self.current_path.push(part);
        let found = look(self);
        self.current_path.pop();
        found
    }

    /// The path recorded last.
    pub(super) fn last_path(&self) -> Option<&str> {
        self.invalid_paths.last().map(String::as_str)
    }

    pub(super) fn into_paths(self) -> Vec<String> {
        self.invalid_paths
    }
}

impl Schema {
    /// The value as the model accepts it. `None` if it is invalid; its path is then recorded.
    pub(super) fn normalize(&self, value: &Value, invalid: &mut InvalidFields) -> Option<Value> {
        let normalized = match self {
            Self::Snowflake => parse_snowflake(value).map(|id| id.to_string().into()),
            Self::Text => value.as_str().map(Value::from),
            Self::Bool => parse_bool(value).map(Value::from),
            Self::ClampedInteger(max) => return clamp_integer(value, *max, invalid),
            Self::Seconds => parse_seconds(value).map(Value::from),
            Self::Bitfield => parse_bitfield(value).map(Value::from),
            Self::PermissionBits => parse_bitfield(value).map(|bits| bits.to_string().into()),
            Self::EnumValue => return normalize_enum_value(value, invalid),
            Self::Iso8601 => value.as_str().filter(|it| is_iso8601(it)).map(Value::from),
            Self::TextOrInteger => (value.is_string() || value.is_u64()).then(|| value.clone()),
            Self::List(schema) => normalize_list(value, schema, invalid),
            Self::SnowflakeMap(schema) => normalize_snowflake_map(value, schema, invalid),
            Self::Object(fields) => match value {
                Value::Object(object) => return normalize_object(object, fields, invalid),
                _ => None,
            },
            Self::Custom(normalize) => return normalize(value, invalid),
        };
        if normalized.is_none() {
            invalid.record();
        }
        normalized
    }
}

/// The object as the model accepts it. `None` if a required field is missing or invalid.
pub(super) fn normalize_object(
    object: &Map<String, Value>,
    fields: &[FieldSchema],
    invalid: &mut InvalidFields,
) -> Option<Value> {
    let mut normalized = Map::new();
    for field in fields {
        let input = match field.policy {
            FieldPolicy::Constant(_) => None,
            _ => object.get(field.name).filter(|input| !input.is_null()),
        };
        let value = invalid.within(field.name, |invalid| match (input, field.policy) {
            (Some(input), policy) => match (field.schema.normalize(input, invalid), policy) {
                (Some(value), _) => Ok(Some(value)),
                (None, FieldPolicy::Required | FieldPolicy::OptionalStrict) => Err(()),
                (None, FieldPolicy::Optional) => Ok(None),
                (
                    None,
                    FieldPolicy::OrDefault(default)
                    | FieldPolicy::ExpectedOrDefault(default)
                    | FieldPolicy::OptionalOrDefault(default)
                    | FieldPolicy::Constant(default),
                ) => Ok(parse_constant(default)),
            },
            (None, FieldPolicy::Required) => {
                invalid.record();
                Err(())
            }
            (
                None,
                FieldPolicy::OptionalStrict
                | FieldPolicy::Optional
                | FieldPolicy::OptionalOrDefault(_),
            ) => Ok(None),
            (None, FieldPolicy::OrDefault(default) | FieldPolicy::Constant(default)) => {
                Ok(parse_constant(default))
            }
            (None, FieldPolicy::ExpectedOrDefault(default)) => {
                invalid.record();
                Ok(parse_constant(default))
            }
        });
        if let Some(value) = value.ok()? {
            normalized.insert(field.name.to_owned(), value);
        }
    }
    Some(Value::Object(normalized))
}

fn parse_constant(json: &str) -> Option<Value> {
    serde_json::from_str(json).ok()
}

fn parse_snowflake(value: &Value) -> Option<u64> {
    let id = match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    id.filter(|id| *id != 0)
}

fn parse_bool(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) if number.as_u64() == Some(0) => Some(false),
        Value::Number(number) if number.as_u64() == Some(1) => Some(true),
        _ => None,
    }
}

fn clamp_integer(value: &Value, max: u64, invalid: &mut InvalidFields) -> Option<Value> {
    let input = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let Some(input) = input.filter(|input| input.is_finite()) else {
        invalid.record();
        return None;
    };
    let in_range = value.as_u64().filter(|in_range| *in_range <= max);
    if in_range.is_none() {
        invalid.record();
    }
    // The cast saturates, so negative numbers become 0.
    Some(in_range.unwrap_or((input as u64).min(max)).into())
}

fn parse_seconds(value: &Value) -> Option<f64> {
    value
        .as_f64()
        .filter(|it| (0.0..=MAX_DURATION_SECONDS).contains(it))
}

/// The lowest 64 bits of a number of any length. Higher bits mean nothing to the bot.
fn parse_bitfield(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) if !text.is_empty() => text.chars().try_fold(0_u64, |bits, digit| {
            let digit = digit.to_digit(10)?;
            Some(bits.wrapping_mul(10).wrapping_add(digit.into()))
        }),
        other => other.as_u64(),
    }
}

fn normalize_enum_value(value: &Value, invalid: &mut InvalidFields) -> Option<Value> {
    let known = match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|kind| u8::try_from(kind).ok()),
    };
    if known.is_none() {
        invalid.record();
    }
    Some(known.unwrap_or(UNKNOWN_ENUM_VALUE).into())
}

fn is_iso8601(text: &str) -> bool {
    serenity::all::Timestamp::parse(text).is_ok()
}

fn normalize_list(value: &Value, schema: &Schema, invalid: &mut InvalidFields) -> Option<Value> {
    let all = value.as_array()?;
    let valid = all
        .iter()
        .filter_map(|element| invalid.within("[]", |invalid| schema.normalize(element, invalid)));
    Some(valid.collect())
}

fn normalize_snowflake_map(
    value: &Value,
    schema: &Schema,
    invalid: &mut InvalidFields,
) -> Option<Value> {
    let all = value.as_object()?;
    let mut normalized = Map::new();
    for (key, element) in all {
        let is_valid_key = parse_snowflake(&Value::String(key.clone())).is_some();
        let element = invalid.within("[]", |invalid| {
            if !is_valid_key {
                invalid.record();
                return None;
            }
            schema.normalize(element, invalid)
        });
        if let Some(element) = element {
            normalized.insert(key.clone(), element);
        }
    }
    Some(Value::Object(normalized))
}
