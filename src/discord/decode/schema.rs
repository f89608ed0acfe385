//! What must be in a field, and what stands for it if it is not.

use serde_json::{Map, Value};

/// Odd fields of one event of which the path is kept.
const MAX_INVALID_FIELDS: usize = 16;

/// The longest time that a length is believed: what a file of Discord can hold is far less.
const MAX_DURATION_SECONDS: f64 = 1e7;

/// What a value of an enumeration is that nobody knows here.
const UNKNOWN_ENUM_VALUE: u8 = u8::MAX;

/// What a value has to be.
pub(super) enum Schema {
    /// A snowflake, as text or as a number; never 0.
    Snowflake,
    Text,
    Bool,
    /// A whole number. One that is less than 0 or more than the bound is brought to it.
    ClampedInteger(u64),
    /// Seconds.
    Seconds,
    /// Bits as a number, as far as 64 hold them.
    Bitfield,
    /// Permissions: bits, written as text.
    PermissionBits,
    /// A value of an enumeration.
    EnumValue,
    /// ISO 8601.
    Iso8601,
    /// A text, or a number that is not less than 0, as it is.
    TextOrInteger,
    /// As many as are right.
    List(&'static Schema),
    /// By id; as many as are right.
    SnowflakeMap(&'static Schema),
    Object(&'static [FieldSchema]),
    /// What no table can say.
    Custom(fn(&Value, &mut InvalidFields) -> Option<Value>),
}

/// A field of an object.
pub(super) struct FieldSchema {
    pub(super) name: &'static str,
    pub(super) schema: &'static Schema,
    pub(super) policy: FieldPolicy,
}

/// What becomes of an object whose field is missing or odd.
#[derive(Clone, Copy)]
pub(super) enum FieldPolicy {
    /// There is no object without it.
    Required,
    /// It may be missing. But if it is there and odd, what it is can't be guessed: there is no
    /// object.
    OptionalStrict,
    /// It may be missing, and goes if it is odd.
    Optional,
    /// It may be missing, and this stands for it if it is odd: that it is there says something.
    OptionalOrDefault(&'static str),
    /// This stands for it, as JSON.
    OrDefault(&'static str),
    /// The same; that it is missing is odd too.
    ExpectedOrDefault(&'static str),
    /// The model wants it, and nobody reads it: it is not looked at.
    Constant(&'static str),
}

/// Where something odd was found, without what it was.
#[derive(Debug, Default)]
pub(super) struct InvalidFields {
    current_path: Vec<&'static str>,
    invalid_paths: Vec<String>,
}

impl InvalidFields {
    /// The value at the current path is odd.
    pub(super) fn record(&mut self) {
        let path = self.current_path.join(".").replace(".[]", "[]");
        if self.invalid_paths.len() < MAX_INVALID_FIELDS && !self.invalid_paths.contains(&path) {
            self.invalid_paths.push(path);
        }
    }

    /// Something further down.
    pub(super) fn within<T>(&mut self, part: &'static str, look: impl FnOnce(&mut Self) -> T) -> T {
        self.current_path.push(part);
        let found = look(self);
        self.current_path.pop();
        found
    }

    /// The path that was noted last.
    pub(super) fn last_path(&self) -> Option<&str> {
        self.invalid_paths.last().map(String::as_str)
    }

    pub(super) fn into_paths(self) -> Vec<String> {
        self.invalid_paths
    }
}

impl Schema {
    /// What the model is given for `value`. None: nothing can be made of it, and that is noted.
    pub(super) fn normalize(&self, value: &Value, notes: &mut InvalidFields) -> Option<Value> {
        let made = match self {
            Self::Snowflake => parse_snowflake(value).map(|id| id.to_string().into()),
            Self::Text => value.as_str().map(Value::from),
            Self::Bool => parse_bool(value).map(Value::from),
            Self::ClampedInteger(most) => return clamp_integer(value, *most, notes),
            Self::Seconds => parse_seconds(value).map(Value::from),
            Self::Bitfield => parse_bitfield(value).map(Value::from),
            Self::PermissionBits => parse_bitfield(value).map(|bits| bits.to_string().into()),
            Self::EnumValue => return normalize_enum_value(value, notes),
            Self::Iso8601 => value.as_str().filter(|it| is_iso8601(it)).map(Value::from),
            Self::TextOrInteger => (value.is_string() || value.is_u64()).then(|| value.clone()),
            Self::List(of) => normalize_list(value, of, notes),
            Self::SnowflakeMap(of) => normalize_snowflake_map(value, of, notes),
            Self::Object(fields) => match value {
                Value::Object(object) => return normalize_object(object, fields, notes),
                _ => None,
            },
            Self::Custom(make) => return make(value, notes),
        };
        if made.is_none() {
            notes.record();
        }
        made
    }
}

/// What the model is given for an object. None: it lacks what must be in it.
pub(super) fn normalize_object(
    object: &Map<String, Value>,
    fields: &[FieldSchema],
    notes: &mut InvalidFields,
) -> Option<Value> {
    let mut made = Map::new();
    for field in fields {
        let told = match field.policy {
            FieldPolicy::Constant(_) => None,
            _ => object.get(field.name).filter(|told| !told.is_null()),
        };
        let value = notes.within(field.name, |notes| match (told, field.policy) {
            (Some(told), need) => match (field.schema.normalize(told, notes), need) {
                (Some(value), _) => Ok(Some(value)),
                (None, FieldPolicy::Required | FieldPolicy::OptionalStrict) => Err(()),
                (None, FieldPolicy::Optional) => Ok(None),
                (
                    None,
                    FieldPolicy::OrDefault(stand_in)
                    | FieldPolicy::ExpectedOrDefault(stand_in)
                    | FieldPolicy::OptionalOrDefault(stand_in)
                    | FieldPolicy::Constant(stand_in),
                ) => Ok(parse_constant(stand_in)),
            },
            (None, FieldPolicy::Required) => {
                notes.record();
                Err(())
            }
            (
                None,
                FieldPolicy::OptionalStrict
                | FieldPolicy::Optional
                | FieldPolicy::OptionalOrDefault(_),
            ) => Ok(None),
            (None, FieldPolicy::OrDefault(stand_in) | FieldPolicy::Constant(stand_in)) => {
                Ok(parse_constant(stand_in))
            }
            (None, FieldPolicy::ExpectedOrDefault(stand_in)) => {
                notes.record();
                Ok(parse_constant(stand_in))
            }
        });
        if let Some(value) = value.ok()? {
            made.insert(field.name.to_owned(), value);
        }
    }
    Some(Value::Object(made))
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

fn clamp_integer(value: &Value, most: u64, notes: &mut InvalidFields) -> Option<Value> {
    let told = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let Some(told) = told.filter(|told| told.is_finite()) else {
        notes.record();
        return None;
    };
    let exact = value.as_u64().filter(|exact| *exact <= most);
    if exact.is_none() {
        notes.record();
    }
    // Whatever is more than the bound, or less than 0, saturates.
    Some(exact.unwrap_or((told as u64).min(most)).into())
}

fn parse_seconds(value: &Value) -> Option<f64> {
    value
        .as_f64()
        .filter(|it| (0.0..=MAX_DURATION_SECONDS).contains(it))
}

/// The lowest 64 bits, however many there are: what is above is of no use here.
fn parse_bitfield(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) if !text.is_empty() => text.chars().try_fold(0_u64, |bits, digit| {
            let digit = digit.to_digit(10)?;
            Some(bits.wrapping_mul(10).wrapping_add(digit.into()))
        }),
        other => other.as_u64(),
    }
}

fn normalize_enum_value(value: &Value, notes: &mut InvalidFields) -> Option<Value> {
    let known = match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|kind| u8::try_from(kind).ok()),
    };
    if known.is_none() {
        notes.record();
    }
    Some(known.unwrap_or(UNKNOWN_ENUM_VALUE).into())
}

fn is_iso8601(text: &str) -> bool {
    serenity::all::Timestamp::parse(text).is_ok()
}

fn normalize_list(value: &Value, of: &Schema, notes: &mut InvalidFields) -> Option<Value> {
    let all = value.as_array()?;
    let right = all
        .iter()
        .filter_map(|one| notes.within("[]", |notes| of.normalize(one, notes)));
    Some(right.collect())
}

fn normalize_snowflake_map(value: &Value, of: &Schema, notes: &mut InvalidFields) -> Option<Value> {
    let all = value.as_object()?;
    let mut made = Map::new();
    for (key, one) in all {
        let key_is_right = parse_snowflake(&Value::String(key.clone())).is_some();
        let one = notes.within("[]", |notes| {
            if !key_is_right {
                notes.record();
                return None;
            }
            of.normalize(one, notes)
        });
        if let Some(one) = one {
            made.insert(key.clone(), one);
        }
    }
    Some(Value::Object(made))
}
