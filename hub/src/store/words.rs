//! Enumerations as the words they are in JSON, and columns that hold JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::de::value::{Error, StrDeserializer};

use super::{Result, StoreError};

/// The word of a plain enumeration's value.
pub(super) fn to_word<T: Serialize>(value: &T) -> Result<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        other => Err(StoreError::unreadable("not a word", format!("{other:?}"))),
    }
}

/// The value of a plain enumeration's word.
pub(super) fn from_word<T: DeserializeOwned>(word: &str) -> Result<T> {
    T::deserialize(StrDeserializer::<Error>::new(word)).map_err(|error| StoreError::unreadable(word, error))
}

/// A value as JSON text.
pub(super) fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StoreError::unreadable("JSON", error))
}

/// A value from JSON text.
pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| StoreError::unreadable("JSON", error))
}
