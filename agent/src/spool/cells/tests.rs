use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Inner {
    name: String,
    big: u64,
    below: i64,
    maybe: Option<u16>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Outer {
    list: Vec<Inner>,
    one: Option<Inner>,
    text: Option<String>,
    numbers: Vec<u16>,
    flag: bool,
}

/// As [`Outer`] may look in another version.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Other {
    flag: bool,
    added: Option<u32>,
    list: Vec<Inner>,
}

fn outer() -> Outer {
    let inner = |name: &str, maybe| Inner {
        name: name.into(),
        big: u64::MAX,
        below: i64::MIN,
        maybe,
    };
    Outer {
        list: vec![inner("a", None), inner("b", Some(0))],
        one: Some(inner("", Some(65_535))),
        text: None,
        numbers: vec![1, 2, 3],
        flag: true,
    }
}

#[test]
fn what_is_taken_apart_comes_together() {
    for value in [outer(), Outer::default()] {
        let (skeleton, cells) = flatten(&value).unwrap();
        assert_eq!(build::<Outer>(&skeleton, &cells).unwrap(), value);
    }
}

#[test]
fn a_missing_number_is_no_other_skeleton() {
    let mut value = outer();
    let (before, _) = flatten(&value).unwrap();
    value.list[0].maybe = Some(7);
    let (after, _) = flatten(&value).unwrap();
    assert_eq!(before, after);
    value.one = None;
    assert_ne!(before, flatten(&value).unwrap().0);
}

#[test]
fn fields_are_found_by_name_across_versions() {
    let value = outer();
    let (skeleton, cells) = flatten(&value).unwrap();
    let other: Other = build(&skeleton, &cells).unwrap();
    assert!(other.flag);
    assert_eq!((other.added, other.list), (None, value.list));
}

#[test]
fn damaged_skeletons_are_errors() {
    let value = outer();
    let (skeleton, cells) = flatten(&value).unwrap();
    for position in 0..skeleton.len() {
        for byte in [0, b'[', b'{', b'i', 0xff] {
            let mut damaged = skeleton.clone();
            damaged[position] = byte;
            let _ = build::<Outer>(&damaged, &cells);
            let _ = build::<Outer>(&skeleton[..position], &cells);
        }
    }
    let deep: Vec<u8> = std::iter::repeat_n([b'[', 1], 100_000).flatten().collect();
    assert!(build::<Vec<Outer>>(&deep, &cells).is_err());
    assert!(build::<serde::de::IgnoredAny>(&deep, &cells).is_err());
}
