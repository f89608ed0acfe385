//! What must be in a field, and what stands for it if it is not.

use serde_json::{Map, Value};

/// Odd fields of one event of which the path is kept.
const MAX_NOTES: usize = 16;

/// The longest time that a length is believed: what a file of Discord can hold is far less.
const MAX_SECONDS: f64 = 1e7;

/// What a value of an enumeration is that nobody knows here.
const UNKNOWN: u8 = u8::MAX;

/// What a value has to be.
pub(super) enum Shape {
    /// A snowflake, as text or as a number; never 0.
    Id,
    Text,
    Flag,
    /// A whole number. One that is less than 0 or more than the bound is brought to it.
    Count(u64),
    /// Seconds.
    Seconds,
    /// Bits as a number, as far as 64 hold them.
    Bits,
    /// Permissions: bits, written as text.
    Rights,
    /// A value of an enumeration.
    Kind,
    /// ISO 8601.
    Time,
    /// A text, or a number that is not less than 0, as it is.
    Plain,
    /// As many as are right.
    List(&'static Shape),
    /// By id; as many as are right.
    Map(&'static Shape),
    Object(&'static [Field]),
    /// What no table can say.
    Made(fn(&Value, &mut Notes) -> Option<Value>),
}

/// A field of an object.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) shape: &'static Shape,
    pub(super) need: Need,
}

/// What becomes of an object whose field is missing or odd.
#[derive(Clone, Copy)]
pub(super) enum Need {
    /// There is no object without it.
    Whole,
    /// It may be missing. But if it is there and odd, what it is can't be guessed: there is no
    /// object.
    Exact,
    /// It may be missing, and goes if it is odd.
    Free,
    /// It may be missing, and this stands for it if it is odd: that it is there says something.
    Instead(&'static str),
    /// This stands for it, as JSON.
    Else(&'static str),
    /// The same; that it is missing is odd too.
    Due(&'static str),
    /// The model wants it, and nobody reads it: it is not looked at.
    Fixed(&'static str),
}

/// Where something odd was found, without what it was.
#[derive(Debug, Default)]
pub(super) struct Notes {
    path: Vec<&'static str>,
    odd: Vec<String>,
}

impl Notes {
    /// The value at the current path is odd.
    pub(super) fn odd(&mut self) {
        let path = self.path.join(".").replace(".[]", "[]");
        if self.odd.len() < MAX_NOTES && !self.odd.contains(&path) {
            self.odd.push(path);
        }
    }

    /// Something further down.
    pub(super) fn at<T>(&mut self, part: &'static str, look: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(part);
        let found = look(self);
        self.path.pop();
        found
    }

    /// The path that was noted last.
    pub(super) fn last(&self) -> Option<&str> {
        self.odd.last().map(String::as_str)
    }

    pub(super) fn into_paths(self) -> Vec<String> {
        self.odd
    }
}

impl Shape {
    /// What the model is given for `value`. None: nothing can be made of it, and that is noted.
    pub(super) fn make(&self, value: &Value, notes: &mut Notes) -> Option<Value> {
        let made = match self {
            Self::Id => id(value).map(|id| id.to_string().into()),
            Self::Text => value.as_str().map(Value::from),
            Self::Flag => flag(value).map(Value::from),
            Self::Count(most) => return count(value, *most, notes),
            Self::Seconds => seconds(value).map(Value::from),
            Self::Bits => bits(value).map(Value::from),
            Self::Rights => bits(value).map(|bits| bits.to_string().into()),
            Self::Kind => return kind(value, notes),
            Self::Time => value.as_str().filter(|it| is_time(it)).map(Value::from),
            Self::Plain => (value.is_string() || value.is_u64()).then(|| value.clone()),
            Self::List(of) => list(value, of, notes),
            Self::Map(of) => map(value, of, notes),
            Self::Object(fields) => match value {
                Value::Object(object) => return make(object, fields, notes),
                _ => None,
            },
            Self::Made(make) => return make(value, notes),
        };
        if made.is_none() {
            notes.odd();
        }
        made
    }
}

/// What the model is given for an object. None: it lacks what must be in it.
pub(super) fn make(
    object: &Map<String, Value>,
    fields: &[Field],
    notes: &mut Notes,
) -> Option<Value> {
    let mut made = Map::new();
    for field in fields {
        let told = match field.need {
            Need::Fixed(_) => None,
            _ => object.get(field.name).filter(|told| !told.is_null()),
        };
        let value = notes.at(field.name, |notes| match (told, field.need) {
            (Some(told), need) => match (field.shape.make(told, notes), need) {
                (Some(value), _) => Ok(Some(value)),
                (None, Need::Whole | Need::Exact) => Err(()),
                (None, Need::Free) => Ok(None),
                (
                    None,
                    Need::Else(stand_in)
                    | Need::Due(stand_in)
                    | Need::Instead(stand_in)
                    | Need::Fixed(stand_in),
                ) => Ok(constant(stand_in)),
            },
            (None, Need::Whole) => {
                notes.odd();
                Err(())
            }
            (None, Need::Exact | Need::Free | Need::Instead(_)) => Ok(None),
            (None, Need::Else(stand_in) | Need::Fixed(stand_in)) => Ok(constant(stand_in)),
            (None, Need::Due(stand_in)) => {
                notes.odd();
                Ok(constant(stand_in))
            }
        });
        if let Some(value) = value.ok()? {
            made.insert(field.name.to_owned(), value);
        }
    }
    Some(Value::Object(made))
}

fn constant(json: &str) -> Option<Value> {
    serde_json::from_str(json).ok()
}

fn id(value: &Value) -> Option<u64> {
    let id = match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    id.filter(|id| *id != 0)
}

fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) if number.as_u64() == Some(0) => Some(false),
        Value::Number(number) if number.as_u64() == Some(1) => Some(true),
        _ => None,
    }
}

fn count(value: &Value, most: u64, notes: &mut Notes) -> Option<Value> {
    let told = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let Some(told) = told.filter(|told| told.is_finite()) else {
        notes.odd();
        return None;
    };
    let exact = value.as_u64().filter(|exact| *exact <= most);
    if exact.is_none() {
        notes.odd();
    }
    // Whatever is more than the bound, or less than 0, saturates.
    Some(exact.unwrap_or((told as u64).min(most)).into())
}

fn seconds(value: &Value) -> Option<f64> {
    value.as_f64().filter(|it| (0.0..=MAX_SECONDS).contains(it))
}

/// The lowest 64 bits, however many there are: what is above is of no use here.
fn bits(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) if !text.is_empty() => text.chars().try_fold(0_u64, |bits, digit| {
            let digit = digit.to_digit(10)?;
            Some(bits.wrapping_mul(10).wrapping_add(digit.into()))
        }),
        other => other.as_u64(),
    }
}

fn kind(value: &Value, notes: &mut Notes) -> Option<Value> {
    let known = match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|kind| u8::try_from(kind).ok()),
    };
    if known.is_none() {
        notes.odd();
    }
    Some(known.unwrap_or(UNKNOWN).into())
}

fn is_time(text: &str) -> bool {
    serenity::all::Timestamp::parse(text).is_ok()
}

fn list(value: &Value, of: &Shape, notes: &mut Notes) -> Option<Value> {
    let all = value.as_array()?;
    let right = all
        .iter()
        .filter_map(|one| notes.at("[]", |notes| of.make(one, notes)));
    Some(right.collect())
}

fn map(value: &Value, of: &Shape, notes: &mut Notes) -> Option<Value> {
    let all = value.as_object()?;
    let mut made = Map::new();
    for (key, one) in all {
        let key_is_right = id(&Value::String(key.clone())).is_some();
        let one = notes.at("[]", |notes| {
            if !key_is_right {
                notes.odd();
                return None;
            }
            of.make(one, notes)
        });
        if let Some(one) = one {
            made.insert(key.clone(), one);
        }
    }
    Some(Value::Object(made))
}
