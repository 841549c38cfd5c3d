//! Any value of integers, texts, options, lists and structures as a *skeleton* (its form, with the
//! names of its fields) and *cells* (its integers and texts, in order), and back.
//!
//! Successive looks at one machine have the same skeleton and nearly the same cells, so that what is
//! written of a look is the difference of its cells. Fields are found by name again: a spool written
//! by an older or newer agent is still read. A missing value is an empty cell, not another skeleton.

use gander_probe::varint::{self, Damaged};
use serde::{
    de::{self, DeserializeSeed, Visitor, value::BorrowedStrDeserializer},
    ser::{self, Serialize},
};

/// A value deeper than this was not written by us.
const MAX_DEPTH: usize = 16;

const INTEGER: u8 = b'i';
const TEXT: u8 = b't';
const LIST: u8 = b'[';
const STRUCTURE: u8 = b'{';

/// The content of one cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    /// No value.
    Absent,
    /// An integer (an unsigned one above `i64::MAX` as its bits).
    Integer(i64),
    /// A text.
    Text(String),
}

/// Takes a value apart.
pub(super) fn flatten<T: Serialize>(value: &T) -> Result<(Vec<u8>, Vec<Cell>), Unfit> {
    let mut flat = Flat::default();
    value.serialize(&mut flat)?;
    Ok((flat.skeleton, flat.cells))
}

/// Puts a value together again.
pub(super) fn build<'a, T: de::Deserialize<'a>>(skeleton: &'a [u8], cells: &'a [Cell]) -> Result<T, Unfit> {
    let mut builder = Builder {
        skeleton,
        cells,
        depth: 0,
    };
    let value = T::deserialize(&mut builder)?;
    if builder.skeleton.is_empty() && builder.cells.is_empty() {
        Ok(value)
    } else {
        Err(Unfit("there is more than one value".into()))
    }
}

/// Calls `visit(is it a text)` for every cell of a skeleton.
pub(super) fn visit_leaves(
    skeleton: &[u8],
    mut visit: impl FnMut(bool) -> Result<(), Damaged>,
) -> Result<(), Damaged> {
    let mut rest = skeleton;
    walk(&mut rest, MAX_DEPTH, &mut visit)?;
    if rest.is_empty() { Ok(()) } else { Err(Damaged) }
}

/// The number of cells of a skeleton.
pub(super) fn leaves(skeleton: &[u8]) -> Result<usize, Damaged> {
    let mut leaves = 0;
    visit_leaves(skeleton, |_| {
        leaves += 1;
        Ok(())
    })?;
    Ok(leaves)
}

fn walk(
    rest: &mut &[u8],
    depth: usize,
    visit: &mut impl FnMut(bool) -> Result<(), Damaged>,
) -> Result<(), Damaged> {
    let (&kind, tail) = rest.split_first().ok_or(Damaged)?;
    *rest = tail;
    match kind {
        INTEGER => visit(false),
        TEXT => visit(true),
        LIST | STRUCTURE if depth > 0 => {
            for _ in 0..varint::take(rest)? {
                if kind == STRUCTURE {
                    varint::take_bytes(rest)?;
                }
                walk(rest, depth - 1, visit)?;
            }
            Ok(())
        }
        _ => Err(Damaged),
    }
}

/// A value of a form that cells do not hold, or cells that do not hold such a value.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unfit(String);

impl ser::Error for Unfit {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl de::Error for Unfit {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl From<Damaged> for Unfit {
    fn from(damaged: Damaged) -> Self {
        Self(damaged.to_string())
    }
}

fn unfit<T>(what: &str) -> Result<T, Unfit> {
    Err(Unfit(format!("{what} has no place in a cell")))
}

#[derive(Default)]
struct Flat {
    skeleton: Vec<u8>,
    cells: Vec<Cell>,
}

impl Flat {
    fn leaf(&mut self, kind: u8, cell: Cell) -> Result<(), Unfit> {
        self.skeleton.push(kind);
        self.cells.push(cell);
        Ok(())
    }
}

macro_rules! integers {
    ($($name:ident $kind:ty),*) => { $(
        fn $name(self, value: $kind) -> Result<(), Unfit> {
            self.leaf(INTEGER, Cell::Integer(value as i64))
        }
    )* };
}

impl<'a> ser::Serializer for &'a mut Flat {
    type Ok = ();
    type Error = Unfit;
    type SerializeSeq = Self;
    type SerializeTuple = ser::Impossible<(), Unfit>;
    type SerializeTupleStruct = ser::Impossible<(), Unfit>;
    type SerializeTupleVariant = ser::Impossible<(), Unfit>;
    type SerializeMap = ser::Impossible<(), Unfit>;
    type SerializeStruct = Self;
    type SerializeStructVariant = ser::Impossible<(), Unfit>;

    integers!(
        serialize_bool bool, serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64,
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64
    );

    fn serialize_str(self, text: &str) -> Result<(), Unfit> {
        self.leaf(TEXT, Cell::Text(text.to_owned()))
    }

