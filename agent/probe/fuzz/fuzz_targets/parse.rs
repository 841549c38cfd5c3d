//! Any text in any section: the parsers and the differ must not panic. Sections are separated by
//! the byte 1, the first line of each is its name.
#![no_main]

use gander_probe::{Answer, Differ, RawSample, Section};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut answer = Answer::default();
    for part in text.split('\u{1}') {
        let (name, text) = part.split_once('\n').unwrap_or((part, ""));
        answer.sections.push(Section { name: name.to_owned(), text: text.to_owned() });
    }
    let sample = RawSample::parse(&answer);
    let mut differ = Differ::new();
    differ.advance(sample.clone(), 0);
    differ.advance(sample, 1000);
});
