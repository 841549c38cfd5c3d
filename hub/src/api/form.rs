//! Reads the fields of a request, from a JSON body or from a query string.
//!
//! A field is taken by name with its rule; what breaks a rule is noted and the reading goes on,
//! so that [`Form::finish`] can report every wrong field at once, and every field nobody asked
//! for. Values of secret fields are never repeated in an error.

use std::ops::RangeInclusive;

use axum::http::StatusCode;
use serde_json::{Map, Value};

use crate::model::{Secret, Timestamp};

use super::{
    dto::system::FieldError,
    error::{ApiError, ApiResult},
    fault::{Fault, kind},
};

/// What was sent for a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Given<T> {
    /// Nothing, or something wrong that is already noted.
    Absent,
    /// `null`.
    Null,
    /// A value that keeps the rule.
    Value(T),
}

impl<T> Given<T> {
    /// The value; `None` when absent or null.
    pub(super) fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }

    /// The value, or `default` when absent or null.
    pub(super) fn or(self, default: T) -> T {
        self.value().unwrap_or(default)
    }

    /// For a field that may be null: the value, nothing for null, `current` when absent.
    pub(super) fn or_keep(self, current: Option<T>) -> Option<T> {
        match self {
            Self::Absent => current,
            Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }

    /// The same with another value.
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Given<U> {
        match self {
            Self::Absent => Given::Absent,
            Self::Null => Given::Null,
            Self::Value(value) => Given::Value(change(value)),
        }
    }
}

/// The fields of one request, being read.
#[derive(Debug)]
pub(super) struct Form {
    fields: Map<String, Value>,
    // A query string has only texts: numbers and booleans are read out of them.
    is_query: bool,
    asked: Vec<&'static str>,
    errors: Vec<FieldError>,
}