    fn serialize_none(self) -> Result<(), Unfit> {
        self.leaf(INTEGER, Cell::Absent)
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<(), Unfit> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unfit> {
        value.serialize(self)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Unfit> {
        self.serialize_str(variant)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<&'a mut Flat, Unfit> {
        let Some(length) = length else {
            return unfit("a list of unknown length");
        };
        self.skeleton.push(LIST);
        varint::put(&mut self.skeleton, length as u64);
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, fields: usize) -> Result<&'a mut Flat, Unfit> {
        self.skeleton.push(STRUCTURE);
        varint::put(&mut self.skeleton, fields as u64);
        Ok(self)
    }

    fn serialize_f32(self, _: f32) -> Result<(), Unfit> {
        unfit("a float")
    }
    fn serialize_f64(self, _: f64) -> Result<(), Unfit> {
        unfit("a float")
    }
    fn serialize_char(self, _: char) -> Result<(), Unfit> {
        unfit("a character")
    }
    fn serialize_bytes(self, _: &[u8]) -> Result<(), Unfit> {
        unfit("a run of bytes")
    }
    fn serialize_unit(self) -> Result<(), Unfit> {
        unfit("a unit")
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unfit> {
        unfit("a unit")
    }
    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Unfit> {
        unfit("a variant with content")
    }
    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Unfit> {
        unfit("a tuple")
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Unfit> {
        unfit("a tuple")
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Unfit> {
        unfit("a variant with content")
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Unfit> {
        unfit("a map")
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Unfit> {
        unfit("a variant with content")
    }
}

impl ser::SerializeSeq for &mut Flat {
    type Ok = ();
    type Error = Unfit;
    fn serialize_element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Unfit> {
        value.serialize(&mut **self)
    }
    fn end(self) -> Result<(), Unfit> {
        Ok(())
    }
}

impl ser::SerializeStruct for &mut Flat {
    type Ok = ();
    type Error = Unfit;
    fn serialize_field<T: ?Sized + Serialize>(&mut self, name: &'static str, value: &T) -> Result<(), Unfit> {
        varint::put_bytes(&mut self.skeleton, name.as_bytes());
        value.serialize(&mut **self)
    }
    fn end(self) -> Result<(), Unfit> {
        Ok(())
    }
}

struct Builder<'a> {
    skeleton: &'a [u8],
    cells: &'a [Cell],
    depth: usize,
}

impl<'a> Builder<'a> {
    fn kind(&self) -> Result<u8, Unfit> {
        Ok(*self.skeleton.first().ok_or(Damaged)?)
    }

    fn step(&mut self) -> Result<u8, Unfit> {
        let kind = self.kind()?;
        self.skeleton = &self.skeleton[1..];
        Ok(kind)
    }

    fn cell(&mut self) -> Result<&'a Cell, Unfit> {
        let (cell, rest) = self.cells.split_first().ok_or(Damaged)?;
        self.cells = rest;
        Ok(cell)
    }

    /// The number of parts of the list or structure whose kind was just read.
    fn parts(&mut self) -> Result<usize, Unfit> {
        let parts = usize::try_from(varint::take(&mut self.skeleton)?).map_err(|_| Damaged)?;
        // Each part has a byte of its own at least.
        if parts > self.skeleton.len() || self.depth >= MAX_DEPTH {
            return Err(Damaged.into());
        }
        Ok(parts)
    }

    fn name(&mut self) -> Result<&'a str, Unfit> {
        let name = varint::take_bytes(&mut self.skeleton)?;
        std::str::from_utf8(name).map_err(|_| Damaged.into())
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Unfit>) -> Result<T, Unfit> {
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }
}

macro_rules! unsigned {
    ($($name:ident),*) => { $(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
            match (self.step()?, self.cell()?) {
                (INTEGER, Cell::Integer(value)) => visitor.visit_u64(value.cast_unsigned()),
                _ => Err(Damaged.into()),
            }
        }
    )* };
}

impl<'de> de::Deserializer<'de> for &mut Builder<'de> {
    type Error = Unfit;

    unsigned!(deserialize_u8, deserialize_u16, deserialize_u32, deserialize_u64);

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match (self.step()?, self.cell()?) {
            (INTEGER, Cell::Integer(value @ (0 | 1))) => visitor.visit_bool(*value == 1),
            _ => Err(Damaged.into()),
        }
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match self.step()? {
            INTEGER | TEXT => match self.cell()? {
                Cell::Absent => visitor.visit_none(),
                Cell::Integer(value) => visitor.visit_i64(*value),
                Cell::Text(text) => visitor.visit_borrowed_str(text),
            },
            LIST => {
                let left = self.parts()?;
                self.nested(|builder| visitor.visit_seq(Parts { builder, left }))
            }
            STRUCTURE => {
                let left = self.parts()?;
                self.nested(|builder| visitor.visit_map(Parts { builder, left }))
            }
            _ => Err(Damaged.into()),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        if matches!(self.kind()?, INTEGER) && matches!(self.cells.first(), Some(Cell::Absent)) {
            self.step()?;
            self.cell()?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        match (self.step()?, self.cell()?) {
            (TEXT, Cell::Text(variant)) => visitor.visit_enum(BorrowedStrDeserializer::<Unfit>::new(variant)),
            _ => Err(Damaged.into()),
        }
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

struct Parts<'b, 'de> {
    builder: &'b mut Builder<'de>,
    left: usize,
}

impl<'de> de::SeqAccess<'de> for Parts<'_, 'de> {
    type Error = Unfit;
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Unfit> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.builder).map(Some)
    }
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> de::MapAccess<'de> for Parts<'_, 'de> {
    type Error = Unfit;
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Unfit> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let name = self.builder.name()?;
        seed.deserialize(BorrowedStrDeserializer::<Unfit>::new(name))
            .map(Some)
    }
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Unfit> {
        seed.deserialize(&mut *self.builder)
    }
}

#[cfg(test)]
mod tests;