impl Form {
    /// Reads a JSON object.
    ///
    /// # Errors
    /// 400 when it is not JSON (with line and column) or not an object.
    pub(super) fn from_json(body: &[u8]) -> ApiResult<Self> {
        match serde_json::from_slice(body).map_err(|error| ApiError::invalid_json(&error))? {
            Value::Object(fields) => Ok(Self::new(fields, false)),
            other => Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                "invalid_json",
                format!("the request body is {}; it must be a JSON object", kind(&other).1),
            )),
        }
    }

    /// Reads a query string.
    ///
    /// # Errors
    /// 422 when a field is named twice.
    pub(super) fn from_query(query: &str) -> ApiResult<Self> {
        let mut fields = Map::new();
        for (name, value) in super::extract::url_decoded_pairs(query) {
            if fields.contains_key(&name) {
                return Err(ApiError::field(&name, Some(value.into()), Fault::twice()));
            }
            fields.insert(name, value.into());
        }
        Ok(Self::new(fields, true))
    }

    fn new(fields: Map<String, Value>, is_query: bool) -> Self {
        Self {
            fields,
            is_query,
            asked: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Notes that a field is wrong, repeating its value.
    pub(super) fn refuse(&mut self, name: &str, fault: impl Into<Fault>) {
        let value = self.fields.get(name).cloned().map(shortened);
        self.errors.push(fault.into().of(name, value));
    }

    /// The same, unless something is noted against the field already.
    pub(super) fn refuse_once(&mut self, name: &str, fault: impl Into<Fault>) {
        if !self.is_refused(name) {
            self.refuse(name, fault);
        }
    }

    /// Notes that a secret field is wrong, without its value.
    pub(super) fn refuse_secret(&mut self, name: &str, fault: impl Into<Fault>) {
        self.errors.push(fault.into().of(name, None));
    }

    /// Notes that a field is missing, unless something is already wrong with it.
    pub(super) fn require<T>(&mut self, name: &'static str, given: Given<T>) -> Option<T> {
        match given {
            Given::Value(value) => Some(value),
            Given::Absent | Given::Null => {
                if !self.is_refused(name) {
                    self.refuse(name, Fault::required());
                }
                None
            }
        }
    }

    /// A secret that must be there.
    pub(super) fn required_secret(&mut self, name: &'static str, most_bytes: usize) -> Option<Secret> {
        let secret = self.secret(name, most_bytes).value();
        if secret.is_none() && !self.is_refused(name) {
            self.refuse_secret(name, Fault::required());
        }
        secret
    }

    /// Whether something is noted against a field.
    #[must_use]
    pub(super) fn is_refused(&self, name: &str) -> bool {
        self.errors.iter().any(|error| error.field == name)
    }

    /// Whether a field was sent, null or not.
    #[must_use]
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Marks a field as known that is only read when it was sent.
    pub(super) fn known(&mut self, name: &'static str) {
        self.asked.push(name);
    }

    fn take(&mut self, name: &'static str) -> Given<Value> {
        self.asked.push(name);
        match self.fields.get(name) {
            None => Given::Absent,
            Some(Value::Null) => Given::Null,
            Some(value) => Given::Value(value.clone()),
        }
    }

    /// A text without surrounding white space, of so many characters.
    pub(super) fn text(&mut self, name: &'static str, length: RangeInclusive<usize>) -> Given<String> {
        let text = match self.raw_text(name) {
            Given::Value(text) => text.trim().to_owned(),
            Given::Null => return Given::Null,
            Given::Absent => return Given::Absent,
        };
        let characters = text.chars().count();
        if !length.contains(&characters) {
            let fault = match characters {
                0 => Fault::empty("must not be empty"),
                _ => Fault::length(characters, &length),
            };
            self.refuse(name, fault);
            return Given::Absent;
        }
        if text.chars().any(char::is_control) {
            self.refuse(name, Fault::control_character());
            return Given::Absent;
        }
        Given::Value(text)
    }

    fn raw_text(&mut self, name: &'static str) -> Given<String> {
        match self.take(name) {
            Given::Value(Value::String(text)) => Given::Value(text),
            Given::Value(other) => {
                self.refuse(name, Fault::wrong_type(&other, "text"));
                Given::Absent
            }
            Given::Null => Given::Null,
            Given::Absent => Given::Absent,
        }
    }

    /// A text of several lines, of at most so many bytes. An empty one counts as null.
    pub(super) fn lines(&mut self, name: &'static str, most_bytes: usize) -> Given<String> {
        match self.raw_text(name) {
            Given::Value(text) if text.trim().is_empty() => Given::Null,
            Given::Value(text) if text.len() > most_bytes => {
                self.refuse_secret(name, Fault::too_many_bytes(text.len(), most_bytes));
                Given::Absent
            }
            given => given,
        }
    }

    /// A secret of at most so many bytes, taken as it is. An empty one counts as null.
    pub(super) fn secret(&mut self, name: &'static str, most_bytes: usize) -> Given<Secret> {
        match self.take(name) {
            Given::Value(Value::String(text)) if text.is_empty() => Given::Null,
            Given::Value(Value::String(text)) if text.len() <= most_bytes => Given::Value(Secret::new(text)),
            Given::Value(Value::String(text)) => {
                self.refuse_secret(name, Fault::too_many_bytes(text.len(), most_bytes));
                Given::Absent
            }
            Given::Value(other) => {
                self.refuse_secret(name, Fault::wrong_type(&other, "text"));
                Given::Absent
            }
            Given::Null => Given::Null,
            Given::Absent => Given::Absent,
        }
    }

    /// A whole number in a range.
    pub(super) fn integer<T>(&mut self, name: &'static str, range: RangeInclusive<T>) -> Given<T>
    where
        T: TryFrom<i64> + Copy + PartialOrd + std::fmt::Display,
    {
        let value = match self.take(name) {
            Given::Value(value) => value,
            Given::Null => return Given::Null,
            Given::Absent => return Given::Absent,
        };
        let number = match &value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) if self.is_query => text.parse().ok(),
            _ => None,
        };
        match number.and_then(|number| T::try_from(number).ok()) {
            Some(number) if range.contains(&number) => Given::Value(number),
            _ => {
                let shown = match &value {
                    Value::Number(number) => number.to_string(),
                    Value::String(text) if self.is_query => format!("\"{}\"", excerpt(text)),
                    other => kind(other).1.to_owned(),
                };
                self.refuse(name, Fault::whole_number(&shown, &range));
                Given::Absent
            }
        }
    }

    /// A number in a range, decimals allowed.
    pub(super) fn number(&mut self, name: &'static str, range: RangeInclusive<f64>) -> Given<f64> {
        let value = match self.take(name) {
            Given::Value(value) => value,
            Given::Null => return Given::Null,
            Given::Absent => return Given::Absent,
        };
        let number = match &value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) if self.is_query => text.parse().ok(),
            _ => None,
        };
        match number {
            Some(number) if range.contains(&number) => Given::Value(number),
            _ => {
                self.refuse(name, Fault::number(&range));
                Given::Absent
            }
        }
    }

    /// For a field that may be left out but not be null.
    pub(super) fn not_null<T>(&mut self, name: &'static str, given: Given<T>) -> Option<T> {
        if matches!(given, Given::Null) {
            self.refuse(name, Fault::null());
        }
        given.value()
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, name: &'static str) -> Given<bool> {
        match self.take(name) {
            Given::Value(Value::Bool(value)) => Given::Value(value),
            Given::Value(Value::String(text)) if self.is_query => match text.as_str() {
                "true" | "1" => Given::Value(true),
                "false" | "0" => Given::Value(false),
                _ => {
                    self.refuse(name, Fault::not_allowed(&excerpt(&text), "true, false"));
                    Given::Absent
                }
            },
            Given::Value(other) => {
                self.refuse(name, Fault::wrong_type(&other, "boolean"));
                Given::Absent
            }
            Given::Null => Given::Null,
            Given::Absent => Given::Absent,
        }
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(&mut self, name: &'static str, choices: &[(&str, T)]) -> Given<T> {
        let text = match self.raw_text(name) {
            Given::Value(text) => text,
            Given::Null => return Given::Null,
            Given::Absent => return Given::Absent,
        };
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return Given::Value(*value);
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        self.refuse(name, Fault::not_allowed(&excerpt(&text), &words.join(", ")));
        Given::Absent
    }

    /// A moment in RFC 3339.
    pub(super) fn moment(&mut self, name: &'static str) -> Given<Timestamp> {
        let text = match self.raw_text(name) {
            Given::Value(text) => text,
            Given::Null => return Given::Null,
            Given::Absent => return Given::Absent,
        };
        // A "+" of an offset that was not percent-encoded arrives as a space.
        let repaired = if self.is_query {
            text.replace(' ', "+")
        } else {
            text
        };
        match Timestamp::parse(&repaired) {
            Ok(moment) => Given::Value(moment),
            Err(_) => {
                self.refuse(name, Fault::time(&excerpt(&repaired)));
                Given::Absent
            }
        }
    }

    /// A list of at most so many texts, each trimmed, of so many characters, without doubles.
    pub(super) fn texts(
        &mut self,
        name: &'static str,
        most: usize,
        length: RangeInclusive<usize>,
    ) -> Given<Vec<String>> {
        let items = match self.list(name, most) {
            Given::Value(items) => items,
            Given::Null => return Given::Null,
            Given::Absent => return Given::Absent,
        };
        let mut texts: Vec<String> = Vec::with_capacity(items.len());
        for item in items {
            let text = item.as_str().map(str::trim).unwrap_or_default();
            if !length.contains(&text.chars().count()) || text.chars().any(char::is_control) {
                self.refuse(name, Fault::entry_length(&length));
                return Given::Absent;
            }
            if !texts.iter().any(|known| known == text) {
                texts.push(text.to_owned());
            }
        }
        Given::Value(texts)
    }

    /// A list of at most so many ids.
    pub(super) fn ids(&mut self, name: &'static str, most: usize) -> Given<Vec<i64>> {
        let items = match self.list(name, most) {
            Given::Value(items) => items,
            Given::Null => return Given::Null,
            Given::Absent => return Given::Absent,
        };
        match items.iter().map(Value::as_i64).collect::<Option<Vec<i64>>>() {
            Some(ids) => Given::Value(ids),
            None => {
                self.refuse(name, Fault::entry_number());
                Given::Absent
            }
        }
    }

    /// A list of at most so many objects. Nothing in it is repeated in an error.
    pub(super) fn objects(&mut self, name: &'static str, most: usize) -> Given<Vec<Map<String, Value>>> {
        let items = match self.list(name, most) {
            Given::Value(items) => items,
            Given::Null => return Given::Null,
            Given::Absent => return Given::Absent,
        };
        let mut objects = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Value::Object(object) => objects.push(object),
                other => {
                    self.refuse_secret(name, Fault::wrong_type(&other, "list of objects"));
                    return Given::Absent;
                }
            }
        }
        Given::Value(objects)
    }

    fn list(&mut self, name: &'static str, most: usize) -> Given<Vec<Value>> {
        match self.take(name) {
            Given::Value(Value::Array(items)) if items.len() <= most => Given::Value(items),
            Given::Value(Value::Array(items)) => {
                self.refuse_secret(name, Fault::too_many_entries(items.len(), most));
                Given::Absent
            }
            Given::Value(other) => {
                self.refuse(name, Fault::wrong_type(&other, "list"));
                Given::Absent
            }
            Given::Null => Given::Null,
            Given::Absent => Given::Absent,
        }
    }

    /// Whether nothing wrong has been noted so far.
    #[must_use]
    pub(super) fn is_clean(&self) -> bool {
        self.errors.is_empty()
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// 422 with every wrong field, and every field nobody asked for.
    pub(super) fn finish(&mut self) -> ApiResult<()> {
        let unknown: Vec<String> = self
            .fields
            .keys()
            .filter(|name| !self.asked.contains(&name.as_str()))
            .take(20)
            .cloned()
            .collect();
        for name in unknown {
            let known = self.asked.join(", ");
            // The value of a misspelt secret must not be repeated either.
            self.errors.push(Fault::unknown(&known).of(&excerpt(&name), None));
        }
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(ApiError::validation(std::mem::take(&mut self.errors)))
        }
    }
}

/// What [`Form::require`] found, after [`Form::finish`] has passed.
pub(super) fn given<T>(value: Option<T>) -> ApiResult<T> {
    value.ok_or_else(|| ApiError::internal(&"a required field was not checked"))
}

/// The first characters of a text a client sent, for repeating it in an error.
pub(super) fn excerpt(text: &str) -> String {
    const MOST: usize = 100;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    text.chars().take(MOST).chain(std::iter::once('…')).collect()
}

fn shortened(value: Value) -> Value {
    match value {
        Value::String(text) => excerpt(&text).into(),
        Value::Array(_) | Value::Object(_) => kind(&value).1.into(),
        other => other,
    }
}
